"""What model_language.md says of the language is true."""

import re
from importlib.resources import files

import pytest

import mbuzz.server.attribution.dsl
from mbuzz.server.attribution.dsl.errors import ProgramError
from mbuzz.server.attribution.dsl.formatter import format_program
from mbuzz.server.attribution.dsl.interpreter import compile_program
from mbuzz.server.attribution.dsl.parser import parse
from tests.server.attribution.dsl.programs import REJECTED

PAGE = (files("mbuzz.server") / "docs" / "model_language.md").read_text("utf-8")
BLOCKS = re.findall(r"```text( \w+)?\n(.*?)```", PAGE, re.DOTALL)
PROGRAMS = [text for kind, text in BLOCKS if not kind]


@pytest.mark.parametrize("source", PROGRAMS)
def test_program_is_valid(source):
    assert compile_program(source)


@pytest.mark.parametrize("source", PROGRAMS)
def test_program_survives_its_text(source):
    program = parse(source)

    assert parse(format_program(program)) == program


def test_error_is_what_the_page_shows():
    (wrong,) = [text for kind, text in BLOCKS if kind == " wrong"]
    (shown,) = [text for kind, text in BLOCKS if kind == " error"]

    with pytest.raises(ProgramError) as caught:
        parse(wrong)

    assert caught.value.render() + "\n" == shown


def test_all_codes_and_no_others_are_in_the_table():
    listed = re.findall(r"^\| (E\d{3}) \|", PAGE, re.MULTILINE)
    modules = files(mbuzz.server.attribution.dsl).iterdir()
    used = {
        code
        for module in modules
        if module.name.endswith(".py")
        for code in re.findall(r'"(E\d{3})"', module.read_text("utf-8"))
    }

    assert listed == sorted(used)
    assert used >= {case["code"] for case in REJECTED}
