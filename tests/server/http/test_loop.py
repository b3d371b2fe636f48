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


class Hurrying:
    """A clock by which everything takes a second."""

    def __init__(self):
        self.at = 0.0

    def monotonic(self):
        self.at += 1.0
        return self.at


@pytest.fixture
def slow_loop():
    loop = Loop(Hurrying())
    yield loop
    loop.close()


def test_round_is_bounded_and_what_was_ready_is_seen_to_in_the_next(slow_loop, pair):
    loop, order = slow_loop, []
    loop.after_round = lambda: bool(order.append("round"))
    for end in pair:
        handler = Recorder()
        handler.handle = lambda _events, end=end: order.append(end.recv(9))
        loop.watch(end, handler, 0, READ)
        end.send(b"x")

    loop.take_in()

    assert order[:4] == [b"x", "round", b"x", "round"]


def test_taking_in_includes_what_came_after_an_unfinished_round(slow_loop, pair):
    loop, seen = slow_loop, []
    more = socket.socketpair()
    with more[0], more[1]:
        for end in (*pair, more[0]):
            handler = Recorder()
            handler.handle = lambda _events, end=end: seen.append(end.recv(9))
            loop.watch(end, handler, 0, READ)
        for end in pair:
            end.send(b"x")
        loop.turn(0)
        more[1].send(b"more")

        loop.take_in()

    assert sorted(seen) == [b"more", b"x", b"x"]


def test_loop_does_not_sleep_while_there_is_work(slow_loop, monkeypatch):
    loop, waits, select = slow_loop, [], slow_loop._selector.select
    monkeypatch.setattr(
        loop._selector, "select", lambda wait: waits.append(wait) or select(0)
    )
    loop.call_long(Recorder(), list)
    loop.call_long(Recorder(), list)
    left = [True, False, False]
    loop.turn(PATIENCE)
    loop.turn(PATIENCE)
    loop.after_round = lambda: left.pop(0)
    for _ in left[:]:
        loop.turn(PATIENCE)

    assert [wait > 0 for wait in waits] == [False, False, True, False, True]


def test_what_takes_long_comes_after_what_does_not(loop):
    order = []
    loop.call_long(Recorder(), order.append, "long")
    loop.call_soon(Recorder(), order.append, "soon")
    loop.set_deadline(Recorder(), -1.0)
    loop.after_round = lambda: bool(order.append("round"))

    loop.turn(PATIENCE)

    assert order == ["soon", "long", "round"]


def test_of_what_takes_long_a_round_does_one_while_work_is_left(loop):
    order = []
    loop.after_round = lambda: len(order) < 2
    loop.call_soon(Recorder(), order.clear)
    loop.turn(PATIENCE)
    for number in range(4):
        loop.call_long(Recorder(), order.append, number)

    rounds = []
    for _ in range(3):
        loop.turn(PATIENCE)
        rounds.append(len(order))

    assert rounds == [1, 2, 4]


def test_of_what_takes_long_a_round_does_as_much_as_there_is_time(slow_loop):
    order = []
    for number in range(3):
        slow_loop.call_long(Recorder(), order.append, number)

    slow_loop.turn(0)
    assert order == [0]
    slow_loop.turn(0)
    assert order == [0, 1]


def test_failing_round_whose_work_is_left_is_followed_by_the_next_at_once(loop):
    left = [True, False]
    loop.after_round = lambda: left.pop(0)
    bad = Recorder(LookupError())
    loop.call_soon(bad, bad.handle, READ)

    loop.turn(PATIENCE)
    assert loop._again
    loop.turn(PATIENCE)
    assert (loop._again, left) == (False, [])


def test_closing_makes_the_calls_that_are_left():
    loop, seen = Loop(), []
    loop.call_soon(Recorder(), int, "nonsense")
    loop.call_soon(Recorder(), seen.append, 1)

    loop.close()
    loop.wake()  # a late thread's: without effect

    assert seen == [1]
