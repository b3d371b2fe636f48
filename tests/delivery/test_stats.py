"""Counters, and what is said of losses."""

import logging

from mbuzz.delivery.stats import Counters, Stats
from mbuzz.testing import ManualClock


def test_counts_come_back_as_a_value():
    counters = Counters(ManualClock())
    counters.add("accepted", 5)
    counters.add("delivered")
    counters.reject("bad")
    counters.drop("expired", 2)
    counters.refuse("missing_identity")
    counters.add("batches")
    counters.add("retries")
    counters.last_error = "http_503"

    assert counters.snapshot(queued=1, in_flight=0) == Stats(
        accepted=5,
        delivered=1,
        rejected=1,
        dropped={"expired": 2},
        queued=1,
        in_flight=0,
        refused={"missing_identity": 1},
        batches=1,
        retries=1,
        last_error="http_503",
    )


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

    assert caplog.messages == [
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

    assert counters.snapshot(queued=0, in_flight=0).refused == {"a": 1}
