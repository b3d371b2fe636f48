"""What refunds take back of each credit, to the last millionth (CV10)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbuzz.server.attribution.models import PRESETS, credited
from mbuzz.server.attribution.refunds import taken_back
from tests.server.attribution.journeys import journeys, touchpoints_of


@settings(deadline=None)
@given(
    key=st.sampled_from(sorted(PRESETS)),
    journey=journeys(least=0),
    amounts=st.lists(st.integers(1, 10**12), max_size=6),
    left=st.integers(0, 10**12),
)
def test_refunds_sum_exactly_and_a_whole_one_leaves_nothing(
    key, journey, amounts, left
):
    journey = journey._replace(revenue=sum(amounts) + left)
    sale = credited(PRESETS[key], journey, touchpoints_of(journey))

    refunds = taken_back(sale, amounts)

    assert [sum(c.revenue for c in part) for part in refunds] == [
        -amount for amount in amounts
    ]
    rest = {credit.position: credit.revenue for credit in sale}
    for part in refunds:
        for credit in part:
            rest[credit.position] += credit.revenue
            assert credit.credit == 0
    assert sum(rest.values()) == left
    if not left:
        assert set(rest.values()) == {0}


@pytest.mark.parametrize("amounts", [[0], [-1], [6, 5]])
def test_refunds_that_cannot_be_are_refused(amounts):
    with pytest.raises(ValueError, match="at most the sale"):
        taken_back([], amounts)
