"""What refunds take back of each credit, to the last millionth (CV10)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.server.attribution import models
from mbuzz.server.attribution.models import MODELS
from mbuzz.server.attribution.refunds import taken_back
from mbuzz.server.model import Touchpoint


def journey_of(length):
    return tuple(
        Touchpoint(session_id=n, public_id=f"s{n}", channel="email", started_at_ms=n)
        for n in range(1, length + 1)
    )


@given(
    model=st.sampled_from(sorted(MODELS)),
    length=st.integers(0, 60),
    amounts=st.lists(st.integers(1, 10**6), max_size=6),
    left=st.integers(0, 10**6),
    exponent=st.integers(0, 4),
)
def test_refunds_sum_exactly_and_a_whole_one_leaves_nothing(
    model, length, amounts, left, exponent
):
    journey, revenue = journey_of(length), sum(amounts) + left
    sale = models.credits(model, journey, revenue, exponent)

    refunds = taken_back(model, journey, revenue, amounts, exponent)

    unit = 10 ** (6 - exponent)
    assert [sum(c.revenue for c in part) for part in refunds] == [
        -amount * unit for amount in amounts
    ]
    rest = {credit.position: credit.revenue for credit in sale}
    for part in refunds:
        for credit in part:
            rest[credit.position] += credit.revenue
            assert credit.credit == 0
    assert sum(rest.values()) == left * unit
    if not left:
        assert set(rest.values()) == {0}


@pytest.mark.parametrize("amounts", [[0], [-1], [6, 5]])
def test_refunds_that_cannot_be_are_refused(amounts):
    with pytest.raises(ValueError, match="at most the sale"):
        taken_back("linear", journey_of(2), 10, amounts, 2)
