"""The rules: what each gives to whom, exactly."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.models import PRESETS
from mbuzz.server.attribution.rules import (
    RULES,
    first_touch,
    last_touch,
    milestone,
    time_decay,
    u_shaped,
    w_shaped,
    z_shaped,
)
from mbuzz.server.attribution.weights import WHOLE
from tests.server.attribution.journeys import (
    EDGE_CASES,
    journey_of_case,
    journeys,
)

DAY_MS = 86_400_000


def journey_of(length, converted=None, **milestones):
    times_ms = [index * 1000 for index in range(length)]
    return Journey(
        channels=("email",) * length,
        times_ms=times_ms,
        converted_at_ms=length * 1000 if converted is None else converted,
        milestones=milestones,
    )


def shares(weights):
    parts = [Fraction(part) for part in weights.parts]
    return [part / sum(parts) for part in parts]


def texts(*fractions):
    return [Fraction(text) for text in fractions]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", EDGE_CASES, ids=[case["name"] for case in EDGE_CASES])
def test_reference_case(case, rule):
    journey = journey_of_case(case)
    if not journey.channels:
        assert PRESETS[rule].divide(journey) is None
        return

    weights = RULES[rule](journey)

    expected = case["credits"][rule]
    given = [credit / WHOLE for credit in weights.credits]
    assert given == pytest.approx(expected, abs=1e-8)
    if rule in case["exact"]:
        assert shares(weights) == texts(*case["exact"][rule])
    if journey.revenue is not None:
        amounts = [f"{part / 10**6:.6f}" for part in weights.revenues(journey.revenue)]
        assert amounts == case["revenue_credits"][rule]


@pytest.mark.parametrize(
    ("rule", "journey", "expected", "roles"),
    [
        (u_shaped, journey_of(1), ["1"], ["first_touch+last_touch"]),
        (u_shaped, journey_of(2), ["1/2", "1/2"], ["first_touch", "last_touch"]),
        (
            u_shaped,
            journey_of(4),
            ["2/5", "1/10", "1/10", "2/5"],
            ["first_touch", "other", "other", "last_touch"],
        ),
        (
            w_shaped,
            journey_of(2, mql=1500),
            ["1/3", "2/3"],
            ["first_touch", "mql+last_touch"],
        ),
        (
            w_shaped,
            journey_of(3),
            ["3/7", "1/7", "3/7"],
            ["first_touch", "other", "last_touch"],
        ),
        (
            z_shaped,
            journey_of(3, mql=1000, sql=2000),
            ["1/4", "1/4", "1/2"],
            ["first_touch", "mql", "sql+last_touch"],
        ),
        (
            z_shaped,
            journey_of(4),
            ["9/22", "1/11", "1/11", "9/22"],
            ["first_touch", "other", "other", "last_touch"],
        ),
        (first_touch, journey_of(2), ["1", "0"], ["first_touch", ""]),
        (last_touch, journey_of(2), ["0", "1"], ["", "last_touch"]),
    ],
)
def test_who_has_which_role_and_what_that_gives(rule, journey, expected, roles):
    weights = rule(journey)

    assert shares(weights) == texts(*expected)
    assert list(weights.roles) == roles


def test_weights_are_those_that_people_know():
    assert [u_shaped(journey_of(4)).weight(place) for place in range(4)] == [
        *(0.4, 0.1, 0.1, 0.4)
    ]
    assert z_shaped(journey_of(2, mql=0)).weight(0) == 0.45
    assert time_decay(journey_of(1)).weight(0) == 1


@pytest.mark.parametrize(
    ("at_ms", "position"),
    [(-1, None), (0, 0), (999, 0), (1000, 1), (3000, 2), (3001, None)],
)
def test_milestone_is_of_the_latest_touchpoint_up_to_it(at_ms, position):
    assert milestone(journey_of(3, mql=at_ms), "mql") == position
    assert milestone(journey_of(3), "mql") is None


def test_time_decay_halves_with_every_half_life_and_never_underflows():
    journey = Journey(("a", "b", "c"), [0, 7 * DAY_MS, 14 * DAY_MS], 9_000 * DAY_MS)

    assert shares(time_decay(journey)) == texts("1/7", "2/7", "4/7")
    assert shares(time_decay(journey, 14 * 7.0))[0] > Fraction(3, 10)
    far = Journey(("a", "b"), [0, 10**6 * DAY_MS], 10**6 * DAY_MS)
    assert list(time_decay(far).credits) == [0, WHOLE]


@settings(deadline=None)
@given(journey=journeys(), rule=st.sampled_from(sorted(RULES)))
def test_credits_and_revenues_sum_exactly(journey, rule):
    weights = RULES[rule](journey)

    assert sum(weights.credits) == WHOLE
    assert min(weights.credits) >= 0
    if journey.revenue is not None:
        assert sum(weights.revenues(journey.revenue)) == journey.revenue


@settings(deadline=None)
@given(
    journey=journeys(),
    rule=st.sampled_from(sorted(RULES)),
    later=st.integers(-(10**12), 10**12),
)
def test_only_differences_of_times_matter(journey, rule, later):
    moved = journey._replace(
        times_ms=[time_ms + later for time_ms in journey.times_ms],
        converted_at_ms=journey.converted_at_ms + later,
        milestones={name: at + later for name, at in journey.milestones.items()},
    )

    assert RULES[rule](moved).parts == RULES[rule](journey).parts


@settings(deadline=None)
@given(journeys(most=80))
def test_time_decay_never_falls_with_later_time(journey):
    parts = time_decay(journey).parts

    assert list(parts) == sorted(parts)
    for (time, part), (other, same) in zip(
        zip(journey.times_ms, parts, strict=True),
        zip(journey.times_ms[1:], parts[1:], strict=True),
        strict=False,
    ):
        assert time != other or part == same


@given(st.integers(1, 300))
def test_u_shape_is_its_own_mirror_image(length):
    parts = list(u_shaped(journey_of(length)).parts)

    assert parts == parts[::-1]
    if length >= 3:
        assert shares(u_shaped(journey_of(length)))[0] == Fraction(2, 5)


@pytest.mark.parametrize(
    ("rule", "milestones", "share"),
    [
        (w_shaped, {"mql": 0}, 1),
        (z_shaped, {"mql": 0, "sql": 0}, 1),
        (z_shaped, {"mql": 1000, "sql": 1500}, Fraction(45, 100)),
    ],
)
def test_roles_on_one_touchpoint_add_up(rule, milestones, share):
    length = 1 if share == 1 else 4

    assert max(shares(rule(journey_of(length, **milestones)))) == share


def test_a_very_long_journey_is_divided_like_any_other():
    for rule in RULES.values():
        assert sum(rule(journey_of(10_000, mql=5, sql=9_000_000)).credits) == WHOLE
