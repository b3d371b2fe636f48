"""Results that somebody else brings."""

import threading

import pytest

from mbuzz.server.storage.pending import Pending
from tests.processes import PATIENCE


def finished(value=None, error=None):
    pending = Pending()
    assert pending.begin()
    pending.value, pending.error = value, error
    pending.finish()
    return pending


def test_result_is_waited_for():
    pending = Pending()
    pending.value = "there"
    threading.Timer(0.05, pending.finish).start()

    assert not pending.done()
    assert pending.result(PATIENCE) == "there"
    assert pending.done()


def test_result_that_does_not_come_in_time_may_come_later():
    pending = Pending()

    with pytest.raises(TimeoutError):
        pending.result(0.01)
    pending.value = "late"
    pending.finish()

    assert pending.result() == "late"


def test_what_went_wrong_is_raised_to_everybody_who_asks():
    pending = finished("half", LookupError("no"))

    for _ in range(2):
        with pytest.raises(LookupError, match="no"):
            pending.result()


def test_nobody_begins_what_nobody_wants():
    wanted, unwanted, begun = Pending(), Pending(), Pending()
    unwanted.cancel()
    begun.begin()
    begun.cancel()  # too late

    assert wanted.begin()
    assert not unwanted.begin()
    assert begun.begin()  # once more, after it was put back


def test_listeners_are_called_once_in_their_order_whenever_they_come():
    heard, pending = [], Pending()
    pending.when_done(lambda: heard.append(1))
    pending.when_done(lambda: heard.append(2))
    assert heard == []

    pending.finish()
    pending.when_done(lambda: heard.append(3))

    assert heard == [1, 2, 3]


def test_listener_that_fails_keeps_no_other_from_hearing():
    heard, pending = [], Pending()
    pending.when_done(lambda: 1 / 0)
    pending.when_done(lambda: heard.append("heard"))

    pending.finish()

    assert heard == ["heard"]
