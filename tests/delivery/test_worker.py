"""Delivery as a whole, against a server that fails in every way that servers do."""

import os
import random
import threading
from concurrent.futures import Future

import pytest

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.testing import ManualClock
from tests.delivery.conftest import adds_up, said
from tests.delivery.fault_server import PATIENCE, FaultServer

# Faults that pass: what was accepted arrives once they are over.
PASSING = (
    "refuse black_hole hang drip_headers drip_body drop garbage nested 408 "
    "429_seconds 429_date 500 503 no_keep_alive"
).split()
FINAL = "400 401 redirect".split()
KEPT_TWICE = {"drop", "drip_headers", "drip_body"}  # and counted once, by their ids


class Stopwatch:
    def __enter__(self):
        self._started = SYSTEM_CLOCK.monotonic()
        return self

    def __exit__(self, *exc_info):
        self.seconds = SYSTEM_CLOCK.monotonic() - self._started


def track(client, count, prefix="event"):
    return [client.track(f"{prefix}_{i}", user_id="1") for i in range(count)]


@pytest.mark.parametrize("mode", ["ok", *PASSING])
def test_every_accepted_event_arrives_once_the_server_recovers(
    server, make_client, mode
):
    server.mode = mode
    client = make_client(batch_size=2)

    results = track(client, 5)
    healthy = mode in ("ok", "no_keep_alive")
    with Stopwatch() as flushing:
        settled = client.flush(PATIENCE if healthy else 0.25)
    during = client.stats()
    server.mode = "ok"

    assert all(results)
    assert flushing.seconds < 3.0
    assert settled is healthy
    assert adds_up(during)
    assert client.flush(PATIENCE)
    assert set(server.arrived) == {result.event_id for result in results}
    if mode not in KEPT_TWICE:
        assert set(server.arrived.values()) == {1}
    assert server.names == [f"event_{i}" for i in range(5)]
    after = client.stats()
    assert (after.accepted, after.delivered) == (5, 5)
    assert adds_up(after)


@pytest.mark.parametrize("mode", sorted(KEPT_TWICE))
def test_a_retry_sends_the_same_bytes(server, make_client, mode):
    server.mode = mode
    client = make_client()
    client.track("Signup", user_id="1")

    client.flush(0.3)
    server.wait_for(lambda: server.events)
    server.mode = "ok"
    client.flush(PATIENCE)

    first, *others = server.events
    assert others
    assert all(other == first for other in others)


@pytest.mark.parametrize("mode", FINAL)
def test_a_final_refusal_is_not_tried_again(server, make_client, mode):
    server.mode = mode
    client = make_client()

    track(client, 3)

    assert client.flush(PATIENCE)
    assert len(server.requests) == 1
    stats = client.stats()
    assert stats.rejected == 3
    assert stats.last_error == f"http_{302 if mode == 'redirect' else mode}"
    assert adds_up(stats)


@pytest.mark.parametrize("delivery", ["background", "sync"])
@pytest.mark.parametrize("mode", ["ok", *PASSING, *FINAL, "413"])
def test_close_takes_its_timeout_at_most_and_accounts_for_everything(
    server, make_client, mode, delivery
):
    client = make_client(delivery=delivery, timeout=0.1)
    server.mode = mode
    track(client, 2)

    with Stopwatch() as closing:
        settled = client.close(0.1)

    stats = client.stats()
    assert closing.seconds < 2.0
    assert stats.accepted == 2
    assert stats.queued == 0
    assert settled or stats.dropped or stats.in_flight
    assert adds_up(stats)


@pytest.mark.parametrize("mode", ["ok", *PASSING, *FINAL, "413"])
def test_a_conversion_waits_no_longer_than_told(server, make_client, mode):
    server.mode = mode
    client = make_client(conversion_timeout=0.1)

    with Stopwatch() as converting:
        result = client.conversion("purchase", user_id="1", revenue="9.90")

    assert converting.seconds < 2.0
    assert result.conversion_id
    assert result.success is (mode not in {*FINAL, "413"})
    assert adds_up(client.stats())


