"""What must hold of the data-driven models whatever was learned from."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mbuzz.server.attribution import algorithmic, markov, shapley
from mbuzz.server.attribution.coalitions import count_coalitions, shapley_values
from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.paths import PathTable, observe
from mbuzz.server.attribution.trained import TRAINED, restore, train
from mbuzz.server.attribution.weights import WHOLE

PATHS = st.lists(st.sampled_from("abcde"), min_size=1, max_size=6).map(tuple)
JOURNEYS = st.lists(
    st.builds(
        lambda channels, revenue: Journey(
            channels,
            [0] * len(channels),
            None if revenue is None else 1,
            revenue,
        ),
        PATHS,
        st.one_of(st.none(), st.integers(0, 10**9)),
    ),
    min_size=1,
    max_size=25,
)
ORDERS = st.sampled_from(markov.ORDERS)
KEYS = st.sampled_from(TRAINED)
NEAR = {"abs": 1e-9, "rel": 0}


def converting(journeys):
    return [journey for journey in journeys if journey.converted_at_ms is not None]


def learned(journeys):
    assume(converting(journeys))
    return observe(journeys)


def renamed(journeys, names):
    return [
        journey._replace(channels=tuple(names[channel] for channel in journey.channels))
        for journey in journeys
    ]


@settings(deadline=None)
@given(JOURNEYS, PATHS, KEYS, ORDERS, st.integers(-(10**12), 10**12))
def test_credits_and_revenue_sum_exactly(journeys, path, key, order, revenue):
    model = train(key, learned(journeys), order=order)

    weights = model.weigh(Journey(path, [0] * len(path), 1))

    assert sum(weights.credits) == WHOLE
    assert all(0 <= credit <= WHOLE for credit in weights.credits)
    assert sum(weights.revenues(revenue)) == revenue


@settings(deadline=None)
@given(JOURNEYS, st.randoms(use_true_random=False), KEYS, ORDERS)
def test_order_of_journeys_changes_no_bit(journeys, random, key, order):
    model = train(key, learned(journeys), order=order)
    shuffled = random.sample(journeys, len(journeys))

    again = train(key, observe(shuffled), order=order)

    assert json.dumps([again.state, again.diagnostics]) == json.dumps(
        [model.state, model.diagnostics]
    )


@settings(deadline=None)
@given(JOURNEYS, KEYS, ORDERS, st.sampled_from(["rate", "conversions"]))
def test_restored_model_gives_the_same_credits(journeys, key, order, worth):
    model = train(key, learned(journeys), order=order, worth=worth)

    restored = restore(key, json.loads(json.dumps(model.state)))

    for journey in journeys:
        assert restored.weigh(journey) == model.weigh(journey)


@settings(deadline=None)
@given(JOURNEYS, st.permutations("abcde"), KEYS, ORDERS)
def test_renamed_channels_get_what_they_had(journeys, names, key, order):
    model = train(key, learned(journeys), order=order)
    others = renamed(journeys, dict(zip("abcde", names, strict=True)))

    again = train(key, observe(others), order=order)

    for journey, other in zip(journeys, others, strict=True):
        assert again.weigh(other).credits == pytest.approx(
            model.weigh(journey).credits, abs=2
        )


@settings(deadline=None)
@given(JOURNEYS, KEYS, ORDERS, st.integers(2, 50))
def test_scaled_revenue_changes_no_credit(journeys, key, order, factor):
    model = train(key, learned(journeys), order=order)
    richer = [
        journey._replace(revenue=(journey.revenue or 0) * factor)
        for journey in journeys
    ]

    again = train(key, observe(richer), order=order)

    assert again.state == model.state


@settings(deadline=None)
@given(JOURNEYS, ORDERS)
def test_chain_converts_as_often_as_the_journeys(journeys, order):
    model = markov.train(learned(journeys), order)

    share = len(converting(journeys)) / len(journeys)
    from_start = sum(
        chance * converts_from(model, window)
        for window, chance in model.transitions[markov.START].items()
    )
    assert model.conversion_probability == share
    assert from_start == pytest.approx(share, **NEAR)


def converts_from(model, window):
    """Return how probably walks from a window convert, by walking them a long way."""
    at, found = {window: 1.0}, 0.0
    for _ in range(2000):
        following = {}
        for name, chance in at.items():
            for target, step in model.transitions[name].items():
                following[target] = following.get(target, 0.0) + chance * step
        found += following.pop(markov.CONVERSION, 0.0)
        following.pop(markov.NULL, None)
        at = following
        if sum(at.values()) < 1e-12:
            break
    return found


@settings(deadline=None)
@given(JOURNEYS, ORDERS)
def test_removal_effects_are_shares(journeys, order):
    model = markov.train(learned(journeys), order)

    effects = [*model.removal_effects.values(), *model.value_removal_effects.values()]
    assert all(0 <= effect <= 1 for effect in effects)
    assert sum(model.channel_conversions().values()) == pytest.approx(
        model.conversions, **NEAR
    )


@settings(deadline=None)
@given(JOURNEYS)
def test_whole_path_as_memory_loses_the_conversions_that_met_the_channel(journeys):
    short = [
        journey._replace(channels=journey.channels[: max(markov.ORDERS)])
        for journey in journeys
    ]

    model = markov.train(learned(short), max(markov.ORDERS))

    sold = converting(short)
    for channel, effect in model.removal_effects.items():
        met = sum(channel in journey.channels for journey in sold)
        assert effect == pytest.approx(met / len(sold), **NEAR)


@settings(deadline=None)
@given(JOURNEYS)
def test_repeats_do_not_matter_at_order_1(journeys):
    model = markov.train(learned(journeys))
    stuttered = [
        journey._replace(
            channels=tuple(channel for channel in journey.channels for _ in range(3))
        )
        for journey in journeys
    ]

    again = markov.train(observe(stuttered))

    assert again.removal_effects == pytest.approx(model.removal_effects, **NEAR)


@settings(deadline=None)
@given(JOURNEYS, ORDERS, st.integers(2, 9))
def test_multiplied_counts_change_no_effect(journeys, order, factor):
    table = learned(journeys)
    multiplied = PathTable()
    for path, conversions, revenue in table.converting():
        multiplied.add(path, conversions=conversions * factor, revenue=revenue * factor)
    for path, nulls in table.nulls.items():
        multiplied.add(path, nulls=nulls * factor)

    again = markov.train(multiplied, order)

    model = markov.train(table, order)
    assert again.removal_effects == pytest.approx(model.removal_effects, **NEAR)
    assert shapley.train(multiplied).raw_conversions == pytest.approx(
        {
            channel: value * factor
            for channel, value in shapley.train(table).raw_conversions.items()
        },
        abs=1e-7,
    )


@settings(deadline=None)
@given(JOURNEYS)
def test_added_paths_count_as_observed_ones(journeys):
    added = PathTable()
    for journey in journeys:
        sold = journey.converted_at_ms is not None
        added.add(
            journey.channels,
            conversions=int(sold),
            revenue=journey.revenue or 0,
            nulls=int(not sold),
        )

    table = observe(journeys)

    assert dict(added.nulls) == dict(table.nulls)
    assert sorted(added.converting()) == sorted(table.converting())


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=31, max_size=31))
def test_values_are_those_of_the_definition(worths):
    worths = [0.0, *worths]

    values = shapley_values(worths)

    for player in range(5):
        marginal = 0.0
        for others in range(32):
            if not others >> player & 1:
                size = others.bit_count()
                orders = math.factorial(size) * math.factorial(4 - size) / 120
                marginal += orders * (worths[others | 1 << player] - worths[others])
        assert values[player] == pytest.approx(marginal, abs=1e-12)


@settings(deadline=None)
@given(JOURNEYS)
def test_raw_values_sum_to_conversions_and_revenue(journeys):
    table = learned(journeys)

    model = shapley.train(table)

    assert sum(model.raw_conversions.values()) == pytest.approx(table.conversions)
    assert sum(model.raw_revenue.values()) == pytest.approx(table.revenue, abs=1e-3)


@settings(deadline=None)
@given(JOURNEYS)
def test_each_set_shares_its_rate(journeys):
    model = shapley.train(learned(journeys))
    game = shapley.RateGame(model.rates)

    for rate in model.rates:
        values = game.values(rate.channels)

        assert sum(values.values()) == pytest.approx(rate.conversions / rate.journeys)


@settings(deadline=None)
@given(JOURNEYS, st.sampled_from(["shapley", "algorithmic"]))
def test_order_and_repeats_of_touchpoints_do_not_matter_to_sets(journeys, key):
    table = learned(journeys)
    stuttered = [
        journey._replace(channels=journey.channels[::-1] + journey.channels)
        for journey in journeys
    ]

    assert train(key, observe(stuttered)).state == train(key, table).state


def test_null_player_gets_nothing():
    table = PathTable()
    for path, rate in {"a": 2, "b": 4, "ab": 6, "z": 0, "az": 2, "bz": 4}.items():
        table.add(tuple(path), conversions=rate, nulls=10 - rate)
    table.add(tuple("abz"), conversions=6, nulls=4)

    weights = shapley.train(table).weigh(Journey(tuple("abz"), [0] * 3, 1))

    assert weights.credits[2] <= 1
    assert weights.credits[0] < weights.credits[1]


def test_thousands_of_channels_in_one_journey_are_no_matter():
    path = tuple(f"c{n}" for n in range(10_000))
    table = PathTable()
    table.add(path, conversions=1)

    weights = shapley.train(table).weigh(Journey(path, [0] * len(path), 1))

    assert set(weights.credits) == {WHOLE // len(path)}


def test_effects_on_revenue_are_shares_where_all_was_given_back():
    table = PathTable()
    table.add(("a", "b"), conversions=2, revenue=-10, nulls=1)

    assert markov.train(table).channel_revenue() == {"a": -5.0, "b": -5.0}


def test_channels_that_do_the_same_get_the_same():
    table = PathTable()
    for path, conversions in {"a": 3, "b": 3, "ab": 5, "c": 1}.items():
        table.add(tuple(path), conversions=conversions, nulls=10)
    journey = Journey(("a", "b"), [0, 0], 1)

    for key in ("shapley", "algorithmic"):
        first, second = train(key, table).weigh(journey).credits

        assert first == pytest.approx(second, abs=1)


@settings(deadline=None)
@given(JOURNEYS)
def test_fit_is_at_the_lowest_point(journeys):
    table = learned(journeys)
    assume(table.conversions < table.journeys)

    model = algorithmic.train(table)

    slopes = dict(model.coefficients)
    total = 0.0
    for channels, outcome in count_coalitions(table).items():
        odds = model.intercept + sum(model.coefficients[name] for name in channels)
        excess = outcome.journeys / (1 + math.exp(-odds)) - outcome.conversions
        total += excess
        for name in channels:
            slopes[name] += excess
    assert [total, *slopes.values()] == pytest.approx([0] * (len(slopes) + 1), abs=2e-9)


@settings(deadline=None)
@given(
    st.floats(-6, 2),
    st.dictionaries(st.sampled_from("abcdefghijklmnop"), st.floats(-1, 3), min_size=1),
)
def test_larger_coefficient_never_gets_less(intercept, coefficients):
    model = algorithmic.AlgorithmicModel(
        intercept=intercept, coefficients=coefficients, fallback=False
    )

    shares = model.shares(frozenset(coefficients))

    ranked = sorted(coefficients, key=coefficients.__getitem__)
    for lower, higher in pairwise(ranked):
        assert shares[lower] <= shares[higher] + 1e-9
    assert sum(shares.values()) == pytest.approx(1)


@settings(deadline=None)
@given(st.integers(1, 16), st.floats(-6, 2), st.floats(-1, 3))
def test_equal_coefficients_get_equal_shares(count, intercept, effect):
    names = "abcdefghijklmnop"[:count]
    model = algorithmic.AlgorithmicModel(
        intercept=intercept, coefficients=dict.fromkeys(names, effect), fallback=False
    )

    shares = model.shares(frozenset(names))

    assert list(shares.values()) == pytest.approx([1 / count] * count)


@settings(deadline=None)
@given(PATHS)
def test_presence_is_shared_equally_and_exactly(path):
    weights = shapley.weigh_by_presence(Journey(path, [0] * len(path), 1))

    parts = [Fraction(part, weights.scale) for part in weights.parts]
    assert parts == [Fraction(1, len(set(path)) * path.count(name)) for name in path]
