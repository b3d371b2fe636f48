"""The data-driven models against figures of other implementations and exact fractions.

Tables have exact fractions; worlds were solved with numpy, fractions, scikit-learn and
marketing-attribution-models.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest

from mbuzz.server.attribution import algorithmic, markov, shapley
from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.paths import PathTable, observe
from mbuzz.server.attribution.weights import WHOLE
from tests.server.attribution.journey_worlds import RECORDS, digest, journeys

VECTORS = json.loads(
    (Path(__file__).parent / "vectors" / "data_driven.json").read_text("utf-8")
)
TABLES = {table["name"]: table for table in VECTORS["tables"]}
WORLDS = {world["name"]: world for world in VECTORS["worlds"]}
MILLION = 1_000_000


@cache
def table_of(name):
    table = PathTable()
    for row in TABLES[name]["paths"]:
        table.add(
            tuple(row["path"]),
            conversions=row["conversions"],
            revenue=int(Fraction(str(row["revenue"])) * MILLION),
            nulls=row["null"],
        )
    return table


@cache
def journeys_of(name):
    kind, _, count, seed = WORLDS[name]["generator"]
    return journeys(RECORDS[kind](count, seed))


def learned(name):
    return observe(journeys_of(name)) if name in WORLDS else table_of(name)


def conversions_of(name):
    if name in WORLDS:
        return [one for one in journeys_of(name) if one.converted_at_ms is not None]
    return [
        Journey(path, [0] * len(path), 1, revenue // conversions)
        for path, conversions, revenue in table_of(name).converting()
        for _ in range(conversions)
    ]


def expected(name):
    return (WORLDS.get(name) or TABLES[name])["expected"]


def cases(*keys):
    return [
        (name, key)
        for name in (*TABLES, *WORLDS)
        for key in keys
        if key in expected(name)
    ]


def assert_near(found, wanted, tolerance):
    wanted = {channel: float(Fraction(str(value))) for channel, value in wanted.items()}
    assert {channel: found.get(channel, 0) for channel in wanted} == pytest.approx(
        wanted, abs=tolerance, rel=0
    )


def assert_credits(weigh, name, conversions, revenue):
    credit, paid = {}, {}
    for journey in conversions_of(name):
        weights = weigh(journey)
        revenues = weights.revenues(journey.revenue or 0)
        for channel, part, amount in zip(
            journey.channels, weights.credits, revenues, strict=True
        ):
            credit[channel] = credit.get(channel, 0) + part
            paid[channel] = paid.get(channel, 0) + amount
    assert_near({key: part / WHOLE for key, part in credit.items()}, conversions, 1e-5)
    assert_near({key: part / MILLION for key, part in paid.items()}, revenue, 0.01)


@pytest.mark.parametrize("name", WORLDS)
def test_worlds_are_those_of_the_figures(name):
    kind, _, count, seed = WORLDS[name]["generator"]

    assert digest(RECORDS[kind](count, seed)) == WORLDS[name]["sha256"]


@pytest.mark.parametrize("name", WORLDS)
def test_table_counts_what_the_world_has(name):
    table = learned(name)

    totals = WORLDS[name]["totals"]
    assert table.journeys == totals["journeys"]
    assert table.conversions == totals["conversions"]
    assert table.revenue == round(totals["revenue"] * MILLION)


@pytest.mark.parametrize(
    ("name", "key"), cases(*(f"markov_order{order}" for order in markov.ORDERS))
)
def test_markov(name, key):
    wanted = expected(name)[key]

    model = markov.train(learned(name), int(key[-1]))

    assert_near(model.removal_effects, wanted["removal_effect"], 1e-9)
    assert_near(model.value_removal_effects, wanted["removal_effect_value"], 1e-9)
    assert_near(model.channel_conversions(), wanted["channel_conversions"], 1e-5)
    revenue = {key: part / MILLION for key, part in model.channel_revenue().items()}
    assert_near(revenue, wanted["channel_revenue"], 0.01)
    assert model.conversion_probability == pytest.approx(
        float(Fraction(str(wanted["p_conversion"]))), abs=1e-12
    )
    assert model.states == wanted.get("states", model.states)
    if "credit_conversions" in wanted:
        assert_credits(
            model.weigh, name, wanted["credit_conversions"], wanted["credit_revenue"]
        )


@pytest.mark.parametrize(("name", "key"), cases("shapley"))
def test_shapley(name, key):
    wanted = expected(name)[key]

    model = shapley.train(learned(name))

    assert_near(model.raw_conversions, wanted["raw_conversions"], 1e-5)
    if "raw_revenue" in wanted:
        raw = {key: part / MILLION for key, part in model.raw_revenue.items()}
        assert_near(raw, wanted["raw_revenue"], 0.01)
    assert_credits(model.weigh, name, wanted["conversions"], wanted["revenue"])


@pytest.mark.parametrize(("name", "key"), cases("shapley_conversions"))
def test_shapley_of_conversions(name, key):
    wanted = expected(name)[key]

    assert_credits(
        shapley.weigh_by_presence, name, wanted["conversions"], wanted["revenue"]
    )


@pytest.mark.parametrize(("name", "key"), cases("algorithmic"))
def test_algorithmic(name, key):
    wanted = expected(name)[key]

    model = algorithmic.train(learned(name))

    assert model.intercept == pytest.approx(wanted["intercept"], abs=1e-6)
    assert_near(model.coefficients, wanted["coefficients"], 1e-6)
    assert_credits(model.weigh, name, wanted["conversions"], wanted["revenue"])


@pytest.mark.parametrize(
    "name", [name for name in WORLDS if WORLDS[name]["journey_credits"]]
)
def test_credit_of_single_touchpoints(name):
    models = {
        "markov_order1": markov.train(learned(name)).weigh,
        "shapley": shapley.train(learned(name)).weigh,
        "shapley_conversions": shapley.weigh_by_presence,
        "algorithmic": algorithmic.train(learned(name)).weigh,
    }

    for wanted in WORLDS[name]["journey_credits"]:
        journey = journeys_of(name)[wanted["id"]]
        for key, weigh in models.items():
            found = [part / WHOLE for part in weigh(journey).credits]
            assert found == pytest.approx(wanted[key], abs=1e-8, rel=0)


@cache
def path_data():
    """Return ChannelAttribution's data, which is not ours to copy, if it is here."""
    path = os.environ.get("MBUZZ_TEST_PATH_DATA")
    if path is None:
        pytest.skip("MBUZZ_TEST_PATH_DATA names no data/Data.csv of ChannelAttribution")
    content = Path(path).read_bytes()
    assert hashlib.sha256(content).hexdigest() == VECTORS["path_data"]["sha256"]
    rows = list(csv.DictReader(content.decode().splitlines(), delimiter=";"))
    table = PathTable()
    for row in rows[: VECTORS["path_data"]["rows"]]:
        table.add(
            tuple(row["path"].split(" > ")),
            conversions=int(row["total_conversions"]),
            revenue=round(Fraction(row["total_conversion_value"]) * MILLION),
            nulls=int(row["total_null"]),
        )
    return table


@pytest.mark.parametrize("order", [1, 2, 3])
def test_markov_on_data_of_channel_attribution(order):
    wanted = VECTORS["path_data"]["expected"][f"markov_order{order}"]

    model = markov.train(path_data(), order)

    assert_near(model.removal_effects, wanted["removal_effect"], 1e-9)
    assert_near(model.channel_conversions(), wanted["channel_conversions"], 1e-5)


def test_shapley_and_algorithmic_on_data_of_channel_attribution():
    wanted = VECTORS["path_data"]["expected"]

    raw = shapley.train(path_data()).raw_conversions
    coefficients = algorithmic.train(path_data()).coefficients

    assert_near(raw, wanted["shapley"]["raw_conversions"], 1e-5)
    assert_near(coefficients, wanted["algorithmic"]["coefficients"], 1e-6)
