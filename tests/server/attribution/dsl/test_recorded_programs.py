"""Programs with their canonical text and credits, and those with their error."""

from fractions import Fraction

import pytest

from mbuzz.server.attribution.dsl.errors import ProgramError
from mbuzz.server.attribution.dsl.formatter import canonical, format_program
from mbuzz.server.attribution.dsl.interpreter import compile_program
from mbuzz.server.attribution.dsl.parser import parse
from tests.server.attribution.dsl.programs import (
    ACCEPTED,
    DAY_MS,
    RECORDED,
    REJECTED,
    journey,
    shares,
)

JOURNEYS = [
    journey(
        *(
            (touch["channel"], touch["age_seconds"] / 86_400)
            for touch in one["touches"]
        ),
        **{
            name: Fraction(seconds, 86_400)
            for name, seconds in one["milestones_age_seconds"].items()
        },
    )
    for one in RECORDED["journeys"]
]


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


@named(ACCEPTED)
def test_canonical_text(case):
    program = parse(case["source"])

    text = canonical(program)

    assert text == case["canonical"]
    assert canonical(parse(text)) == text
    assert parse(format_program(program)) == program


@named(ACCEPTED)
def test_credits(case):
    model = compile_program(case["source"])

    for one, expected in zip(JOURNEYS, case["credits"], strict=True):
        division = model.divide(one, 90 * DAY_MS)

        if expected is None:
            assert division is None
            continue
        found = shares(division, len(one.channels))
        for share, wanted in zip(found, expected, strict=True):
            if isinstance(wanted, str):
                assert share == Fraction(wanted)
            else:
                assert float(share) == pytest.approx(wanted, abs=1e-12)


@named(REJECTED)
def test_first_error(case):
    with pytest.raises(ProgramError) as caught:
        parse(case["source"])

    error = caught.value
    place = (case["code"], case["line"], case["column"])
    assert (error.code, error.line, error.column) == place
    assert error.render().startswith(f"error[{case['code']}]: ")
