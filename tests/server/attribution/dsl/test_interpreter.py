"""What programs do with journeys."""

from fractions import Fraction

import pytest
from hypothesis import given, settings

from mbuzz.server.attribution.dsl.interpreter import (
    MOST_TOUCHES,
    compile_parsed,
    compile_program,
)
from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.weights import WHOLE
from tests.server.attribution.dsl.programs import (
    CONVERTED_AT_MS,
    DAY_MS,
    journey,
    journeys,
    model,
    programs,
    shares,
)

LAST = "credit last_touch with 1"
FIVE = journey(("a", 40), ("b", 20), ("a", 10), ("c", 5), ("direct", 1), mql=12)


def given_to(source, one):
    """Return the exact shares that a program gives."""
    return shares(compile_program(source).divide(one), len(one.channels))


def test_model_is_called_what_is_asked():
    compiled = compile_program(model(LAST), "mine", 3)

    assert (compiled.key, compiled.version, compiled.lookback_ms) == ("mine", 3, None)


@pytest.mark.parametrize(
    ("duration", "lookback_ms"),
    [("30 days", 30 * DAY_MS), ("1 minute", 60_000), ("0.000025 minutes", 1)],
)
def test_lookback_is_the_models_own(duration, lookback_ms):
    compiled = compile_program(model(f"lookback {duration}", LAST))

    assert compiled.lookback_ms == lookback_ms


def test_both_edges_of_a_lookback_count():
    compiled = compile_program(model("lookback 10 days", "distribute equally"))

    division = compiled.divide(journey(("a", 10.0001), ("b", 10), ("c", 0)))

    assert list(division.positions) == [1, 2]


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ('channel("a")', [1, 3, 4]),
        ('not channel("a")', [0, 2]),
        ("age > 10 days", [2, 3, 4]),
        ("age >= 10 days", [3, 4]),
        ("age < 5 days", [0, 1, 2, 3]),
        ("age <= 5 days", [0, 1, 2]),
        ("first_touch or last_touch", [1, 2, 3]),
        ("middle_touches", [0, 4]),
        ("touch(2) or touch(-2) or touch(9)", [0, 2, 4]),
        ('milestone("mql")', [0, 2, 3, 4]),
        ('milestone("sql")', [0, 1, 2, 3, 4]),
        ('channel("a") and not first_touch', [0, 1, 3, 4]),
        ("all_touches", [0, 1, 2, 3, 4]),  # none would be left
    ],
)
def test_excluded_touches_do_not_count(condition, kept):
    compiled = compile_program(model(f"exclude {condition}", "distribute equally"))

    division = compiled.divide(FIVE)

    assert list(division.positions) == kept
    assert len(division.weights.parts) == len(kept)


def test_positions_are_counted_before_and_after_excluding():
    source = model("exclude first_touch or last_touch", "credit first_touch with 1")

    assert given_to(source, FIVE) == [0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("lines", "roles"),
    [
        (
            ["credit first_touch with 0.5", 'credit milestone("mql") with 0.5'],
            ["first_touch", 'milestone("mql")', "", "", ""],
        ),
        (
            ["credit first_touch with 0.5", "credit touch(1) with 0.5"],
            ["first_touch+touch(1)", "", "", "", ""],
        ),
        (
            [
                'credit all_touches where channel("a") with 0.5',
                "credit all_touches where first_touch with 0.5",
                "otherwise last_touch",
            ],
            ["all_touches", "", "all_touches", "", ""],
        ),
        (
            ["credit touch(9) with 1", "otherwise last_touch"],
            ["", "", "", "", "otherwise"],
        ),
        (["distribute equally"], [""] * 5),
    ],
)
def test_roles_are_the_words_of_the_program(lines, roles):
    division = compile_program(model(*lines)).divide(FIVE)

    assert list(division.weights.roles) == roles


def test_others_are_what_no_statement_with_its_condition_chose():
    source = model(
        'credit all_touches where channel("a") with 0.5',
        'credit other_touches where channel("b", "a") with 0.25',
        "credit other_touches with 0.25",
    )

    found = given_to(source, FIVE)

    twelfth = Fraction(1, 12)
    quarter = Fraction(1, 4)
    assert found == [quarter, quarter + twelfth, quarter, twelfth, twelfth]


