"""What each model gives to whom, to the last millionth."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbuzz.server.attribution import models
from mbuzz.server.attribution.journeys import eligible
from mbuzz.server.attribution.models import MODEL_LABELS, MODELS, WHOLE
from mbuzz.server.model import UNATTRIBUTED, Touchpoint

CASES = json.loads(
    (Path(__file__).parent / "vectors" / "edge_cases.json").read_text("utf-8")
)
DAY_MS = 86_400_000


def journey_of(length):
    return tuple(
        Touchpoint(
            session_id=index,
            public_id=f"sess_{index}",
            channel="email",
            started_at_ms=index,
        )
        for index in range(length)
    )


def summary(rows):
    return [(row.position, row.credit, row.revenue) for row in rows]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("first_touch", [(0, WHOLE, 100_000_000)]),
        ("last_touch", [(2, WHOLE, 100_000_000)]),
        (
            "linear",
            [
                (0, 333_333_334, 33_333_334),
                (1, 333_333_333, 33_333_333),
                (2, 333_333_333, 33_333_333),
            ],
        ),
    ],
)
def test_credit_of_three_touchpoints(model, expected):
    journey = journey_of(3)

    rows = models.credits(model, journey, 100_00, 2)

    assert summary(rows) == expected
    assert all(row.touchpoint is journey[row.position] for row in rows)
    assert {row.model for row in rows} == {model}


@pytest.mark.parametrize("model", MODELS)
def test_one_touchpoint_gets_everything(model):
    assert summary(models.credits(model, journey_of(1), 5, 2)) == [(0, WHOLE, 50_000)]


@pytest.mark.parametrize("model", MODELS)
def test_conversion_without_journey_is_unattributed(model):
    (row,) = models.credits(model, (), 99_99, 2)

    assert row.channel == UNATTRIBUTED
    assert row.touchpoint is None
    assert summary([row]) == [(0, WHOLE, 99_990_000)]


@pytest.mark.parametrize("journey", [(), journey_of(2)])
@pytest.mark.parametrize("model", MODELS)
def test_no_revenue_is_not_zero_revenue(model, journey):
    without = models.credits(model, journey, None, 2)
    zero = models.credits(model, journey, 0, 2)

    assert {row.revenue for row in without} == {None}
    assert {row.revenue for row in zero} == {0}
    assert [row.credit for row in without] == [row.credit for row in zero]


@pytest.mark.parametrize(
    ("exponent", "micros"),
    [(0, 7_000_000), (1, 700_000), (2, 70_000), (3, 7_000), (4, 700)],
)
def test_revenue_is_in_millionths_of_the_currency_unit(exponent, micros):
    assert models.credits("linear", journey_of(1), 7, exponent)[0].revenue == micros


def test_revenue_is_divided_by_the_weights_not_by_the_rounded_credit(monkeypatch):
    # Half a billionth ties up to a whole one, which would be 20 millionths, not 10.
    weights = (Fraction(1, 2 * WHOLE), 1 - Fraction(1, 2 * WHOLE))
    monkeypatch.setattr(models, "MODELS", {"tiny": lambda journey: weights})

    rows = models.credits("tiny", journey_of(2), 20_000_00, 2)

    assert summary(rows) == [(0, 1, 10), (1, WHOLE - 1, 19_999_999_990)]


def test_touchpoint_without_credit_keeps_its_row_for_its_revenue(monkeypatch):
    weights = (1, 3 * WHOLE, 0)
    monkeypatch.setattr(models, "MODELS", {"tiny": lambda journey: weights})

    with_revenue = models.credits("tiny", journey_of(3), 3_000_000_00, 2)
    without = models.credits("tiny", journey_of(3), None, 2)

    assert summary(with_revenue) == [(0, 0, 1000), (1, WHOLE, 2_999_999_999_000)]
    assert summary(without) == [(1, WHOLE, None)]


@pytest.mark.parametrize("journey", [(), journey_of(1)])
def test_unknown_model_is_refused(journey):
    with pytest.raises(ValueError, match=r"one of first_touch, .*; got 'best_touch'"):
        models.credits("best_touch", journey, 1, 2)


@pytest.mark.parametrize("exponent", [-1, 5])
def test_unknown_exponent_is_refused(exponent):
    with pytest.raises(ValueError, match="exponent must be 0 to 4"):
        models.credits("linear", journey_of(1), 1, exponent)


def test_every_model_has_a_label():
    assert list(MODEL_LABELS) == list(MODELS)


@settings(deadline=None)
@given(
    model=st.sampled_from(sorted(MODELS)),
    length=st.integers(0, 200),
    revenue_minor=st.one_of(st.none(), st.integers(-(10**15), 10**15)),
    exponent=st.integers(0, 4),
)
def test_credits_always_sum_exactly(model, length, revenue_minor, exponent):
    journey = journey_of(length)

    rows = models.credits(model, journey, revenue_minor, exponent)

    assert sum(row.credit for row in rows) == WHOLE
    assert all(0 < row.credit <= WHOLE for row in rows)
    assert [row.position for row in rows] == sorted({row.position for row in rows})
    if revenue_minor is None:
        assert {row.revenue for row in rows} == {None}
    else:
        total = sum(row.revenue for row in rows)
        assert total == revenue_minor * 10 ** (6 - exponent)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_reference_case(case, model):
    touchpoints = [
        Touchpoint(
            session_id=index,
            public_id=f"sess_{index}",
            channel="email",
            started_at_ms=seconds * 1000,
        )
        for index, seconds in enumerate(case["touches"])
    ]
    days = case["lookback_days"]
    lookback_ms = None if days is None else days * DAY_MS
    revenue = case["revenue"]
    minor = None if revenue is None else int(Decimal(revenue) * 100)

    journey = eligible(touchpoints, case["converted_at"] * 1000, lookback_ms)
    rows = models.credits(model, journey, minor, 2)

    assert [touch.session_id for touch in journey] == case["eligible"]
    if not journey:
        assert [row.channel for row in rows] == [UNATTRIBUTED]
        return
    weights = [Fraction(weight) for weight in MODELS[model](journey)]
    assert [weight / sum(weights) for weight in weights] == [
        Fraction(weight) for weight in case["weights"][model]
    ]
    shown = [Decimal(0)] * len(journey)
    for row in rows:
        shown[row.position] = Decimal(row.revenue or 0) / 10**6
    if minor is not None:
        assert shown == [Decimal(part) for part in case["revenue_credits"][model]]
