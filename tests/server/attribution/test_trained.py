"""Training on what is scarce, one-sided, huge or odd; and what is kept of it."""

from __future__ import annotations

import json
import math
import random

import pytest

from mbuzz.server.attribution import markov
from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.paths import NoConversionsError, PathTable, observe
from mbuzz.server.attribution.trained import SMALL_SAMPLE, TRAINED, restore, train
from mbuzz.server.attribution.weights import WHOLE

ONE_SIDED = {
    "one channel": [("a", 1, 1)],
    "one channel again and again": [("aaaa", 1, 3), ("a", 0, 1)],
    "one journey": [("abca", 1, 0)],
    "nothing but conversions": [("ab", 3, 0), ("b", 2, 0), ("c", 1, 0)],
    "a channel without conversions": [("ab", 3, 5), ("z", 0, 9), ("az", 0, 2)],
    "two worlds that never meet": [("ab", 3, 5), ("cd", 2, 9)],
}


def table_of(rows):
    table = PathTable()
    for path, conversions, nulls in rows:
        table.add(
            tuple(path), conversions=conversions, revenue=conversions * 7, nulls=nulls
        )
    return table


def credits_of(model, channels):
    channels = tuple(channels)
    return model.weigh(Journey(channels, range(len(channels)), 10**9)).credits


def numbers(value):
    if isinstance(value, dict):
        return [number for each in value.values() for number in numbers(each)]
    if isinstance(value, list):
        return [number for each in value for number in numbers(each)]
    return [value] if isinstance(value, float) else []


def random_table(journeys, channels, length, seed=7):
    draw = random.Random(seed)
    table = PathTable()
    for _ in range(journeys):
        path = tuple(
            f"c{int(channels * draw.random() ** 3)}"
            for _ in range(1 + int(draw.random() * 2 * length))
        )
        table.add(path, conversions=int(draw.random() < 0.3), nulls=1)
    return table


@pytest.mark.parametrize("order", markov.ORDERS)
@pytest.mark.parametrize("key", TRAINED)
@pytest.mark.parametrize("rows", ONE_SIDED.values(), ids=ONE_SIDED)
def test_little_is_enough(rows, key, order):
    model = train(key, table_of(rows), order=order)

    assert all(map(math.isfinite, numbers(json.loads(json.dumps(model.diagnostics)))))
    for path, _, _ in rows:
        assert sum(credits_of(model, path)) == WHOLE


@pytest.mark.parametrize("key", ["markov", "shapley"])
@pytest.mark.parametrize("rows", [[], [("ab", 0, 3)]])
def test_without_conversions_there_is_nothing_to_learn(key, rows):
    with pytest.raises(NoConversionsError, match="at least one converted"):
        train(key, table_of(rows))


@pytest.mark.parametrize("rows", [[], [("aab", 0, 3)], [("aab", 3, 0)]])
def test_regression_without_two_outcomes_falls_back_to_equal_channels(rows):
    model = train("algorithmic", table_of(rows))

    assert model.diagnostics["fallback"]
    assert credits_of(model, "aab") == [WHOLE // 4, WHOLE // 4, WHOLE // 2]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("best", PathTable()), "one of markov, shapley, algorithmic; got 'best'"),
        (("markov", PathTable(), 0), "order must be 1, 2, 3 or 4, got 0"),
        (("markov", PathTable(), 5), "order must be 1, 2, 3 or 4, got 5"),
    ],
)
def test_unknown_model_and_order_are_refused(arguments, text):
    key, table, *order = arguments

    with pytest.raises(ValueError, match=text):
        train(key, table, **dict(zip(["order"], order, strict=False)))


def test_unknown_worth_is_refused():
    with pytest.raises(ValueError, match="one of rate, conversions; got 'fame'"):
        train("shapley", PathTable(), worth="fame")


def test_restoring_an_unknown_model_is_refused():
    with pytest.raises(ValueError, match="got 'best'"):
        restore("best", {})


@pytest.mark.parametrize("worth", ["rate", "conversions"])
@pytest.mark.parametrize("key", TRAINED)
def test_unknown_channels_get_nothing_beside_known_ones(key, worth):
    model = train(key, table_of([("a", 2, 8), ("ab", 3, 7)]), worth=worth)

    found = credits_of(model, "axb")

    if worth == "conversions" and key == "shapley":
        assert max(found) - min(found) <= 1  # it knows no channel, and needs none
    else:
        assert found[1] == 0
    first, second, third = credits_of(model, "xyz")
    assert max(first, second, third) - min(first, second, third) <= 1


def test_set_that_never_converted_is_as_good_as_the_best_part_of_it():
    model = train("shapley", table_of([("a", 3, 7), ("b", 1, 9), ("z", 0, 5)]))

    assert credits_of(model, "ab") == [833_333_333, 166_666_667]
    assert credits_of(model, "za") == [0, WHOLE]
    assert credits_of(model, "z") == [WHOLE]


