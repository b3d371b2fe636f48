"""Rate limit: a token bucket per key."""

import pytest

from mbuzz.server.ingestion.ratelimit import Allowance, RateLimiter
from mbuzz.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


def test_burst_is_allowed_at_once_and_no_more(clock):
    limiter = RateLimiter(clock, rate=1.0, burst=3)

    taken = [limiter.take(7) for _ in range(4)]

    assert [one.allowed for one in taken] == [True, True, True, False]
    assert [one.remaining for one in taken] == [2, 1, 0, 0]
    assert {one.limit for one in taken} == {3}
    assert taken[-1] == Allowance(
        allowed=False, limit=3, remaining=0, reset_after=3, retry_after=1
    )


@pytest.mark.parametrize(
    ("rate", "seconds", "allowed"),
    [(1.0, 0.99, 0), (1.0, 1.0, 1), (0.5, 2.0, 1), (100.0, 1.0, 2), (1.0, 3600.0, 2)],
)
def test_allowance_comes_back_with_time_up_to_the_burst(clock, rate, seconds, allowed):
    limiter = RateLimiter(clock, rate=rate, burst=2)
    while limiter.take(7).allowed:
        pass

    clock.advance(seconds)

    assert [limiter.take(7).allowed for _ in range(3)].count(True) == allowed


@pytest.mark.parametrize(("rate", "wait"), [(100.0, 1), (1.0, 1), (0.1, 10)])
def test_retry_after_is_enough(clock, rate, wait):
    limiter = RateLimiter(clock, rate=rate, burst=1)
    limiter.take(7)

    refused = limiter.take(7)
    clock.advance(refused.retry_after)

    assert refused.retry_after == wait
    assert limiter.take(7).allowed


def test_keys_have_allowances_of_their_own(clock):
    limiter = RateLimiter(clock, rate=1.0, burst=1)

    assert [limiter.take(key).allowed for key in (1, 2, 1)] == [True, True, False]


def test_clock_that_stands_still_gives_nothing_away(clock):
    limiter = RateLimiter(clock, rate=1e9, burst=1)

    assert [limiter.take(7).allowed for _ in range(2)] == [True, False]
