"""The README says what is true: its commands, its code and its tables."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

import mbuzz
from mbuzz.cli.main import parser
from mbuzz.config import Config

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PYTHON = [
    re.sub(r"^ {3}", "", code, flags=re.M) for kind, code in BLOCKS if kind == "python"
]
SHELL = [
    line.strip().partition("#")[0].strip()
    for kind, code in BLOCKS
    if kind == "sh"
    for line in code.splitlines()
]


def test_the_first_two_commands_are_demo_and_tests():
    assert SHELL[:2] == ["python3 -m mbuzz demo", "python3 -m tests"]


def test_ci_calls_exactly_the_test_command():
    assert "\npython3 -m tests\n" in (ROOT / ".ci" / "run").read_text("utf-8")


@pytest.mark.parametrize(
    "line",
    [line for line in SHELL if re.match(r"(python3 -m )?mbuzz ", line)],
)
def test_mbuzz_commands_parse(line):
    words = shlex.split(line.removeprefix("python3 -m "))

    args = parser().parse_args(words[1:])

    assert callable(args.run)


@pytest.mark.parametrize("code", PYTHON)
def test_python_blocks_compile(code):
    compile(code, "README.md", "exec")


def test_the_first_block_runs(mbuzz_events):
    exec(compile(PYTHON[0], "README.md", "exec"), {})

    mbuzz_events.assert_tracked("Signup", user_id="42", properties={"plan": "pro"})


def test_the_table_of_options_is_complete():
    table = README.partition("| option |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines() for name in _names(row)}

    assert named == {entry.name for entry in fields(Config)}


def _names(row: str) -> list[str]:
    first = row.strip("|").partition("|")[0]
    return re.findall(r"`(\w+)`", first)


def test_the_table_of_calls_names_public_functions():
    table = README.partition("| call |")[2].partition("\n\n")[0]
    called = {
        name
        for row in table.splitlines()
        for name in re.findall(r"`(\w+)(?:\(|`)", row.split("|")[1])
    }

    assert called <= set(mbuzz.__all__)
    assert {"track", "page", "identify", "alias", "conversion", "flush"} <= called


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_the_changelog_is_about_this_version():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")

    assert f"## [{mbuzz.__version__}]" in text or "## [Unreleased]" in text
