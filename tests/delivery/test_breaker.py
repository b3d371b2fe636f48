"""The breaker: when nobody waits."""

from mbuzz.delivery.breaker import FAILURES_TO_OPEN, OPEN_FOR, Breaker
from mbuzz.testing import ManualClock


def fail(breaker, times):
    for _ in range(times):
        breaker.failed()


def test_it_opens_after_failures_in_a_row():
    breaker = Breaker(ManualClock())

    fail(breaker, FAILURES_TO_OPEN - 1)
    before = breaker.open
    fail(breaker, 1)

    assert (before, breaker.open) == (False, True)


def test_a_success_between_failures_starts_the_count_anew():
    breaker = Breaker(ManualClock())

    fail(breaker, FAILURES_TO_OPEN - 1)
    breaker.succeeded()
    fail(breaker, FAILURES_TO_OPEN - 1)

    assert not breaker.open


def test_after_its_time_one_failure_opens_it_again():
    clock = ManualClock()
    breaker = Breaker(clock)
    fail(breaker, FAILURES_TO_OPEN)

    clock.advance(OPEN_FOR)
    half_open = breaker.open
    fail(breaker, 1)

    assert (half_open, breaker.open) == (False, True)


def test_a_success_closes_it_at_once():
    breaker = Breaker(ManualClock())
    fail(breaker, FAILURES_TO_OPEN)

    breaker.succeeded()

    assert not breaker.open
