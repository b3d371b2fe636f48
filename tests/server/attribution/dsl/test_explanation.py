"""What a program does, in words and in shares."""

from fractions import Fraction

import pytest
from hypothesis import given, settings

from mbuzz.server.attribution.dsl.examples import example
from mbuzz.server.attribution.dsl.explanation import (
    effective_weights,
    explain,
    sentence,
)
from mbuzz.server.attribution.dsl.parser import parse
from mbuzz.server.attribution.dsl.syntax import Describe
from tests.server.attribution.dsl.programs import model, programs


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("u_shaped", ["1", "1/2 1/2", "2/5 1/5 2/5"]),
        ("w_shaped", ["1", "1/2 1/2", "3/7 1/7 3/7"]),
        ("z_shaped", ["1", "1/2 1/2", "9/22 2/11 9/22"]),
        ("linear", ["1", "1/2 1/2", "1/3 1/3 1/3"]),
    ],
)
def test_effective_weights(name, rows):
    found = effective_weights(parse(example(name)))

    assert [" ".join(map(str, row)) for row in found] == rows


def test_days_lie_between_the_touches_of_the_samples():
    source = model("distribute by recency(1 day)")

    _, _, three = effective_weights(parse(source))

    assert three == (Fraction(1, 7), Fraction(2, 7), Fraction(4, 7))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('describe "What for"', "What for"),
        ("lookback 1 week", "Touches count up to 1 week before the conversion."),
        (
            'exclude channel("a", "b") or not (age >= 2 days and last_touch)',
            (
                'Leaves out touches that are of channel "a" or "b" or not (at least '
                "2 days before the conversion and the last touch), "
                "unless nothing else is left."
            ),
        ),
        ("credit first_touch with 1", "Gives 100% to the first touch."),
        (
            'credit milestone("mql") where age > 1 day with 1',
            (
                'Gives 100% to the touch that led to "mql", if it is more than 1 day '
                "before the conversion."
            ),
        ),
        (
            'credit middle_touches where channel("a") with 1 by recency(1 week)',
            (
                "Gives 100% to the touches between the first and the last that are of "
                'channel "a", which share by recency: what each gets halves with every '
                "week of age."
            ),
        ),
        ("credit touch(-2) with 1", "Gives 100% to touch 2 from the end."),
        (
            "otherwise last_touch",
            "If a journey has none of these touches, the last touch gets all.",
        ),
        (
            "otherwise equally",
            "If a journey has none of these touches, all touches share equally.",
        ),
        (
            "weight middle_touches and all_touches by 1.5",
            (
                "Multiplies the weight of touches that are among the touches between "
                "the first and the last and among all touches by 1.5."
            ),
        ),
        (
            "weight touch(2) by 2",
            "Multiplies the weight of touch 2 from the start by 2.",
        ),
        ("distribute equally", "Touches share equally."),
        (
            "distribute proportionally",
            "Touches share in proportion to their weights.",
        ),
    ],
)
def test_sentence(line, said):
    kind = line.split()[0]
    rest = {
        "credit": ["otherwise equally"],
        "otherwise": ["credit first_touch with 1"],
        "weight": ["distribute proportionally"],
        "distribute": [],
    }.get(kind, ["distribute equally"])

    program = parse(model(line, *rest))

    assert sentence(program.statements[0]) == said


def test_explanation_says_what_happens_if_nothing_applies():
    said = explain(parse(model("credit touch(2) with 1", "otherwise first_touch")))

    assert said == [
        "Touches count as far back as the account looks.",
        "Gives 100% to touch 2 from the start.",
        "If a journey has none of these touches, the first touch gets all.",
        "A conversion that no touch counts for stays unattributed.",
    ]


@settings(deadline=None)
@given(programs())
def test_every_program_can_be_explained(program):
    said = explain(program)
    rows = effective_weights(program)

    for statement in program.statements:
        assert isinstance(statement, Describe) or sentence(statement) in said
    assert [sum(row) for row in rows] == [1, 1, 1]


def test_a_credit_that_is_no_decimal_is_told_as_a_fraction():
    source = model("credit first_touch with 1/3", "credit last_touch with 2/3")

    assert explain(parse(source))[1] == "Gives 1/3 to the first touch."
