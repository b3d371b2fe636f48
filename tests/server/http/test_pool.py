"""A few threads, a bounded queue, an end."""

import logging
import threading

import pytest

from mbuzz.server.http.pool import Pool
from tests.processes import PATIENCE


@pytest.fixture
def make():
    pools = []

    def start(*sizes):
        pools.append(Pool(*sizes))
        return pools[-1]

    yield start
    for pool in pools:
        pool.stop(grace=PATIENCE)


class Task:
    """Runs until it is told to end."""

    def __init__(self):
        self.running, self.release = threading.Event(), threading.Event()

    def __call__(self):
        self.running.set()
        self.release.wait(PATIENCE)


def test_threads_are_used_again_and_no_more_than_allowed(make):
    pool, workers = make(4, 10), set()
    together = threading.Barrier(5)

    def meet():
        workers.add(threading.get_ident())
        together.wait(PATIENCE)

    for _ in range(3):
        for _ in range(4):
            assert pool.submit(meet)
        together.wait(PATIENCE)

    assert len(workers) == 4


def test_what_finds_neither_thread_nor_place_is_refused(make):
    pool = make(1, 2)
    first = Task()
    assert pool.submit(first)
    assert first.running.wait(PATIENCE)

    taken = [pool.submit(lambda: None) for _ in range(3)]

    assert taken == [True, True, False]
    assert pool.waiting == 2
    assert pool.submit(lambda: None, again=True)  # it had its place before
    first.release.set()


def test_task_that_fails_costs_no_thread(make, caplog):
    caplog.set_level(logging.ERROR, logger="mbuzz.guard")
    pool = make(1, 10)
    done = threading.Event()

    def fail():
        raise LookupError

    pool.submit(fail)
    pool.submit(done.set)

    assert done.wait(PATIENCE)


def test_stopping_waits_for_what_runs_and_takes_nothing_more(make):
    pool = make(2, 10)
    task, done = Task(), threading.Event()
    pool.submit(task)
    assert task.running.wait(PATIENCE)
    pool.submit(done.set)

    pool.stop(grace=0.0)
    task.release.set()
    pool.stop(grace=PATIENCE)

    assert done.is_set()
    assert not pool.submit(task)


def test_system_without_threads_refuses(make, monkeypatch):
    def fail(_):
        raise RuntimeError("can't start new thread")

    pool = make(1, 10)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        assert not pool.submit(lambda: None)

    assert pool.submit(lambda: None)
