"""How long responses wait for the backend, in manual time."""

import pytest

from mbuzz.web.pacing import Pacing

LONGEST = 0.05


@pytest.fixture
def pacing(clock):
    return Pacing(clock)


def test_fifty_sessions_may_ask_at_once_then_twenty_a_second(pacing, clock):
    at_once = sum(pacing.may_ask() for _ in range(100))
    clock.advance(1.0)
    a_second_later = sum(pacing.may_ask() for _ in range(100))
    clock.advance(3_600.0)
    much_later = sum(pacing.may_ask() for _ in range(100))

    assert (at_once, a_second_later, much_later) == (50, 20, 50)


def test_one_alone_waits_while_nothing_is_known(pacing):
    assert [pacing.begin_wait(0.0, LONGEST) for _ in range(3)] == [LONGEST, 0.0, 0.0]


def test_four_wait_once_the_backend_is_known_to_be_near(pacing):
    pacing.answered(0.005)

    waits = [pacing.begin_wait(0.0, LONGEST) for _ in range(6)]

    assert waits == pytest.approx([0.015] * 4 + [0.0] * 2)


@pytest.mark.parametrize(
    ("expected", "elapsed", "wait"),
    [
        (0.005, 0.0, 0.015),
        (0.010, 0.0, 0.020),
        (0.020, 0.0, 0.0),  # too far away
        (0.020, 0.015, 0.015),  # but nearly here
        (0.020, 9.0, 0.010),  # late: it may come any moment
        (0.045, 0.040, 0.015),
    ],
)
def test_wait_depends_on_when_the_answer_is_expected(pacing, expected, elapsed, wait):
    pacing.answered(expected)

    assert pacing.begin_wait(elapsed, LONGEST) == pytest.approx(wait)


def test_wait_is_never_longer_than_the_option_says(pacing):
    pacing.answered(0.008)

    assert pacing.begin_wait(0.0, 0.002) == 0.002


def test_one_slow_answer_is_but_a_part_of_what_is_expected(pacing):
    pacing.answered(0.004)
    pacing.answered(0.024)

    assert pacing.begin_wait(0.0, LONGEST) == pytest.approx(0.018)


def test_option_0_means_no_wait(pacing):
    assert pacing.begin_wait(0.0, 0.0) == 0.0


def test_a_place_is_given_back(pacing):
    pacing.begin_wait(0.0, LONGEST)
    pacing.answered(0.001)
    pacing.end_wait(answered=True)

    waits = [pacing.begin_wait(0.0, LONGEST) > 0 for _ in range(5)]

    assert waits == [True] * 4 + [False]


def test_wait_in_vain_stops_the_next_ones(pacing):
    pacing.begin_wait(0.0, LONGEST)
    pacing.end_wait(answered=False)

    assert pacing.begin_wait(0.0, LONGEST) == 0.0


def test_waits_in_vain_add_up_and_quick_answers_make_good(pacing):
    pacing.answered(0.1)
    for _ in range(3):
        pacing.end_wait(answered=False)
    still_far = pacing.begin_wait(0.3, LONGEST)

    for _ in range(20):
        pacing.answered(0.001)

    assert still_far == 0.0
    assert pacing.begin_wait(0.0, LONGEST) > 0
