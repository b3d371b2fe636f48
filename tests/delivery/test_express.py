"""The express lane: few threads, short backlog, nothing lost on the way."""

import threading

import pytest

from mbuzz.delivery import express
from mbuzz.delivery.express import ExpressLane
from mbuzz.delivery.queue import Item
from tests.delivery.fault_server import PATIENCE


def item(name="page"):
    return Item(name.encode(), 0.0)


class Work:
    """Work that can be held up and looked at."""

    def __init__(self):
        self.go_on = threading.Event()
        self.done = []
        self.left = []
        self.connected = 0
        self.changed = threading.Condition()

    def __call__(self, entry, transport):
        transport()
        self.note(self.done, entry.body.decode())
        self.go_on.wait(PATIENCE)

    def connect(self):
        with self.changed:
            self.connected += 1
        return self

    def close(self):
        self.note(self.left, threading.current_thread())

    def note(self, where, what):
        with self.changed:
            where.append(what)
            self.changed.notify_all()

    def wait_for(self, condition):
        with self.changed:
            return self.changed.wait_for(condition, PATIENCE)


@pytest.fixture
def work():
    work = Work()
    yield work
    work.go_on.set()


@pytest.fixture
def lane(work):
    lane = ExpressLane(work, work.connect)
    yield lane
    lane.close()


def test_two_items_are_under_way_at_once_the_others_wait(lane, work):
    taken = [lane.offer(item(str(n))) for n in range(5)]

    assert all(taken)
    assert work.wait_for(lambda: len(work.done) == 2)
    work.go_on.set()
    assert work.wait_for(lambda: len(work.done) == 5)


def test_the_backlog_is_short(lane, work):
    taken = [lane.offer(item()) for _ in range(40)]

    assert 16 <= sum(taken) <= 18
    assert not lane.offer(item())


def test_idle_threads_take_the_next_items(lane, work):
    work.go_on.set()
    for n in range(6):
        assert lane.offer(item(str(n)))
        assert work.wait_for(lambda n=n: len(work.done) == n + 1)

    names = [t.name for t in threading.enumerate()]
    assert 1 <= names.count("mbuzz-express") == work.connected <= 2


def test_closing_returns_what_was_not_begun_and_ends_the_threads(lane, work):
    for n in range(5):
        lane.offer(item(str(n)))
    work.wait_for(lambda: len(work.done) == 2)

    left = lane.close()
    work.go_on.set()

    assert [entry.body.decode() for entry in left] == ["2", "3", "4"]
    assert not lane.offer(item())
    assert work.wait_for(lambda: len(work.left) == 2)


def test_threads_end_when_there_is_nothing_to_do(work, monkeypatch):
    monkeypatch.setattr(express, "_IDLE_FOR", 0.01)
    work.go_on.set()
    lane = ExpressLane(work, work.connect)

    lane.offer(item("a"))
    assert work.wait_for(lambda: work.left)

    lane.offer(item("b"))
    assert work.wait_for(lambda: work.done == ["a", "b"])


def test_work_that_raises_costs_itself_only(caplog):
    done = threading.Event()

    def fail_first(entry, _transport):
        if entry.body.decode() == "bad":
            raise ValueError("secret")
        done.set()

    lane = ExpressLane(fail_first, Work().connect)
    lane.offer(item("bad"))
    lane.offer(item("good"))

    assert done.wait(PATIENCE)
    lane.close()
    assert "secret" not in caplog.text


def test_without_threads_nothing_is_taken(lane, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert not lane.offer(item())


def test_a_thread_too_few_is_enough(lane, work, monkeypatch):
    assert lane.offer(item("first"))
    work.wait_for(lambda: work.done)

    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert lane.offer(item("second"))
    work.go_on.set()

    assert work.wait_for(lambda: work.done == ["first", "second"])