def test_what_comes_back_after_close_is_dropped_and_counted(server, make_client):
    server.mode = "hang"
    client = make_client(timeout=0.3, batch_interval=0.01)
    client.track("Signup", user_id="1")
    server.wait_for(lambda: server.requests)

    settled = client.close(0.05)
    for thread in threading.enumerate():
        if thread.name == "mbuzz":
            thread.join(PATIENCE)

    assert not settled
    stats = client.stats()
    assert (stats.dropped, stats.in_flight, stats.queued) == ({"closed": 1}, 0, 0)
    assert adds_up(stats)


def test_a_client_goes_on_after_close(server, make_client):
    client = make_client()
    client.track("Before", user_id="1")
    assert client.close(PATIENCE)

    client.track("After", user_id="1")

    assert client.flush(PATIENCE)
    assert server.names == ["Before", "After"]
    assert client.stats().accepted == 1  # counted from the close on


def test_closing_twice_or_unused_is_no_error(server, make_client):
    client = make_client()

    assert client.close()
    assert client.close()
    assert server.connections == 0


def test_nothing_is_accepted_by_a_delivery_that_was_closed(make_client):
    client = make_client()
    old = client.delivery
    client.close()

    answer = old.submit(b"{}", wait=1.0)
    express = old.submit(b"{}", express=Future())

    assert (answer.delivered, answer.error) == (False, "closed")
    assert express.error == "closed"
    assert old.stats().accepted == 0


def test_order_is_kept_across_batches_and_threads(server, make_client):
    client = make_client(batch_size=7)

    track(client, 50)

    assert client.flush(PATIENCE)
    assert server.names == [f"event_{i}" for i in range(50)]


def test_a_full_batch_does_not_wait_for_the_interval(server, make_client):
    client = make_client(batch_size=3, batch_interval=3600.0)

    track(client, 3)

    assert server.wait_for(lambda: len(server.events) == 3)


def test_a_single_event_leaves_after_the_interval(server, make_client):
    client = make_client(batch_interval=0.01)

    track(client, 1)

    assert server.wait_for(lambda: len(server.events) == 1)


def test_a_batch_is_bounded_by_bytes(server, make_client):
    client = make_client(batch_size=500, queue_bytes=8_000_000)
    for i in range(60):
        client.track(f"event_{i}", user_id="1", properties={"a": ["x" * 8000] * 3})

    assert client.flush(PATIENCE)
    assert len(server.requests) > 1
    assert all(len(body) <= 1_048_576 for _, _, body in server.requests)
    assert server.names == [f"event_{i}" for i in range(60)]


def test_413_splits_the_batch_until_it_passes(server, make_client):
    server.too_many = 3
    client = make_client(batch_interval=3600.0)
    track(client, 20)

    assert client.flush(PATIENCE)
    assert server.names == [f"event_{i}" for i in range(20)]
    stats = client.stats()
    assert (stats.delivered, stats.rejected) == (20, 0)
    assert adds_up(stats)


def test_batches_grow_again_after_a_split(server, make_client):
    server.too_many = 2
    client = make_client(batch_interval=3600.0, batch_size=8)
    track(client, 8)
    client.flush(PATIENCE)
    server.too_many = 0
    sent = len(server.requests)

    track(client, 30)
    client.flush(PATIENCE)

    assert len(server.requests) - sent <= 7  # of 2 or 4, then 8


def test_an_item_too_large_for_the_server_is_rejected_alone(server, make_client):
    server.mode = "413"
    client = make_client(batch_interval=3600.0)
    track(client, 2)

    assert client.flush(PATIENCE)
    stats = client.stats()
    assert (stats.rejected, stats.last_error) == (2, "http_413")
    assert adds_up(stats)


def test_a_rejected_item_does_not_take_its_batch_along(server, make_client, caplog):
    server.reject["Bad"] = "properties must be a hash"
    client = make_client(batch_interval=3600.0)
    client.track("Good", user_id="1")
    client.track("Bad", user_id="1")
    client.track("Better", user_id="1")

    assert client.close(PATIENCE)
    assert server.names == ["Good", "Better"]
    stats = client.stats()
    assert (stats.delivered, stats.rejected) == (2, 1)
    assert caplog.messages == [
        "events rejected (events=1, reason=properties must be a hash)"
    ]


