"""The law of conservation, under random faults, forks, overflow and ends."""

import json
import logging
import os
import select
import shutil
import signal
import sys
import tempfile
import threading
import warnings
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import coverage
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from mbuzz.client import Client
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.config import Config
from mbuzz.delivery.spool_inspection import inspect_folder, read_dead
from tests.delivery.conftest import KEY, adds_up
from tests.delivery.fault_server import PATIENCE, FaultServer

FAULTS = "ok drop garbage 500 503 refuse hang reset silent_close 400 401 413".split()
AMBIGUOUS = {"drop"}  # kept, and the client does not know
REJECTED = "it is bad"


class Books:
    """What the host knows: what its calls returned, and what it was told."""

    def __init__(self):
        self.lock = threading.Lock()
        self.accepted = set()
        self.refused = set()
        self.lost = Counter()  # by id
        self.torn = []

    def enter(self, event_id, result):
        """Book a call; what the server says in time was accepted before."""
        refused = result.error in ("queue_full", "closed")
        with self.lock:
            (self.refused if refused else self.accepted).add(event_id)

    def told(self, reason, events):
        with self.lock:
            self.lost.update(event["id"] for event in events)


class Watcher(threading.Thread):
    """Reads the statistics all the time."""

    def __init__(self, machine):
        super().__init__(daemon=True)
        self.machine = machine
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(0.0005):
            stats = self.machine.client.stats()
            numbers = (stats.queued, stats.in_flight, stats.spooled, stats.delivered)
            if not adds_up(stats) or min(numbers) < 0:
                self.machine.books.torn.append(stats)


def until(condition):
    deadline = SYSTEM_CLOCK.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert SYSTEM_CLOCK.monotonic() < deadline, "it did not come in time"
        pause.wait(0.01)


def join_senders():
    for thread in threading.enumerate():
        if thread.name.startswith("mbuzz"):
            thread.join(PATIENCE)
            assert not thread.is_alive()