def test_weight_is_the_one_that_people_know():
    u_shaped = model(
        "credit first_touch with 0.4",
        "credit last_touch with 0.4",
        "credit middle_touches with 0.2",
    )

    weights = compile_program(u_shaped).divide(FIVE).weights
    weighed = compile_program(
        model('weight channel("a") by 1.5', "distribute proportionally")
    ).divide(FIVE)

    assert [weights.weight(n) for n in range(3)] == [0.4, 0.2 / 3, 0.2 / 3]
    assert [weighed.weights.weight(n) for n in range(2)] == [1.5, 1.0]


@pytest.mark.parametrize(
    "lines",
    [
        ["distribute by recency(1 minute)"],
        ["weight last_touch by 0.000001", "distribute by recency(1 minute)"],
        ["credit all_touches with 1 by recency(1 minute)"],
        ["credit touch(9) with 1", "otherwise by recency(1 minute)"],
    ],
)
def test_age_that_no_float_can_tell_still_gives_the_credit(lines):
    old = journey(("a", 9000), ("b", 8000), ("c", 8000))

    weights = compile_program(model(*lines)).divide(old).weights

    assert weights.credits[0] == 0
    assert sum(weights.credits) == WHOLE


def test_weights_are_exact_however_many_multiply():
    factors = [f"weight touch({n}) by 1/{999_999_999_989 - n}" for n in range(1, 61)]
    source = model(*factors, "distribute proportionally")

    found = given_to(source, journey(("a", 3), ("b", 2), ("c", 1)))

    ratio = Fraction(999_999_999_987, 999_999_999_988)
    assert found[0] / found[1] == ratio


@pytest.mark.parametrize("half_lives", [60, 70, 600, 5000])
def test_recency_is_as_exact_however_large_weights_are(half_lives):
    heavier = ["weight not last_touch by 1000"] * (half_lives // 10)
    source = model(*heavier[:60], "distribute by recency(1 day)")
    one = journey(("a", half_lives + 0.5), ("b", 0))

    found = compile_program(source).divide(one).weights.credits

    weight = Fraction(1000) ** len(heavier[:60]) / 2**half_lives
    old = float(weight) * 0.5**0.5
    assert found[0] / WHOLE == pytest.approx(old / (old + 1), abs=2e-9)


def test_of_a_journey_that_is_too_long_the_latest_count():
    size = MOST_TOUCHES + 3
    times_ms = [CONVERTED_AT_MS - size + n for n in range(size)]
    long = Journey(("a",) * 5 + ("b",) * (size - 5), times_ms, CONVERTED_AT_MS)

    first = compile_program(model("credit first_touch with 1")).divide(long)
    without = compile_program(model('exclude channel("a")', LAST)).divide(long)

    assert list(first.positions) == list(range(3, size))
    assert first.weights.credits[0] == WHOLE
    assert list(without.positions) == list(range(5, size))


def test_unattributed_if_no_touch_counts():
    compiled = compile_program(model("lookback 1 day", "exclude first_touch", LAST))

    assert compiled.divide(journey(("a", 2))) is None


@settings(deadline=None)
@given(programs(), journeys())
def test_every_program_gives_every_journey_exactly_its_credit(program, one):
    compiled = compile_parsed(program)

    division = compiled.divide(one)

    if division is None:
        assert compiled.lookback_ms is not None
        return
    weights = division.weights
    assert sum(weights.credits) == WHOLE
    assert len(weights.parts) == len(weights.roles) == len(division.positions)
    assert min(weights.parts) >= 0
    assert list(division.positions) == sorted(set(division.positions))
    again = compiled.divide(one)
    assert (list(again.positions), again.weights) == (
        list(division.positions),
        weights,
    )


@settings(deadline=None)
@given(programs(), journeys())
def test_time_itself_changes_nothing(program, one):
    compiled = compile_parsed(program)
    later = one._replace(
        times_ms=[time_ms + 7 for time_ms in one.times_ms],
        converted_at_ms=one.converted_at_ms + 7,
        milestones={name: time_ms + 7 for name, time_ms in one.milestones.items()},
    )

    now, then = compiled.divide(one), compiled.divide(later)

    assert (now and now.weights) == (then and then.weights)


def test_half_of_a_half_life():
    source = model("distribute by recency(2 days)")

    found = given_to(source, journey(("a", 4), ("b", 2), ("c", 0)))

    assert found == [Fraction(1, 7), Fraction(2, 7), Fraction(4, 7)]