def test_a_full_queue_refuses_plain_events_and_says_so_once(
    server, make_client, caplog
):
    server.mode = "refuse"
    client = make_client(queue_size=3, batch_interval=3600.0)

    results = track(client, 5)

    assert [result.error for result in results] == [None] * 3 + ["queue_full"] * 2
    stats = client.stats()
    assert (stats.accepted, stats.refused) == (3, {"queue_full": 2})
    assert adds_up(stats)
    assert said(caplog) == ["events refused (events=1, reason=queue_full)"]


def test_what_was_lost_in_the_quiet_minute_is_reported_at_the_end(
    server, make_client, caplog
):
    server.mode = "refuse"
    client = make_client(queue_size=1, batch_interval=3600.0)
    track(client, 4)

    client.close(0.0)

    assert sorted(said(caplog)) == [
        "events dropped (events=1, reason=closed)",
        "events refused (events=1, reason=queue_full)",
        "events refused (events=2, reason=queue_full)",
    ]


def test_a_conversion_makes_room_for_itself(server, make_client):
    client = make_client(queue_size=3, batch_interval=3600.0)
    track(client, 3)

    results = [
        client.conversion("purchase", user_id="1", wait=False),
        client.identify("1"),
        client.alias("1", "visitor"),
        client.conversion("purchase", user_id="1", wait=False),
    ]

    assert [bool(result) for result in results] == [True, True, True, False]
    stats = client.stats()
    assert (stats.accepted, stats.dropped) == (6, {"queue_full": 3})
    assert adds_up(stats)
    assert client.flush(PATIENCE)
    assert server.names == ["conversion", "identify", "alias"]


def test_old_events_expire(server, make_client):
    clock = ManualClock()
    server.mode = "refuse"
    client = make_client(clock=clock, retry_for=60.0, delivery="sync")
    client.track("Old", user_id="1")
    clock.advance(61.0)
    server.mode = "ok"

    client.track("New", user_id="1")

    assert client.flush(PATIENCE)
    assert server.names == ["New"]
    stats = client.stats()
    assert (stats.delivered, stats.dropped) == (1, {"expired": 1})
    assert adds_up(stats)


def test_flush_is_bounded_even_when_the_clients_clock_stands_still(server, make_client):
    server.mode = "refuse"
    for delivery in ("background", "sync"):
        client = make_client(clock=ManualClock(), delivery=delivery)
        client.track("Signup", user_id="1")

        with Stopwatch() as flushing:
            assert not client.flush(0.2)

        assert flushing.seconds < 3.0


def test_flush_waits_as_long_as_the_server_asked(server, make_client):
    server.mode = "429_seconds"
    client = make_client()
    track(client, 1)
    server.wait_for(lambda: server.requests)

    client.flush(0.1)
    client.flush(0.1)

    assert len(server.requests) == 1


def test_a_conversion_does_not_wait_for_a_try_that_comes_too_late(server, make_client):
    server.mode = "429_seconds"
    clock = ManualClock()  # never comes to the next try
    client = make_client(clock=clock, conversion_timeout=0.95, batch_size=1)
    track(client, 1)
    server.wait_for(lambda: server.requests)
    client.flush(0.1)

    with Stopwatch() as converting:
        result = client.conversion("purchase", user_id="1")

    assert converting.seconds < 0.85
    assert result.success
    assert result.attribution is None


def test_nobody_waits_while_the_breaker_is_open(server, make_client):
    server.mode = "refuse"
    client = make_client(delivery="sync", conversion_timeout=5.0)
    for _ in range(5):
        client.track("Signup", user_id="1")
    server.mode = "hang"

    with Stopwatch() as converting:
        result = client.conversion("purchase", user_id="1")
        client.track("Signup", user_id="1")

    assert not client.delivery.reachable
    assert converting.seconds < 2.0
    assert result.success
    assert server.connections == 0
    assert adds_up(client.stats())


