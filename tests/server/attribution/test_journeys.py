"""Which touchpoints a conversion sees."""

import pytest

from mbuzz.server.attribution.journeys import eligible
from mbuzz.server.model import Touchpoint


def touchpoint(session_id, started_at_ms, *order):
    return Touchpoint(
        session_id=session_id,
        public_id=f"sess_{session_id}",
        channel="email",
        started_at_ms=started_at_ms,
        order=order or ("", 0, ""),
    )


@pytest.mark.parametrize(
    ("started_at_ms", "lookback_ms", "counts"),
    [
        (1_000, 100, True),  # at the very moment of the conversion
        (1_001, 100, False),
        (900, 100, True),  # at the very edge of the window
        (899, 100, False),
        (1_000, 0, True),  # 0 is no limit
        (-5_000, 0, True),
        (1_001, 0, False),
    ],
)
def test_both_ends_of_the_window_count(started_at_ms, lookback_ms, counts):
    journey = eligible([touchpoint(1, started_at_ms)], 1_000, lookback_ms)

    assert bool(journey) is counts


def test_journey_is_ordered_by_time_then_by_session():
    touchpoints = [touchpoint(3, 20), touchpoint(9, 10), touchpoint(2, 20)]

    journey = eligible(iter(touchpoints), 100, 0)

    assert [touch.session_id for touch in journey] == [9, 2, 3]


def test_those_that_began_together_are_ordered_by_visitor_then_by_their_end():
    touchpoints = [
        touchpoint(1, 10, "v2", 10, "/a"),
        touchpoint(2, 10, "v1", 30, "/a"),
        touchpoint(3, 10, "v1", 10, "/b"),
        touchpoint(4, 10, "v1", 10, "/a"),
    ]

    journey = eligible(touchpoints, 100, 0)

    assert [touch.session_id for touch in journey] == [4, 3, 2, 1]


def test_nothing_is_collapsed():
    touchpoints = [touchpoint(1, 10), touchpoint(2, 11), touchpoint(3, 12)]

    assert eligible(touchpoints, 100, 100) == tuple(touchpoints)


def test_journey_without_touchpoints_is_empty():
    assert eligible([], 100, 0) == ()


def test_negative_lookback_is_refused():
    with pytest.raises(ValueError, match="lookback_ms must be 0 or more, got -1"):
        eligible([], 100, -1)
