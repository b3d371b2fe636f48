"""The well-known models as programs do what the rules in Python do."""

import json
from fractions import Fraction

import pytest
from hypothesis import given, settings

from mbuzz.server.attribution.dsl.examples import EXAMPLES, example
from mbuzz.server.attribution.dsl.formatter import format_program
from mbuzz.server.attribution.dsl.interpreter import compile_program
from mbuzz.server.attribution.dsl.parser import parse
from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.rules import RULES
from tests.server.attribution.dsl.programs import VECTORS, journeys

COMPILED = {name: compile_program(example(name)) for name in EXAMPLES}
CASES = json.loads((VECTORS / "journeys.json").read_text("utf-8"))


def test_there_is_one_for_every_rule():
    assert list(EXAMPLES) == list(RULES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_written_as_all_are(name):
    source = example(name)

    assert format_program(parse(source)) == source


def test_unknown_example_is_refused():
    with pytest.raises(ValueError, match=r"one of first_touch, .*; got 'best'"):
        example("best")


@settings(deadline=None)
@given(journeys())
@pytest.mark.parametrize("name", EXAMPLES)
def test_example_gives_what_the_rule_gives(name, one):
    rule = RULES[name](one)

    weights = COMPILED[name].divide(one).weights

    assert list(weights.credits) == list(rule.credits)
    assert weights.revenues(1_000_003) == rule.revenues(1_000_003)
    assert [weights.weight(n) for n in range(len(one.channels))] == [
        rule.weight(n) for n in range(len(one.channels))
    ]


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_reference_case(case, name):
    milestones = {"mql": case["mql_at"], "sql": case["sql_at"]}
    one = Journey(
        tuple(channel for channel, _ in case["touches"]),
        [seconds * 1000 for _, seconds in case["touches"]],
        case["converted_at"] * 1000,
        None,
        {key: at * 1000 for key, at in milestones.items() if at is not None},
    )

    parts = [Fraction(part) for part in COMPILED[name].divide(one).weights.parts]

    found = [part / sum(parts) for part in parts]
    if name in case["exact"]:
        assert found == [Fraction(share) for share in case["exact"][name]]
    else:
        assert [float(share) for share in found] == pytest.approx(
            case["credits"][name], abs=1e-12
        )
