"""Races and edges of the engine that a close reading found, each one by itself."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from mbuzz.client import Client
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.config import Config
from mbuzz.delivery.lifetime import Lifetime
from mbuzz.delivery.queue import Item, Outbox
from mbuzz.delivery.spool_inspection import inspect_folder
from mbuzz.delivery.transport import Response, TransportError
from mbuzz.testing import ManualClock
from tests.delivery.conftest import KEY, adds_up
from tests.delivery.fault_server import PATIENCE

DELIVERED = Response(status=202, headers={}, body=b"{}")


class Scripted:
    """A transport that does what *answer*, called with the batch, does."""

    def __init__(self, answer=lambda events: DELIVERED):
        self.answer = answer
        self.batches = []

    def __call__(self):
        return self

    def post(self, path, body, headers, timeout):
        if headers.get("Content-Encoding") == "gzip":
            import zlib

            body = zlib.decompress(body, 31)
        events = json.loads(body)["events"]
        self.batches.append([event.get("event_type") for event in events])
        return self.answer(events)

    def close(self):
        pass


@pytest.fixture
def make():
    made = []

    def client(transport, *, clock=None, **options):
        given = {"api_key": KEY, "network": True, "batch_interval": 60.0, **options}
        more = {} if clock is None else {"clock": clock}
        made.append(Client(Config(**given), transport=transport, **more))
        return made[-1]

    yield client
    for each in made:
        each.close(0.0)


def until(condition):
    deadline = SYSTEM_CLOCK.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert SYSTEM_CLOCK.monotonic() < deadline, "it did not come in time"
        pause.wait(0.005)


def fails(events):
    raise TransportError("down")


def on_disk(folder):
    return sum(d.running + d.waiting for d in inspect_folder(str(folder)))


# -- B1: two first calls at once --


def test_threads_whose_first_calls_coincide_share_one_delivery():
    both = threading.Barrier(2, timeout=0.5)
    made = []

    class Made:
        pid = os.getpid()
        closed = False

        def close(self, timeout):
            return True

    def make():
        made.append(Made())
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait()  # a second maker would come here, too
        return made[-1]

    lifetime = Lifetime(make)
    got = []
    threads = [
        threading.Thread(target=lambda: got.append(lifetime.delivery()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert len(made) == 1
    assert got[0] is got[1]


# -- B2: a batch that comes back while `close` books --


def test_what_fails_right_after_the_end_stays_on_disk(make, tmp_path):
    client = make(Scripted(), spool_dir=str(tmp_path))
    delivery = client.delivery
    for i in range(3):
        delivery._outbox.put(Item(b'{"type":"track","id":"evt_%d"}' % i, 1.0))
    batch = delivery._outbox.take(max_items=3, max_bytes=10**6)
    delivery._outbox.close()

    left = delivery._outbox.end()
    delivery._books.give_back(batch)  # the worker, whose request fails now
    delivery._books.let_go(left, "closed")

    assert client.stats().spooled == 3
    assert on_disk(tmp_path) == 3


def test_what_lands_while_the_end_books_it_leaves_no_record(make, tmp_path):
    from mbuzz.delivery.sender import Outcome

    client = make(Scripted(), spool_dir=str(tmp_path))
    delivery = client.delivery
    delivery._outbox.put(Item(b'{"type":"track","id":"evt_1"}', 1.0))
    batch = delivery._outbox.take(max_items=1, max_bytes=10**6)
    outcome = Outcome(verdict="delivered")
    settling = threading.Thread(target=delivery._books.settle, args=(batch, outcome))
    with delivery._outbox.lock:
        settling.start()
        threading.Event().wait(0.1)  # until it wants the lock, or near it
        left = delivery._outbox.end()
        delivery._books.let_go(left, "closed")
    settling.join(PATIENCE)

    assert (client.stats().delivered, client.stats().spooled) == (1, 0)
    assert on_disk(tmp_path) == 0


# -- B3: nobody can replay --


def test_a_flush_without_a_worker_rests_while_another_one_replays(make, tmp_path):
    def build():
        return make(Scripted(), spool_dir=str(tmp_path), delivery="sync", queue_size=1)

    client, other = build(), build()
    replaying = other.delivery._spool
    assert replaying.write(b'{"type":"track","id":"evt_o"}')
    assert replaying.take(max_items=1, max_bytes=10**6)  # and keeps the lock
    delivery = client.delivery
    item = Item(b'{"type":"track","id":"evt_1"}', 0.0)
    assert delivery._books.spill(item)

    started = time.thread_time()
    assert not client.flush(0.5)
    assert time.thread_time() - started < 0.25


# -- B4: what no `except Exception` sees --


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_request_costs_no_event(make, signal):
    calls = []

    def interrupted_once(events):
        calls.append(events)
        if len(calls) == 1:
            raise signal
        return DELIVERED

    client = make(Scripted(interrupted_once), delivery="sync")
    with pytest.raises(signal):
        client.track("event", user_id="1")

    assert client.stats().in_flight == 0
    assert client.flush(0.5)
    assert client.stats().delivered == 1


# -- B6: urgency --


def test_batches_fill_again_after_a_flush(make):
    more = []

    def another(events):
        if len(more) < 20:
            more.append(client.track("stream", user_id="1"))
        return DELIVERED

    transport = Scripted(another)
    client = make(transport, batch_size=100, batch_interval=3600.0)
    client.track("first", user_id="1")
    assert client.flush(PATIENCE)
    client.flush(0.2)  # the stream's first one, at most
    threading.Event().wait(0.2)

    assert len(transport.batches) < 10


# -- B7: Retry-After and the express lane --


def test_the_express_lane_heeds_retry_after(make):
    from concurrent.futures import Future

    busy = Response(status=503, headers={"retry-after": ("60",)}, body=b"")
    transport = Scripted(lambda events: busy)
    client = make(transport, batch_interval=0.01)
    for _ in range(3):
        reply = Future()
        client.track("page", user_id="1", express=reply)
        until(lambda: client.stats().in_flight == 0)
    threading.Event().wait(0.1)

    assert len(transport.batches) == 1


# -- B8: 413 --


def test_a_replay_that_must_be_split_is_not_starved(make, tmp_path):
    budget = [60]

    def only_two(events):
        kinds = {event["event_type"] for event in events}
        budget[0] -= 1
        if budget[0] > 0 and kinds == {"stream"}:
            stream()
        if kinds == {"large"} and len(events) > 2:
            return Response(status=413, headers={}, body=b"")
        return DELIVERED

    transport = Scripted(only_two)
    client = make(transport, spool_dir=str(tmp_path), delivery="sync", batch_size=4)
    spool = client.delivery._spool
    for i in range(4):
        body = b'{"type":"track","id":"evt_%d","event_type":"large"}' % i
        assert client.delivery._books.spill(Item(body, 0.0))
    assert spool.waiting == 4

    def stream():
        body = b'{"type":"track","id":"evt_s","event_type":"stream"}'
        client.delivery._outbox.put(Item(body, SYSTEM_CLOCK.monotonic()))

    stream()
    for _ in range(20):
        client.delivery._dispatcher.pump(1.0)

    assert spool.waiting == 0


# -- B9: on disk before it is booked --


def test_what_is_spilled_is_booked_before_it_can_be_replayed(make, tmp_path):
    client = make(Scripted(), spool_dir=str(tmp_path), delivery="sync")
    delivery = client.delivery
    item = Item(b'{"type":"track","id":"evt_1","event_type":"x"}', 0.0)
    spilling = threading.Thread(target=delivery._books.spill, args=(item,))
    with delivery._outbox.lock:  # the spilling thread is held up just before booking
        spilling.start()
        until(lambda: on_disk(tmp_path))
        delivery._dispatcher.pump(1.0)  # as the worker would
    spilling.join(PATIENCE)
    client.flush(PATIENCE)

    stats = client.stats()
    assert adds_up(stats)
    assert (stats.accepted, stats.delivered, stats.spooled) == (1, 1, 0)
    assert stats.recovered == 0


# -- B11: an answer of `flush` --


def test_an_express_item_that_comes_back_hides_no_older_one():
    outbox = Outbox(max_items=10, max_bytes=1000)
    outbox.put(Item(b"old", 1.0))
    late = Item(b"late", 3.0)
    assert outbox.lend(late)

    outbox.put_back([late])

    assert outbox.unsettled_since() == 1.0


def test_a_batch_that_comes_back_keeps_its_place_beside_calls_that_overlapped():
    outbox = Outbox(max_items=10, max_bytes=1000)
    for at in (1.2, 1.3, 1.1, 5.0):  # two threads' calls, one of them held up
        outbox.put(Item(b"item", at))
    batch = outbox.take(max_items=2, max_bytes=1000)

    outbox.put_back(batch)
    outbox.settle(outbox.take(max_items=1, max_bytes=1000))

    assert outbox.unsettled_since() < 2.0


# -- B12: an express item without room, and an end between --


def test_taking_back_what_the_end_has_booked_changes_nothing(make):
    client = make(Scripted())
    delivery = client.delivery
    item = Item(b'{"type":"track","id":"evt_1","event_type":"x"}', 0.0)
    assert delivery._outbox.lend(item)
    left = delivery._outbox.end()
    delivery._books.let_go(left, "closed")

    delivery._outbox.retract(item)  # the lane was full, or closed

    assert adds_up(client.stats())


# -- B5: interrupted sums --


def test_a_call_inside_a_booking_does_not_change_the_room():
    outbox = Outbox(max_items=10, max_bytes=1000)

    class Body(bytes):
        armed = False

        def __len__(self):
            if self.armed:
                self.armed = False
                outbox.put(Item(b"x" * 100, 0.0))  # a finalizer that tracks
            return bytes.__len__(self)

    item = Item(Body(b"y" * 10), 0.0)
    outbox.put(item)
    outbox.take(max_items=1, max_bytes=1000)
    item.body.armed = True
    outbox.settle([item])
    waiting = outbox.take(max_items=10, max_bytes=1000)
    outbox.settle(waiting)

    assert outbox._room_bytes == 1000
    assert outbox._room == 10


# -- B13: who waits for what went to disk --


def test_sync_mode_does_not_wait_for_what_went_to_disk(make, tmp_path):
    down = [True]

    def answer(events):
        if down:
            raise TransportError("down")
        return DELIVERED

    client = make(
        Scripted(answer),
        spool_dir=str(tmp_path),
        delivery="sync",
        queue_size=1,
        timeout=1.0,
    )
    client.track("first", user_id="1")
    down.clear()

    started = time.thread_time()
    assert client.track("second", user_id="1")
    assert time.thread_time() - started < 0.3
    assert client.flush(PATIENCE)
    assert client.stats().delivered == 2


def test_a_conversion_that_close_brings_to_disk_has_not_failed(make, tmp_path):
    asked = threading.Event()
    go_on = threading.Event()

    def hangs(events):
        asked.set()
        go_on.wait(PATIENCE)
        raise TransportError("down")

    client = make(Scripted(hangs), spool_dir=str(tmp_path), conversion_timeout=5.0)
    results = []
    waiting = threading.Thread(
        target=lambda: results.append(client.conversion("purchase", user_id="1"))
    )
    waiting.start()
    assert asked.wait(PATIENCE)
    client.close(0.05)
    go_on.set()
    waiting.join(PATIENCE)

    assert on_disk(tmp_path) == 1
    assert results[0].success  # it will be delivered, nobody needs to repeat it


# -- B14: calls from our own callbacks, which run in the worker's thread --


def test_a_callback_that_waits_does_not_wait_for_its_own_thread(make):
    took = []

    def on_error(reason):
        started = SYSTEM_CLOCK.monotonic()
        client.conversion("purchase", user_id="1")
        took.append(SYSTEM_CLOCK.monotonic() - started)

    client = make(Scripted(fails), on_error=on_error, batch_interval=0.01)
    client.track("event", user_id="1")
    until(lambda: took)

    assert took[0] < 1.0


# -- B15: an answer of `closed` --


def test_what_close_has_dropped_is_not_sent_after_all(make):
    asked, go_on = threading.Event(), threading.Event()
    down = [True]
    dropped = []

    def hangs(events):
        asked.set()
        if down:
            go_on.wait(PATIENCE)
            raise TransportError("down")
        return DELIVERED

    client = make(
        Scripted(hangs),
        conversion_timeout=5.0,
        on_drop=lambda reason, events: dropped.append(reason),
    )
    results = []
    waiting = threading.Thread(
        target=lambda: results.append(client.conversion("purchase", user_id="1"))
    )
    waiting.start()
    assert asked.wait(PATIENCE)
    down.clear()
    client.close(0.05)
    go_on.set()
    waiting.join(PATIENCE)
    client.flush(PATIENCE)

    assert bool(dropped) != results[0].success


# -- B16: a call inside an eviction, and inside a report --


def test_a_call_inside_an_eviction_breaks_nothing():
    outbox = Outbox(max_items=2, max_bytes=1000)

    class Body(bytes):
        armed = False

        def __len__(self):
            if self.armed:
                self.armed = False
                outbox.settle(outbox.put(Item(b"nested", 0.0, important=True)))
            return bytes.__len__(self)

    plain = [Item(Body(b"plain"), 0.0), Item(Body(b"other"), 0.0)]
    for item in plain:
        outbox.put(item)
    plain[0].body.armed = True
    evicted = outbox.put(Item(b"important", 0.0, important=True))
    if evicted:
        outbox.settle(evicted)

    assert evicted is not None
    assert outbox.in_flight == 0
    assert outbox._room + outbox.waiting == 2


def test_a_report_inside_a_count_breaks_nothing():
    from mbuzz.delivery.counters import Counters

    counters = Counters(ManualClock())
    calls = []

    class Reason(str):
        def __hash__(self):
            calls.append(1)
            if len(calls) in range(6, 12):
                counters.report()
            return str.__hash__(self)

    for _ in range(3):
        counters.refuse(Reason("missing_identity"))

    assert counters.refused == {"missing_identity": 3}


# -- B17: what is tracked when the process is as good as gone --

LATE = """
import atexit, socket, sys

def report():
    stats = mbuzz.stats()
    print(stats.accepted, stats.spooled + sum(stats.dropped.values()))

def late():
    mbuzz.track("late", user_id="1")

atexit.register(report)
atexit.register(late)  # before ours: runs after it
import logging, mbuzz
logging.disable()
hanging = socket.socket()
hanging.bind(("127.0.0.1", 0))
hanging.listen()
url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
options = {"spool_dir": sys.argv[2]} if sys.argv[2:] else {}
mbuzz.configure(api_key=sys.argv[1], api_url=url, network=True, **options)
mbuzz.track("early", user_id="1")
"""


@pytest.mark.parametrize("spool", [True, False], ids=["spool", "none"])
def test_what_a_late_exit_handler_tracks_is_spooled_or_dropped(tmp_path, spool):
    arguments = [str(tmp_path)] if spool else []
    ended = subprocess.run(
        [sys.executable, "-c", LATE, KEY, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )

    accepted, accounted = map(int, ended.stdout.split())
    assert accepted == accounted
    if spool:
        assert on_disk(tmp_path) == 2
