"""The loop: woken once for many, and not stopped by anybody's mistake."""

import logging
import socket
import threading

import pytest

from mbuzz.server.http.loop import READ, Handler, Loop
from tests.processes import PATIENCE


class Recorder(Handler):
    """Notes what happens to it; may fail."""

    def __init__(self, error=None):
        super().__init__()
        self.seen = []
        self.error = error

    def handle(self, events):
        self.seen.append(events)
        if self.error:
            raise self.error

    def expire(self):
        self.seen.append("expired")

    def abandon(self):
        self.seen.append("abandoned")


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_ready_socket_is_handled_until_it_is_no_longer_watched(loop, pair):
    ours, theirs = pair
    handler = Recorder()
    loop.watch(ours, handler, 0, READ)
    theirs.send(b"x")

    loop.turn(PATIENCE)
    loop.turn(PATIENCE)
    loop.watch(ours, handler, READ, 0)
    loop.turn(0)

    assert handler.seen == [READ, READ]


def test_call_from_another_thread_ends_the_sleep(loop):
    handler, seen = Recorder(), []

    def work():
        for number in range(100):
            loop.call_soon(handler, seen.append, number)

    thread = threading.Thread(target=work)
    thread.start()
    while len(seen) < 100:
        loop.turn(PATIENCE)
    thread.join()

    assert seen == list(range(100))


def test_deadline_is_noticed(loop):
    handler = Recorder()
    loop.set_deadline(handler, 0.01)

    while not handler.seen:
        loop.turn(PATIENCE)

    assert handler.seen == ["expired"]


def test_handler_that_fails_is_abandoned_and_others_go_on(loop, pair, caplog):
    caplog.set_level(logging.ERROR, logger="mbuzz.guard")
    ours, theirs = pair
    bad, good = Recorder(LookupError()), Recorder()
    loop.watch(ours, bad, 0, READ)
    loop.watch(theirs, good, 0, READ)
    theirs.send(b"x")
    ours.send(b"x")

    loop.turn(PATIENCE)
    loop.watch(ours, bad, READ, 0)
    loop.turn(PATIENCE)

    assert bad.seen == [READ, "abandoned"]
    assert good.seen
    assert "http_loop" in caplog.text


def test_round_that_fails_is_settled_for_whoever_took_part(loop):
    bad, began, settled = Recorder(LookupError()), [], []
    loop.after_round = lambda: bool(settled.extend(began))
    loop.call_soon(Recorder(), began.append, 1)
    loop.call_soon(bad, bad.handle, READ)

    loop.turn(PATIENCE)

    assert settled == [1]


def test_failing_call_abandons_whom_it_is_for_and_the_next_is_made(loop, caplog):
    handler, seen = Recorder(), []
    loop.call_soon(handler, int, "nonsense")
    loop.call_soon(handler, seen.append, 1)

    loop.turn(0)
    loop.turn(0)

    assert (handler.seen, seen) == (["abandoned"], [1])


def test_closing_makes_the_calls_that_are_left():
    loop, seen = Loop(), []
    loop.call_soon(Recorder(), int, "nonsense")
    loop.call_soon(Recorder(), seen.append, 1)

    loop.close()
    loop.wake()  # a late thread's: without effect

    assert seen == [1]