def test_random_faults_lose_nothing(server, make_client):
    rng = random.Random(11)
    client = make_client(batch_size=5, timeout=0.2, batch_interval=0.01)
    ended = threading.Event()
    torn = []

    def watch():
        while not ended.wait(0.001):
            stats = client.stats()
            if not adds_up(stats):
                torn.append(stats)

    watcher = threading.Thread(target=watch)
    watcher.start()
    sent = []
    for _ in range(12):
        server.mode = rng.choice(["ok", "drop", "garbage", "500", "refuse", "hang"])
        sent += track(client, rng.randrange(20))
        client.flush(rng.random() / 10)
    server.mode = "ok"

    assert client.flush(PATIENCE)
    ended.set()
    watcher.join()
    assert torn == []
    assert set(server.arrived) == {result.event_id for result in sent}
    assert client.stats().delivered == len(sent)


def test_many_threads_lose_nothing(server, make_client):
    client = make_client(batch_size=20)
    results = []

    def work():
        results.extend(track(client, 50))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert client.flush(PATIENCE)
    assert set(server.arrived) == {result.event_id for result in results}
    assert len(results) == 400
    assert adds_up(client.stats())


# -- sync mode --


def test_sync_mode_returns_the_servers_answer(server, make_client):
    server.reject["Bad"] = "event_type is unknown"
    client = make_client(delivery="sync")

    good = client.track("Good", user_id="1")
    bad = client.track("Bad", user_id="1")

    assert good.success
    assert (bad.success, bad.error) == (False, "event_type is unknown")
    assert [thread.name for thread in threading.enumerate()].count("mbuzz") == 0
    assert server.names == ["Good"]


def test_sync_mode_keeps_what_could_not_be_sent_for_the_next_call(server, make_client):
    server.mode = "500"
    client = make_client(delivery="sync")
    first = client.track("First", user_id="1")
    server.mode = "ok"

    client.track("Second", user_id="1")

    assert first.success
    assert server.names == ["First", "Second"]
    assert client.flush(0.0)


def test_sync_mode_does_not_call_before_the_server_wants_it(server, make_client):
    server.mode = "429_seconds"
    client = make_client(delivery="sync")
    client.track("First", user_id="1")

    client.track("Second", user_id="1")

    assert len(server.requests) == 1
    server.mode = "ok"
    assert client.flush(PATIENCE)
    assert server.names == ["First", "Second"]


def test_sync_mode_delivers_more_than_one_batch_to_come_to_its_own(server, make_client):
    server.mode = "500"
    client = make_client(delivery="sync", batch_size=2)
    track(client, 3)
    server.mode = "ok"

    result = client.conversion("purchase", user_id="1")

    assert result.success
    assert server.names == ["event_0", "event_1", "event_2", "conversion"]


def test_flush_in_sync_mode_waits_out_a_backoff(server, make_client):
    server.mode = "429_seconds"
    client = make_client(delivery="sync")
    client.track("First", user_id="1")
    server.mode = "ok"

    assert not client.flush(0.01)
    assert client.flush(PATIENCE)


def test_flush_does_not_wait_for_another_threads_exchange_for_ever(server, make_client):
    server.mode = "hang"
    client = make_client(delivery="sync", timeout=5.0)
    thread = threading.Thread(target=lambda: client.track("Slow", user_id="1"))
    thread.start()
    server.wait_for(lambda: server.requests)
    other = threading.Thread(target=lambda: client.track("Other", user_id="1"))
    other.start()

    with Stopwatch() as flushing:
        assert not client.flush(0.2)
    server.mode = "ok"
    thread.join(PATIENCE)
    other.join(PATIENCE)

    assert flushing.seconds < 3.0
    assert client.flush(PATIENCE)


# -- the express lane --