def test_diagnostics_say_what_was_learned_from():
    table = table_of([("ab", SMALL_SAMPLE - 1, 5), ("b", 0, 2)])

    found = train("markov", table).diagnostics

    assert found["journeys"] == SMALL_SAMPLE + 6
    assert found["conversions"] == SMALL_SAMPLE - 1
    assert found["revenue"] == 7 * (SMALL_SAMPLE - 1)
    assert found["channels"] == ["a", "b"]
    assert found["small_sample"]
    assert found["removal_effects"]["b"] == 1.0
    assert found["transitions"]["a"] == {"b": 1.0}


def test_sample_is_large_enough_from_some_conversions_on():
    table = table_of([("ab", SMALL_SAMPLE, 5)])

    assert not train("markov", table).diagnostics["small_sample"]


@pytest.mark.parametrize("order", markov.ORDERS)
@pytest.mark.parametrize("key", TRAINED)
def test_long_journeys_of_many_channels(key, order):
    draw = random.Random(3)
    path = tuple(f"c{int(draw.random() * 40)}" for _ in range(10_000))
    table = table_of([("ab", 2, 5), ("b", 1, 8)])
    table.add(path, conversions=1, revenue=5)

    model = train(key, table, order=order)

    assert sum(credits_of(model, path)) == WHOLE


def test_very_long_journeys_are_learned_without_repeats():
    long, short = ("a",) * 400 + ("b",) * 101, ("a", "b")

    table = observe([Journey(long, range(501), 501, 5), Journey(short, range(2))])

    assert list(table.converting()) == [(short, 1, 5)]
    assert dict(table.nulls) == {short: 1}


def test_journeys_without_touchpoints_are_passed_over():
    table = observe([Journey((), ()), Journey((), (), 1, 5)])
    table.add((), conversions=2, revenue=3, nulls=4)

    assert (table.journeys, table.revenue, table.channels) == (0, 0, ())


@pytest.mark.parametrize(
    "counts", [{"conversions": -1}, {"nulls": -1}, {"revenue": 1, "nulls": 1}]
)
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match=r"must be 0 or more|needs conversions"):
        PathTable().add(("a",), **counts)


@pytest.mark.parametrize("key", TRAINED)
def test_a_thousand_channels(key):
    table = random_table(3000, 1000, 2)

    model = train(key, table)

    for path, _, _ in table.converting():
        assert sum(credits_of(model, path)) == WHOLE


def test_estimated_effects_are_near_exact_ones(monkeypatch):
    table = random_table(20_000, 12, 3)
    exact = markov.train(table, 2)
    monkeypatch.setattr("mbuzz.server.attribution.removal._MOST_STEPS", 0)

    estimated = markov.train(table, 2)

    assert list(estimated.estimated) == list(table.channels)
    assert estimated.removal_effects == pytest.approx(exact.removal_effects, abs=0.05)


def test_sweeps_and_elimination_agree(monkeypatch):
    table = random_table(2000, 12, 5)
    swept = markov.train(table, 2)
    monkeypatch.setattr("mbuzz.server.attribution.absorption._MOST_TURNS", 0)

    eliminated = markov.train(table, 2)

    assert eliminated.removal_effects == pytest.approx(swept.removal_effects, abs=1e-11)


def test_walks_of_thousands_of_steps_are_solved():
    table = PathTable()
    table.add(("a", "b") * 2500, conversions=1)
    table.add(("a", "c") * 2500 + ("b",), nulls=1)

    effects = markov.train(table).removal_effects

    assert effects == pytest.approx({"a": 1, "b": 1, "c": effects["c"]}, abs=1e-9)
    assert 0.5 < effects["c"] < 1


def test_many_sets_of_many_channels():
    draw = random.Random(5)
    names = [f"c{index}" for index in range(40)]
    table = PathTable()
    for _ in range(4000):
        table.add(
            tuple(draw.sample(names, draw.randint(1, 40))), conversions=1, nulls=2
        )

    model = train("shapley", table)

    assert sum(credits_of(model, names)) == WHOLE
    assert sum(model.diagnostics["raw_conversions"].values()) == pytest.approx(4000)


def test_sets_beyond_the_limit_have_equal_channels(monkeypatch):
    monkeypatch.setattr("mbuzz.server.attribution.shapley._MOST_STEPS", 4)
    table = table_of([("a", 2, 1), ("b", 1, 8), ("abcd", 1, 1), ("abce", 1, 1)])

    model = train("shapley", table)

    assert model.diagnostics["too_large_sets"] == 2
    assert credits_of(model, "abcd") == [WHOLE // 4] * 4
    assert credits_of(model, "a") == [WHOLE]