class Delivering(RuleBasedStateMachine):
    """One host, its client, and a server that fails as it is told."""

    @initialize(
        spooling=st.booleans(),
        durable=st.booleans(),
        background=st.booleans(),
        batch_size=st.integers(1, 7),
        queue_size=st.sampled_from([2, 5, 1_000]),
        queue_bytes=st.sampled_from([800, 100_000]),
    )
    def begin(self, spooling, durable, background, **options):
        self.folder = Path(tempfile.mkdtemp(prefix="mbuzz-conservation-"))
        self.server = FaultServer()
        self.server.reject["Bad"] = REJECTED
        self.modes = {"ok"}
        self.books = Books()
        self.spooling = spooling
        self.ended_early = False
        self.ended = []  # deliveries of this process that were closed
        self.children = []
        config = Config(
            api_key=KEY,
            api_url=self.server.url,
            network=True,
            delivery="background" if background else "sync",
            batch_interval=0.01,
            connect_timeout=0.2,
            timeout=0.2,
            conversion_timeout=0.05,
            spool_dir=str(self.folder) if spooling else None,
            durable=durable and spooling,
            on_drop=self.books.told,
            **options,
        )
        self.client = Client(config)
        self.watcher = Watcher(self)
        self.watcher.start()

    # -- what the host does --

    def track_some(self, count):
        for number in range(count):
            name = "Bad" if number % 5 == 4 else "Good"
            result = self.client.track(name, user_id="1", properties={"n": number})
            self.books.enter(result.event_id, result)

    @rule(count=st.integers(1, 12))
    def track(self, count):
        self.track_some(count)

    @rule()
    def track_in_threads(self):
        threads = [
            threading.Thread(target=self.track_some, args=(5,)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @rule(wait=st.booleans())
    def convert(self, wait):
        result = self.client.conversion("purchase", user_id="1", wait=wait)
        self.books.enter(result.conversion_id, result)

    @rule(count=st.integers(1, 3))
    def view_pages_in_a_hurry(self, count):
        for _ in range(count):
            result = self.client.track("page_view", user_id="1", express=Future())
            self.books.enter(result.event_id, result)

    @rule(mode=st.sampled_from(FAULTS))
    def fail(self, mode):
        self.server.mode = mode
        self.modes.add(mode)

    @rule()
    def recover(self):
        self.server.mode = "ok"

    @rule(seconds=st.sampled_from([0.0, 0.02, 0.1]))
    def flush(self, seconds):
        self.client.flush(seconds)

    @rule(seconds=st.sampled_from([0.0, 0.1]))
    def close(self, seconds):
        self.ended.append(self.client.delivery)
        self.ended_early |= not self.client.close(seconds)
        assert self.ended[-1].closed

    @precondition(lambda self: len(self.children) < 2)
    @rule(count=st.integers(1, 5), seconds=st.sampled_from([0.0, 0.1]))
    def fork(self, count, seconds):
        reading, writing = os.pipe()
        with warnings.catch_warnings():  # of threads: it is what this is about
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            self.live_as_a_child(count, seconds, writing)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = wait_for_child(child, pipe)
        self.children.append(said)
        self.ended_early |= not said["closed"]
        assert said["adds_up"]
        assert said["parents"] == 0
        self.books.accepted |= set(said["accepted"])
        self.books.refused |= set(said["refused"])
        assert said["left"] == 0
        self.books.lost.update(said["lost"])

    def live_as_a_child(self, count, seconds, writing):
        """Track, end in an orderly way, and say what became of it."""
        try:
            signal.alarm(60)
            os.write(writing, b" ")  # that it has begun
            books = self.books = Books()
            logging.disable()  # a handler's stream may be locked for ever
            self.client.config.__dict__["on_drop"] = books.told
            parents = self.client.stats().accepted
            self.track_some(count)
            self.client.flush(seconds)
            closed = self.client.close(seconds)
            join_senders()
            stats = self.client.stats()
            said = {
                "accepted": sorted(books.accepted),
                "refused": sorted(books.refused),
                "refusals": sum(stats.refused.values()),
                "lost": dict(books.lost),
                "parents": parents,
                "closed": closed,
                "calls": stats.accepted - stats.recovered,
                "left": stats.in_flight + stats.queued,
                "adds_up": adds_up(stats),
            }
            os.write(writing, json.dumps(said).encode())
            os._exit(0)
        finally:
            os._exit(1)

    # -- what holds at every step, and in the end --

    @invariant()
    def the_law_holds(self):
        stats = self.client.stats()
        assert adds_up(stats), stats

    def on_disk(self):
        if not self.spooling:
            return 0
        found = inspect_folder(str(self.folder))
        return sum(each.running + each.waiting for each in found)

    def dead(self):
        return {
            json.loads(letter.body)["id"]
            for each in inspect_folder(str(self.folder))
            for letter in read_dead(str(self.folder), each.fingerprint)
        }

    def settle(self):
        """Let the server recover and everything arrive."""
        self.server.mode = "ok"
        last = self.client.delivery
        self.track_some(1)
        until(lambda: self.client.flush(1.0) and not self.on_disk())
        self.client.close(PATIENCE)
        join_senders()
        self.ended.append(last)

    def teardown(self):
        if not hasattr(self, "client"):
            return
        try:
            self.settle()
            self.watcher.ended.set()
            self.watcher.join()
            self.check()
        finally:
            self.watcher.ended.set()
            self.client.close(0.0)
            self.server.close()
            shutil.rmtree(self.folder)

    def check(self):
        books = self.books
        assert not books.torn, books.torn[0]
        arrived = set(self.server.arrived)
        dead = self.dead()
        given_up = set(books.lost) | dead
        assert arrived <= books.accepted
        assert books.accepted - given_up <= arrived
        assert books.refused <= set(books.lost) <= books.accepted | books.refused
        assert not books.accepted & books.refused
        if not self.ended_early:  # or what was given up may be on its way
            assert max(books.lost.values(), default=1) == 1
            assert self.modes & AMBIGUOUS or not arrived & given_up
        for event in self.server.events:
            assert event == next(
                e for e in self.server.events if e["id"] == event["id"]
            )

        every = [
            delivery.stats() for delivery in {id(d): d for d in self.ended}.values()
        ]
        assert all(adds_up(stats) for stats in every)
        assert all((s.queued, s.in_flight) == (0, 0) for s in every)
        assert every[-1].spooled == 0
        calls = sum(stats.accepted - stats.recovered for stats in every)
        theirs = sum(child["calls"] for child in self.children)
        assert calls + theirs == len(books.accepted)
        refusals = sum(sum(stats.refused.values()) for stats in every)
        refusals += sum(child["refusals"] for child in self.children)
        assert refusals == len(books.refused)


NOTHING_DONE = {
    "accepted": [],
    "refused": [],
    "refusals": 0,
    "lost": {},
    "parents": 0,
    "closed": True,
    "calls": 0,
    "left": 0,
    "adds_up": True,
}


def wait_for_child(child, pipe):
    """Return what a child has to say; one that hangs kills itself."""
    if not select.select([pipe], [], [], PATIENCE)[0]:
        # Coverage has a lock of its own, which another thread may hold at the fork: no
        # line of a child runs then, so it did nothing. The suite also runs without it.
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert coverage.Coverage.current() is not None, "the child never began"
        return NOTHING_DONE
    said = pipe.read()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, said
    return json.loads(said)


TestDelivery = Delivering.TestCase
# Threads are never the same twice: a smaller example would be looked for in vain.
TestDelivery.settings = settings(
    max_examples=50, stateful_step_count=15, phases=[Phase.generate]
)


def test_threads_that_track_first_are_counted_by_one_delivery(make_client):
    """Nothing is made before the first event, and then it is made once."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        clients = [make_client(batch_interval=3600.0) for _ in range(40)]
        for client in clients:
            start = threading.Barrier(4)

            def work(client=client, start=start):
                start.wait()
                client.track("First", user_id="1")

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert [client.stats().accepted for client in clients] == [4] * 40