def test_an_express_item_is_sent_alone_and_brings_the_cookies(server, make_client):
    server.cookies = ["_mbuzz_vid=a; Path=/", "_mbuzz_sid=b; Path=/"]
    client = make_client(batch_interval=3600.0)
    client.track("Waiting", user_id="1")
    reply = Future()

    result = client.track("page_view", user_id="1", express=reply)

    answer = reply.result(PATIENCE)
    assert result.success
    assert answer.delivered
    assert answer.cookies == ("_mbuzz_vid=a; Path=/", "_mbuzz_sid=b; Path=/")
    assert server.names == ["page_view"]
    assert adds_up(client.stats())
    assert client.flush(PATIENCE)
    assert client.stats().delivered == 2


def test_an_express_item_that_fails_goes_to_the_queue(server, make_client):
    server.mode = "500"
    client = make_client()
    reply = Future()

    client.track("page_view", user_id="1", express=reply)

    assert reply.result(PATIENCE).error == "retrying"
    server.mode = "ok"
    assert client.flush(PATIENCE)
    assert server.names == ["page_view"]
    stats = client.stats()
    assert (stats.accepted, stats.delivered) == (1, 1)
    assert adds_up(stats)


def test_an_express_item_that_is_rejected_says_why(server, make_client):
    server.reject["page_view"] = "visitor_id or user_id is required"
    client = make_client()
    reply = Future()

    client.track("page_view", user_id="1", express=reply)

    assert reply.result(PATIENCE).error == "visitor_id or user_id is required"
    assert client.flush(PATIENCE)
    assert client.stats().rejected == 1


def test_express_items_beyond_the_lane_are_queued(server, make_client):
    server.mode = "hang"
    client = make_client()
    replies = [Future() for _ in range(40)]

    results = [client.track("page_view", user_id="1", express=r) for r in replies]
    adding = adds_up(client.stats())
    server.mode = "ok"

    assert all(results)
    assert adding
    assert client.flush(PATIENCE)
    assert client.stats().delivered == 40
    assert all(reply.done() for reply in replies)


def test_an_express_item_finds_no_room_in_a_full_queue(server, make_client):
    client = make_client(queue_size=1, batch_interval=3600.0)
    client.track("Waiting", user_id="1")
    reply = Future()

    result = client.track("page_view", user_id="1", express=reply)

    assert result.error == "queue_full"
    assert reply.result(PATIENCE).error == "queue_full"


def test_express_in_sync_mode_does_not_wait(server, make_client):
    server.mode = "hang"
    client = make_client(delivery="sync", timeout=5.0)
    reply = Future()

    with Stopwatch() as tracking:
        result = client.track("page_view", user_id="1", express=reply)
    server.mode = "ok"

    assert tracking.seconds < 3.0
    assert result.success
    assert client.flush(PATIENCE)
    assert server.names == ["page_view"]


def test_a_reply_that_was_cancelled_harms_nobody(server, make_client):
    client = make_client(batch_interval=3600.0)
    reply = Future()
    server.mode = "hang"
    client.track("page_view", user_id="1", express=reply)
    server.wait_for(lambda: server.requests)

    reply.cancel()
    server.mode = "ok"

    assert client.flush(PATIENCE)
    assert client.stats().delivered == 1


def test_closing_gives_up_what_express_did_not_begin(server, make_client):
    server.mode = "hang"
    client = make_client()
    replies = [Future() for _ in range(6)]
    for reply in replies:
        client.track("page_view", user_id="1", express=reply)

    client.close(0.05)

    assert adds_up(client.stats())
    assert all(not r.result(PATIENCE).delivered for r in replies)
    for thread in threading.enumerate():
        if thread.name.startswith("mbuzz"):
            thread.join(PATIENCE)
    stats = client.stats()
    assert stats.dropped == {"closed": 6}
    assert (stats.queued, stats.in_flight) == (0, 0)


# -- without threads, and with a transport that is broken --


