"""Token buckets by key, in manual time and with many threads."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.buckets import Buckets
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


def test_burst_is_allowed_at_once_and_no_more(clock):
    buckets = Buckets(clock, rate=2.0, burst=3)

    waits = [buckets.take("a") for _ in range(5)]

    assert waits == pytest.approx([0.0, 0.0, 0.0, 0.5, 0.5], abs=1e-5)
    assert waits[:3] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("rate", "seconds", "allowed"),
    [(1.0, 0.99, 0), (1.0, 1.0, 1), (0.5, 2.0, 1), (100.0, 1.0, 2), (1.0, 3600.0, 2)],
)
def test_allowance_comes_back_with_time_up_to_the_burst(clock, rate, seconds, allowed):
    buckets = Buckets(clock, rate, burst=2)
    while not buckets.take("a"):
        pass

    clock.advance(seconds)

    assert [buckets.take("a") for _ in range(4)].count(0.0) == allowed


RATE = st.floats(1e-4, 1e4)


@given(RATE, st.integers(1, 50), st.lists(st.floats(0.0, 10.0), max_size=20))
def test_who_waits_as_long_as_told_is_let_in(rate, burst, pauses):
    clock = ManualClock()
    buckets = Buckets(clock, rate, burst)
    for pause in pauses:
        buckets.take("a")
        clock.advance(pause)
    while not (wait := buckets.take("a")):
        pass

    clock.advance(wait * 0.99 - 2e-6)
    early = buckets.take("a")
    clock.advance(early)

    assert early > 0.0
    assert buckets.take("a") == 0.0


@given(RATE, st.integers(1, 50), st.lists(st.floats(0.0, 5.0), max_size=60))
def test_never_more_than_rate_and_burst_allow(rate, burst, pauses):
    clock = ManualClock()
    began = clock.monotonic()
    buckets = Buckets(clock, rate, burst)
    allowed = 0
    for pause in pauses:
        clock.advance(pause)
        allowed += buckets.take("a") == 0.0

    assert allowed <= burst + (clock.monotonic() - began) * rate + 1e-6


def test_asking_while_refused_does_not_put_it_off(clock):
    buckets = Buckets(clock, rate=0.1, burst=1)
    buckets.take("a")

    for _ in range(99):
        clock.advance(0.1)
        assert buckets.take("a") > 0.0
    clock.advance(0.1001)

    assert buckets.take("a") == 0.0


def test_keys_have_allowances_of_their_own(clock):
    buckets = Buckets(clock, rate=1.0, burst=1)

    assert [buckets.take(key) == 0.0 for key in "aba"] == [True, True, False]


def test_key_unused_for_longest_is_forgotten_refused_ones_are_used(clock):
    buckets = Buckets(clock, rate=1.0, burst=1, most=2)

    for key in "abac":  # "a" is refused, yet it was there after "b"
        buckets.take(key)

    assert len(buckets) == 2
    assert buckets.take("a") > 0.0
    assert buckets.take("b") == 0.0


def test_what_is_left_or_missing_is_told(clock):
    buckets = Buckets(clock, rate=1.0, burst=2)

    told = [buckets.spend("a") for _ in range(3)]
    clock.advance(0.25)

    assert told == [1.0, 0.0, -1.0]
    assert buckets.spend("a") == -0.75


def test_made_up_keys_take_bounded_room_and_time(clock):
    buckets = Buckets(clock, rate=1.0, burst=1, most=1_000)
    began = SYSTEM_CLOCK.monotonic()

    for number in range(100_000):
        buckets.take(f"made up {number}")

    assert len(buckets) == 1_000
    assert SYSTEM_CLOCK.monotonic() - began < 5.0


def test_threads_get_no_more_than_one_would(clock):
    buckets = Buckets(clock, rate=1.0, burst=500)
    start = threading.Barrier(8)
    allowed = []

    def ask():
        start.wait(10)
        allowed.append(sum(buckets.take("a") == 0.0 for _ in range(200)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert sum(allowed) == 500


@pytest.mark.parametrize(
    ("rate", "burst", "most"),
    [(0, 1, 1), (-1.0, 1, 1), (float("nan"), 1, 1), (1, 0, 1), (1, 1, 0)],
)
def test_limit_that_allows_nothing_is_refused(clock, rate, burst, most):
    with pytest.raises(ValueError, match="rate must be more than 0, burst and most"):
        Buckets(clock, rate, burst, most)
