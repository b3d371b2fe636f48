"""From weights to credits: what is rounded, and what is not."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.server.attribution.weights import WHOLE, weigh, weigh_exactly, weigh_floats


def test_revenue_is_divided_by_the_weights_not_by_the_rounded_credit():
    # Half a billionth ties up to a whole one, which would be 20 millionths, not 10.
    weights = weigh_exactly([Fraction(1, 2 * WHOLE), 1 - Fraction(1, 2 * WHOLE)])

    assert list(weights.credits) == [1, WHOLE - 1]
    assert weights.revenues(20_000_000_000) == [10, 19_999_999_990]


def test_weights_say_what_they_were_before_they_were_shares():
    assert weigh([2, 1], 5).weight(0) == 0.4
    assert weigh_floats([0.25, 1.0]).weight(0) == 0.25
    assert weigh_exactly([Fraction(1, 3), Fraction(1, 6)]).weight(1) == 1 / 6


def test_without_any_weight_all_are_equal():
    assert list(weigh_floats([0.0, 0.0]).credits) == [WHOLE // 2] * 2


def test_roles_are_empty_unless_given():
    assert list(weigh([1, 1]).roles) == ["", ""]
    assert list(weigh([1], 1, ["only"]).roles) == ["only"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_floats_divide_as_they_are(values):
    weights = weigh_floats(values)

    assert sum(weights.credits) == WHOLE
    assert min(weights.credits) >= 0
    if any(value > 1e-9 for value in values):
        whole = sum(map(Fraction, values))
        for credit, value in zip(weights.credits, values, strict=True):
            assert credit / WHOLE == pytest.approx(Fraction(value) / whole, abs=1e-8)
