"""Counts, and what is said of losses."""

import logging

from mbuzz.delivery.counters import Counters
from mbuzz.testing import ManualClock
from tests.delivery.conftest import said


def test_losses_are_counted_by_reason():
    counters = Counters(ManualClock())
    counters.reject("bad", 2)
    counters.drop("expired", 2)
    counters.drop("expired")
    counters.bury("http_401", 5)
    counters.refuse("missing_identity")
    counters.leave_out("sampled_out")

    assert (counters.rejected, counters.dead_lettered) == (2, 5)
    assert counters.dropped == {"expired": 3}
    assert counters.refused == {"missing_identity": 1}
    assert counters.left_out == {"sampled_out": 1}


def test_what_is_left_out_on_purpose_is_no_news(caplog):
    counters = Counters(ManualClock())

    counters.leave_out("sampled_out")
    counters.report(everything=True)

    assert caplog.messages == []


def test_reasons_without_end_are_counted_together():
    counters = Counters(ManualClock())

    for number in range(1_000):
        counters.refuse(f"reason {number}")

    assert len(counters.refused) <= 101
    assert sum(counters.refused.values()) == 1_000


def test_each_reason_is_reported_once_a_minute_with_the_count_since(caplog):
    clock = ManualClock()
    counters = Counters(clock)
    for _ in range(3):
        counters.drop("queue_full", 2)
        counters.report()
    counters.reject("bad")
    counters.report()
    clock.advance(60.0)

    counters.report()

    assert said(caplog) == [
        "events dropped (events=2, reason=queue_full)",
        "events rejected (events=1, reason=bad)",
        "events dropped (events=4, reason=queue_full)",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert {record.name for record in caplog.records} == {"mbuzz.delivery"}


def test_nothing_is_kept_for_a_minute_that_will_not_come(caplog):
    counters = Counters(ManualClock())
    counters.refuse("a")
    counters.report()
    counters.refuse("a")

    counters.report(everything=True)
    counters.report(everything=True)

    assert len(caplog.messages) == 2


def test_a_logger_that_raises_is_not_our_end():
    class Broken(logging.Handler):
        def handle(self, record):
            raise OSError("disk full")

    counters = Counters(ManualClock())
    counters.refuse("a")
    handler = Broken()
    logging.getLogger("mbuzz").addHandler(handler)
    try:
        counters.report()
    finally:
        logging.getLogger("mbuzz").removeHandler(handler)

    assert counters.refused == {"a": 1}
