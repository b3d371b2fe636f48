"""Division that loses nothing."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbuzz.server.attribution.allocation import allocate, in_units

WEIGHTS = st.lists(
    st.one_of(
        st.integers(0, 10**12), st.integers(0, 2**62), st.sampled_from([0, 1, 7, 40])
    ),
    min_size=1,
    max_size=60,
).filter(any)
TOTALS = st.integers(-(10**24), 10**24)


@pytest.mark.parametrize(
    ("total", "weights", "shares"),
    [
        (10, [1], [10]),
        (10, [1, 1], [5, 5]),
        (100, [1, 1, 1], [34, 33, 33]),  # a tie goes to the earlier
        (101, [1, 1, 1], [34, 34, 33]),
        (10, [1, 0, 1], [5, 0, 5]),
        (10, [2, 1, 2], [4, 2, 4]),
        (1, [1, 2], [0, 1]),  # the larger remainder, not the earlier
        (7, [2, 3, 1], [2, 4, 1]),
        (0, [1, 2, 3], [0, 0, 0]),
        (-100, [1, 1, 1], [-34, -33, -33]),
        (-1, [1, 2], [0, -1]),
    ],
)
def test_largest_remainders_get_what_rounding_left(total, weights, shares):
    assert allocate(total, weights) == shares


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ([], "at least one more than 0"),
        ([0, 0], "at least one weight must be more than 0"),
        ([2, -1], "weights must be 0 or more"),
    ],
)
def test_weights_that_divide_nothing_are_refused(weights, text):
    with pytest.raises(ValueError, match=text):
        allocate(10, weights)


@settings(deadline=None)
@given(TOTALS, WEIGHTS)
def test_shares_sum_to_the_total_and_are_off_by_less_than_one(total, weights):
    shares = allocate(total, weights)

    whole = sum(weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - Fraction(total) * weight / whole) < 1


@settings(deadline=None)
@given(TOTALS, WEIGHTS, st.integers(1, 1000))
def test_only_proportions_matter_and_a_refund_mirrors_the_sale(total, weights, factor):
    shares = allocate(total, weights)

    assert allocate(total, [weight * factor for weight in weights]) == shares
    assert allocate(-total, weights) == [-share for share in shares]


@settings(deadline=None)
@given(TOTALS, WEIGHTS)
def test_no_weight_is_no_share(total, weights):
    shares = allocate(total, [0, *weights, 0])

    assert shares[0] == shares[-1] == 0
    assert shares[1:-1] == allocate(total, weights)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**12), max_size=30), st.sampled_from([1, 100, 10**4]))
def test_rounded_parts_add_up_to_the_rounded_sum(parts, unit):
    shown = in_units(parts, unit)

    assert len(shown) == len(parts)
    assert abs(sum(shown) * unit - sum(parts)) * 2 <= unit
    assert all(abs(a * unit - b) < 2 * unit for a, b in zip(shown, parts, strict=True))