def test_a_transport_that_raises_anything_costs_a_retry(server, make_client, caplog):
    class Broken:
        def post(self, path, body, headers, timeout):
            raise AttributeError("a bug")

        def close(self):
            pass

    client = make_client(transport=Broken, delivery="sync")

    result = client.track("Signup", user_id="1")

    assert result.success
    stats = client.stats()
    assert (stats.queued, stats.in_flight, stats.retries) == (1, 0, 1)
    assert "call failed (place=delivery, error=AttributeError)" in caplog.messages
    assert not client.close(0.0)
    assert adds_up(client.stats())


def test_a_transport_that_cannot_be_made_costs_a_retry(server, make_client):
    def fail():
        raise RuntimeError("no transport")

    client = make_client(transport=fail)
    reply = Future()

    client.track("Signup", user_id="1")
    client.track("page_view", user_id="1", express=reply)

    assert reply.result(PATIENCE).error == "retrying"
    assert not client.flush(0.1)
    assert adds_up(client.stats())


def test_events_are_sent_in_line_where_threads_cannot_start(
    server, make_client, monkeypatch
):
    start = threading.Thread.start

    def refuse(thread):
        if thread.name.startswith("mbuzz"):
            raise RuntimeError("can't create new thread at interpreter shutdown")
        start(thread)

    client = make_client()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        tracked = client.track("Signup", user_id="1")
        express = client.track("page_view", user_id="1", express=Future())
        queued = client.stats().queued
        converted = client.conversion("purchase", user_id="1")

    assert tracked.success
    assert express.success
    assert queued == 2
    assert converted.success
    assert client.flush(PATIENCE)
    assert client.stats().delivered == 3


def test_batches_leave_in_the_callers_thread_where_there_is_no_other(
    server, make_client, monkeypatch
):
    start = threading.Thread.start

    def refuse(thread):
        if thread.name.startswith("mbuzz"):
            raise RuntimeError("can't start new thread")
        start(thread)

    client = make_client(queue_size=20, batch_size=5, batch_interval=3600.0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        results = track(client, 60)

    assert all(results)
    assert client.stats().dropped == {}
    assert len(server.events) >= 55


def test_network_off_refuses_and_says_so(server, make_client):
    client = make_client(network=False)
    reply = Future()

    result = client.track("page_view", user_id="1", express=reply)

    assert (result.success, result.error) == (False, "network_off")
    assert reply.result(0).error == "network_off"
    assert client.stats().refused == {"network_off": 1}
    assert server.connections == 0


# -- processes --

SETUP = """
import os, sys, warnings, mbuzz
warnings.simplefilter("ignore", DeprecationWarning)  # forks beside threads on purpose
mbuzz.configure(api_key="sk_test_" + "k" * 32, api_url=sys.argv[1], network=True,
                batch_interval=float(sys.argv[2]), timeout=30.0, strict=True)
"""


def test_an_exit_without_flush_delivers(server, run_python):
    run_python(SETUP + "mbuzz.track('Signup', user_id='1')", server.url, 60)

    assert server.names == ["Signup"]


def test_sys_exit_delivers_conversions_too(server, run_python):
    code = "mbuzz.conversion('purchase', user_id='1', wait=False); sys.exit(0)"
    run_python(SETUP + code, server.url, 60)

    assert server.names == ["conversion"]


def test_what_exit_handlers_track_is_sent_too(server, run_python):
    code = """
import atexit
atexit.register(lambda: mbuzz.track('Second', user_id='1'))  # runs after ours
mbuzz.track('First', user_id='1')
"""
    run_python(SETUP + code, server.url, 60)

    assert server.names == ["First", "Second"]


@pytest.mark.parametrize("mode", ["hang", "black_hole"])
def test_an_exit_is_short_while_the_server_hangs(server, run_python, mode):
    server.mode = mode
    # The earliest handler is the last to run.
    code = """
import atexit, time
started = time.monotonic()
atexit.register(lambda: print(time.monotonic() - started))
"""
    quiet = "import logging; logging.disable()\n"
    track_one = "mbuzz.track('Signup', user_id='1')"

    output = run_python(code + SETUP + quiet + track_one, server.url, 0.01)

    assert float(output) < 2.5 + 2.0  # the start of a slow machine included


def test_a_forked_child_delivers_its_own_events_only(server, run_python):
    code = """
mbuzz.track('Parent', user_id='1')
child = os.fork()
if child == 0:
    assert mbuzz.stats().accepted == 0
    mbuzz.track('Child', user_id='1')
    assert mbuzz.stats().queued == 1
    assert mbuzz.flush(10)
    assert mbuzz.stats().delivered == 1
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert mbuzz.stats().queued == 1
assert mbuzz.flush(10)
print(mbuzz.stats().delivered)
"""
    output = run_python(SETUP + code, server.url, 60)

    assert output == "1\n"
    assert sorted(server.names) == ["Child", "Parent"]
    assert set(server.arrived.values()) == {1}


def test_a_child_forked_after_the_first_delivery_has_its_own_connection(
    server, run_python
):
    code = """
mbuzz.track('First', user_id='1')
assert mbuzz.flush(10)
child = os.fork()
mbuzz.track('Child' if child == 0 else 'Parent', user_id='1')
if child == 0:
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert mbuzz.flush(10)
"""
    run_python(SETUP + code, server.url, 60)

    assert sorted(server.names) == ["Child", "First", "Parent"]
    assert set(server.arrived.values()) == {1}
    assert server.connections == 2


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_delivers_at_its_end(
    server, run_python, tmp_path, method
):
    script = tmp_path / "job.py"
    script.write_text(
        SETUP
        + f"""
import multiprocessing

def job():
    mbuzz.track('Child', user_id='1')

if __name__ == '__main__':
    mbuzz.track('Parent', user_id='1')
    child = multiprocessing.get_context({method!r}).Process(target=job)
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""
    )
    code = f"""
import runpy
runpy.run_path({str(script)!r}, run_name='__main__')
"""
    run_python(code, server.url, 60)

    assert sorted(server.names) == ["Child", "Parent"]
    assert set(server.arrived.values()) == {1}


def test_a_parents_locks_do_not_reach_the_child(server, run_python):
    code = """
import threading
from mbuzz import api
client = api.default_client()
mbuzz.track('Parent', user_id='1')
held = threading.Event()
done = threading.Event()
def hold():
    with client.delivery._outbox.changed, client._lifetime._locks[os.getpid()]:
        held.set()
        done.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    assert mbuzz.stats().accepted == 0
    mbuzz.track('Child', user_id='1')
    assert mbuzz.close(10)
    os._exit(0)
done.set()
thread.join()
assert os.waitpid(child, 0)[1] == 0
"""
    run_python(SETUP + code, server.url, 60)

    assert sorted(server.names) == ["Child", "Parent"]


def test_a_finalizer_may_track_inside_a_call(server, make_client):
    """The garbage collector runs code of the host inside ours, with our locks held."""
    client = make_client(queue_size=50)

    class Finalized:
        def __del__(self):
            client.track("Finalized", user_id="1")

    with client.delivery._outbox.changed, client._lifetime._locks[os.getpid()]:
        client.delivery._counters._lock.acquire()
        Finalized()
        client.delivery._counters._lock.release()

    assert client.flush(PATIENCE)
    assert server.names == ["Finalized"]


def test_a_logging_handler_may_track(server, make_client):
    import logging

    client = make_client(queue_size=2, batch_interval=3600.0)

    class Tracking(logging.Handler):
        def emit(self, record):
            client.track("Logged", user_id="1")

    handler = Tracking()
    logging.getLogger("mbuzz").addHandler(handler)
    try:
        track(client, 5)
    finally:
        logging.getLogger("mbuzz").removeHandler(handler)

    assert client.flush(PATIENCE)
    assert adds_up(client.stats())


def test_a_server_that_starts_late_gets_everything(make_client):
    late = FaultServer("refuse")
    try:
        client = make_client(api_url=late.url)
        client.track("Early", user_id="1")
        client.flush(0.1)

        late.mode = "ok"

        assert client.flush(PATIENCE)
        assert late.names == ["Early"]
    finally:
        client.close(0.0)
        late.close()
