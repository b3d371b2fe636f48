"""Spool and delivery together: what memory cannot hold goes to disk, and comes back."""

import json
import logging
import os
import sys
import threading
from pathlib import Path

import pytest

from mbuzz.cli.main import main
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.delivery.spool import Spool
from mbuzz.delivery.spool_inspection import inspect_folder, read_dead
from mbuzz.testing import ManualClock
from tests.delivery.conftest import KEY, adds_up, said
from tests.delivery.fault_server import PATIENCE, FaultServer

OTHER_KEY = "sk_test_" + "o" * 32
FINAL = "400 401 redirect".split()


class WallClock(ManualClock):
    """A clock whose wall time somebody sets; the other one never goes back."""

    def set_by(self, seconds):
        self._now_ms += round(seconds * 1000)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def make(make_client, folder):
    """Return a function that makes clients of one folder."""

    def client(**options):
        return make_client(**{"spool_dir": str(folder), **options})

    return client


def track(client, count, prefix="event"):
    results = [client.track(f"{prefix}_{i}", user_id="1") for i in range(count)]
    assert all(results)
    return [result.event_id for result in results]


def named(server, prefix):
    return [name for name in server.names if name.startswith(prefix)]


def numbered(count, prefix="event", first=0):
    return [f"{prefix}_{i}" for i in range(first, count)]


def in_order(names, expected, memory):
    """Tell whether the first *memory* ones came in order, and the other ones, too."""
    first, others = expected[:memory], expected[memory:]
    return [[n for n in names if n in set(part)] for part in (first, others)] == [
        first,
        others,
    ]


def until(condition):
    """Wait until *condition* holds; it is asked again and again."""
    deadline = SYSTEM_CLOCK.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert SYSTEM_CLOCK.monotonic() < deadline, "it did not come in time"
        pause.wait(0.01)


def on_disk(folder):
    """Return how many events wait in the folder, whoever they belong to."""
    if not folder.exists():
        return 0
    return sum(each.running + each.waiting for each in inspect_folder(str(folder)))


def dead(folder):
    """Return the ids and reasons of the dead letters."""
    return [
        (json.loads(letter.body)["id"], letter.reason)
        for each in inspect_folder(str(folder))
        for letter in read_dead(str(folder), each.fingerprint)
    ]


def leave_behind(make, server, count, prefix="left", **options):
    """Have a client end while the server is down; return the ids of its events."""
    server.mode = "refuse"
    others = set(threading.enumerate())
    client = make(**options)
    ids = track(client, count, prefix)
    assert not client.close(0.05)
    for thread in set(threading.enumerate()) - others:
        if thread.name == "mbuzz":  # or its last try may find the server back
            thread.join(PATIENCE)
    stats = client.stats()
    assert stats.spooled == count + stats.recovered
    assert (stats.dropped, stats.in_flight, stats.queued) == ({}, 0, 0)
    assert adds_up(stats)
    server.mode = "ok"
    return ids


# -- overflow --


@pytest.mark.parametrize("bound", ["queue_size", "queue_bytes"])
def test_overflow_goes_to_disk_and_comes_back_in_order(server, make, folder, bound):
    server.mode = "refuse"
    limit = {"queue_size": 3, "queue_bytes": 700}[bound]
    client = make(batch_size=4, batch_interval=3600.0, **{bound: limit})

    ids = track(client, 40)
    during = client.stats()
    settled = client.flush(0.2)
    server.mode = "ok"

    assert during.accepted == 40
    assert during.spooled + during.in_flight >= 30
    assert on_disk(folder) >= 30
    assert (during.dropped, during.refused) == ({}, {})
    assert adds_up(during)
    assert not settled
    assert client.flush(PATIENCE)
    assert sorted(server.arrived) == sorted(ids)
    assert set(server.arrived.values()) == {1}
    assert any(in_order(server.names, numbered(40), memory) for memory in range(10))
    after = client.stats()
    assert (after.accepted, after.delivered, after.recovered) == (40, 40, 0)
    assert (after.spooled, on_disk(folder)) == (0, 0)


def test_what_a_conversion_pushes_out_goes_to_disk(server, make):
    server.mode = "refuse"
    client = make(queue_size=3, batch_interval=3600.0)
    ids = track(client, 3)

    converted = client.conversion("purchase", user_id="1", wait=False)
    during = client.stats()
    server.mode = "ok"

    assert converted.success
    assert during.spooled + during.queued + during.in_flight == 4
    assert (during.dropped, during.refused) == ({}, {})
    assert client.flush(PATIENCE)
    assert set(server.arrived) == {*ids, converted.conversion_id}
    assert client.stats().delivered == 4


def test_overflow_does_not_wait_for_a_flush_to_be_sent(server, make):
    client = make(queue_size=2, batch_interval=0.01)

    track(client, 50)

    assert server.wait_for(lambda: len(server.events) == 50)


def test_what_was_pushed_out_does_not_wait_for_a_flush_to_be_sent(server, make):
    client = make(queue_size=2, batch_size=10, batch_interval=0.2)
    track(client, 1)  # the worker finds the folder empty
    assert server.wait_for(lambda: server.events)
    until(lambda: client.stats().delivered == 1)
    track(client, 2)

    client.conversion("purchase", user_id="1", wait=False)

    assert server.wait_for(lambda: len(server.events) == 4)


def test_many_threads_overflow_without_miscounting(server, make, folder):
    """The worker replays an event while the call that spooled it still books it."""
    client = make(queue_size=1, batch_size=3, batch_interval=0.001)
    ids = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=lambda: ids.extend(track(client, 100)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert client.flush(PATIENCE)
    assert sorted(server.arrived) == sorted(ids)
    stats = client.stats()
    assert (stats.accepted, stats.delivered) == (400, 400)
    assert (stats.recovered, stats.spooled) == (0, 0)
    assert on_disk(folder) == 0


def test_an_event_is_booked_before_it_can_be_replayed(server, make, monkeypatch):
    client = make(queue_size=1, batch_interval=0.01)
    write = Spool.write
    taken = []

    def write_and_wait(spool, body, *, held=False):
        ticket = write(spool, body, held=held)
        if threading.current_thread().name != "mbuzz":
            client.delivery._dispatcher._replay_at = 0.0
            client.delivery._hurry()
            taken.append(threading.Event().wait(0.3))  # the worker may take it now
        return ticket

    monkeypatch.setattr(Spool, "write", write_and_wait)
    server.mode = "hang"
    track(client, 1)
    assert server.wait_for(lambda: server.requests)
    server.mode = "ok"
    for i in range(3):
        client.track(f"more_{i}", user_id="1")

    assert client.flush(PATIENCE)
    stats = client.stats()
    assert (stats.accepted, stats.delivered) == (4, 4)
    assert (stats.recovered, stats.spooled) == (0, 0)


# -- outages --


@pytest.mark.parametrize("durable", [False, True])
def test_an_outage_longer_than_retry_for_goes_to_disk(server, make, durable):
    clock = ManualClock()
    server.mode = "refuse"
    client = make(clock=clock, retry_for=60.0, durable=durable)
    ids = track(client, 5)
    assert not client.flush(0.1)
    clock.advance(61.0)

    client.flush(0.2)
    until(lambda: client.stats().spooled + client.stats().in_flight == 5)
    during = client.stats()
    clock.advance(61.0)
    server.mode = "ok"

    assert (during.dropped, during.rejected) == ({}, 0)
    assert adds_up(during)
    until(lambda: client.flush(0.5))  # the backoff of its last try does not pass
    assert server.names == numbered(5)
    assert set(server.arrived) == set(ids)
    after = client.stats()
    assert (after.delivered, after.dropped, after.recovered) == (5, {}, 0)


def test_a_flush_right_after_the_outage_sends_what_had_expired(server, make):
    """It first finds the folder empty, then fills it, and looks again."""
    clock = ManualClock()
    client = make(clock=clock, retry_for=60.0, batch_interval=3600.0, delivery="sync")
    server.mode = "refuse"
    track(client, 3)
    clock.advance(61.0)
    server.mode = "ok"

    assert client.flush(3.0)
    assert server.names == numbered(3)


def test_a_flush_is_false_while_events_wait_on_disk(server, make):
    server.mode = "503"
    client = make(queue_size=1)
    track(client, 4)
    assert not client.flush(0.2)
    assert client.stats().spooled + client.stats().in_flight >= 2
    assert not client.flush(0.0)

    server.mode = "ok"

    assert client.flush(PATIENCE)
    assert client.stats().delivered == 4


def test_a_flush_does_not_overlook_what_is_being_read(server, make, monkeypatch):
    """Between disk and wire an event is nowhere, unless somebody says so."""
    client = make(queue_size=1, batch_interval=3600.0)
    take = Spool.take
    taken, go_on = threading.Event(), threading.Event()

    def take_and_wait(spool, **limits):
        batch = take(spool, **limits)
        if batch:
            taken.set()
            assert go_on.wait(PATIENCE)
        return batch

    monkeypatch.setattr(Spool, "take", take_and_wait)
    ids = track(client, 10)
    client.flush(0.0)
    assert taken.wait(PATIENCE)
    settled = client.flush(0.2)
    arrived = set(server.arrived)
    go_on.set()

    assert settled is (arrived == set(ids))
    assert client.flush(PATIENCE)
    assert set(server.arrived) == set(ids)


# -- the end, and the next client --


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("delivery", ["background", "sync"])
def test_what_close_leaves_the_next_client_delivers(
    server, make, folder, delivery, durable
):
    left = leave_behind(make, server, 5, delivery=delivery, durable=durable)
    assert on_disk(folder) == 5

    client = make(delivery=delivery)
    new = track(client, 1, "new")
    until(lambda: client.flush(1.0) and not on_disk(folder))

    assert set(server.arrived) == {*left, *new}
    assert set(server.arrived.values()) == {1}
    assert named(server, "left") == numbered(5, "left")
    stats = client.stats()
    assert (stats.accepted, stats.delivered, stats.recovered) == (6, 6, 5)
    assert adds_up(stats)


def test_what_was_being_sent_at_the_end_is_on_disk_too(server, make, folder):
    server.mode = "hang"
    client = make(timeout=5.0, batch_interval=0.01)
    ids = track(client, 2)
    assert server.wait_for(lambda: server.requests)
    ids += track(client, 2, "more")

    client.close(0.05)

    stats = client.stats()
    assert (stats.spooled, stats.in_flight, stats.queued) == (4, 0, 0)
    assert adds_up(stats)
    assert on_disk(folder) == 4
    server.mode = "ok"
    following = make()
    ids += track(following, 1, "new")
    until(lambda: following.flush(1.0) and not on_disk(folder))
    assert set(server.arrived) == set(ids)


def test_a_client_takes_up_again_what_it_left_at_its_close(server, make, folder):
    server.mode = "refuse"
    client = make()
    ids = track(client, 3, "left")
    client.close(0.05)
    server.mode = "ok"

    ids += track(client, 1, "new")
    until(lambda: client.flush(1.0) and not on_disk(folder))

    assert set(server.arrived) == set(ids)
    assert client.stats().recovered == 3


def test_a_client_with_events_on_disk_may_be_closed_twice(server, make):
    server.mode = "refuse"
    client = make()
    track(client, 3)
    client.close(0.05)
    started = SYSTEM_CLOCK.monotonic()

    assert not client.close(5.0)

    assert SYSTEM_CLOCK.monotonic() - started < 2.0


def test_a_job_that_ends_at_once_replays_what_the_last_one_left(
    server, make, folder, run_python
):
    left = leave_behind(make, server, 20)

    run_python(
        """
import mbuzz
mbuzz.configure(api_key="sk_test_" + "k" * 32, api_url=sys.argv[1], network=True,
                spool_dir=sys.argv[2], strict=True)
mbuzz.track("Job", user_id="1")
""",
        server.url,
        folder,
    )

    assert set(left) < set(server.arrived)
    assert named(server, "left") == numbered(20, "left")
    assert on_disk(folder) == 0


def test_several_ends_are_recovered_oldest_first(server, make, folder):
    for end in range(3):
        leave_behind(make, server, 4, f"left_{end}")

    client = make(batch_size=3)
    track(client, 1, "new")
    until(lambda: client.flush(1.0) and not on_disk(folder))

    expected = [name for end in range(3) for name in numbered(4, f"left_{end}")]
    assert named(server, "left") == expected
    assert client.stats().recovered == 12


def test_a_closed_client_without_a_word_of_loss(server, make, caplog):
    told = []
    leave_behind(make, server, 3, on_drop=lambda *said: told.append(said))

    assert told == []
    assert caplog.messages == []


def test_leftovers_of_two_accounts_do_not_mix(server, make, folder):
    mine = leave_behind(make, server, 3, "mine")
    theirs = leave_behind(make, server, 3, "theirs", api_key=OTHER_KEY)
    assert len(inspect_folder(str(folder))) == 2

    for key in (KEY, OTHER_KEY):
        client = make(api_key=key)
        track(client, 1, "new")
        until(lambda client=client: client.flush(1.0) and client.stats().recovered == 3)

    assert on_disk(folder) == 0
    assert set(mine) | set(theirs) <= set(server.arrived)
    for _, headers, body in server.requests:
        for event in json.loads(body)["events"]:
            own = OTHER_KEY if event["id"] in theirs else KEY
            if event["id"] in {*mine, *theirs}:
                assert headers["authorization"] == f"Bearer {own}"


def test_leftovers_for_two_addresses_do_not_mix(server, make, folder):
    left = leave_behind(make, server, 2)
    elsewhere = FaultServer()
    try:
        client = make(api_url=elsewhere.url)
        track(client, 1, "new")
        assert client.flush(PATIENCE)

        assert elsewhere.names == ["new_0"]
        assert on_disk(folder) == len(left)
        client.close(PATIENCE)
    finally:
        elsewhere.close()


def test_clients_side_by_side_replay_once(server, make, folder):
    left = leave_behind(make, server, 60)
    clients = [make(batch_size=5) for _ in range(3)]

    new = [track(client, 1, f"new_{i}")[0] for i, client in enumerate(clients)]
    until(lambda: all(c.flush(1.0) for c in clients) and not on_disk(folder))

    assert set(server.arrived) == {*left, *new}
    assert set(server.arrived.values()) == {1}
    assert sum(client.stats().recovered for client in clients) == 60
    assert all(adds_up(client.stats()) for client in clients)


def test_a_flush_that_may_not_replay_rests(server, make, tmp_path):
    """In line, too: another client holds the folder's only right to replay."""
    server.mode = "refuse"
    blocking = make(queue_size=1)
    track(blocking, 3)
    holding = blocking.delivery._spool
    until(lambda: holding.take(max_items=1, max_bytes=10**6))  # and keeps it
    waiting = make(queue_size=1, delivery="sync")
    track(waiting, 3)
    server.mode = "ok"
    started = os.times()

    settled = waiting.flush(1.0)

    ended = os.times()
    assert not settled
    assert adds_up(waiting.stats())
    assert ended.user + ended.system - started.user - started.system < 0.7


# -- dead letters --


def spool_command(capsys, folder, *words, code=0):
    capsys.readouterr()
    assert main(["spool", *words, "--spool-dir", str(folder)]) == code
    return capsys.readouterr().out


@pytest.mark.parametrize("mode", FINAL)
def test_a_final_refusal_is_kept_as_dead_letters(
    server, make, folder, mode, capsys, monkeypatch
):
    told = []
    client = make(batch_interval=3600.0, on_drop=lambda *said: told.append(said))
    server.mode = mode
    reason = f"http_{302 if mode == 'redirect' else mode}"
    ids = track(client, 3)

    settled = client.flush(PATIENCE)
    stats, health = client.stats(), client.health()
    client.close()
    listed = json.loads(spool_command(capsys, folder, "list", "--json"))
    server.mode = "ok"
    monkeypatch.setenv("MBUZZ_API_KEY", KEY)
    monkeypatch.setenv("MBUZZ_API_URL", server.url)
    said = spool_command(capsys, folder, "replay", "--dead")

    assert settled
    assert (stats.dead_lettered, stats.rejected, stats.dropped) == (3, 0, {})
    assert (health.status, health.reason) == ("failing", reason)
    assert adds_up(stats)
    assert told == []
    assert [each["dead_letters"] for each in listed] == [{reason: 3}]
    assert "delivered 3" in said
    assert set(server.arrived) == set(ids)
    assert dead(folder) == []


def test_dead_letters_are_said_once_a_minute(server, make, caplog):
    client = make(batch_size=1)
    server.mode = "400"

    track(client, 3)

    assert client.flush(PATIENCE)
    assert said(caplog) == ["events dead-lettered (events=1, reason=http_400)"]
    client.close()
    assert said(caplog)[1:] == [
        "events dead-lettered (events=2, reason=http_400)",
    ]


def test_dead_letters_are_not_sent_by_the_next_client(server, make, folder):
    client = make()
    server.mode = "400"
    ids = track(client, 2)
    client.close(PATIENCE)
    server.mode = "ok"

    following = make()
    track(following, 1, "new")

    assert following.flush(PATIENCE)
    assert server.names == ["new_0"]
    assert sorted(dead(folder)) == sorted((i, "http_400") for i in ids)


def test_what_was_replayed_becomes_a_dead_letter_too(server, make, folder):
    left = leave_behind(make, server, 3)
    server.mode = "401"
    client = make()

    new = track(client, 1, "new")
    until(lambda: client.flush(1.0) and not on_disk(folder))

    assert {letter for letter, _ in dead(folder)} == {*left, *new}
    stats = client.stats()
    assert (stats.dead_lettered, stats.recovered) == (4, 3)
    assert adds_up(stats)


def test_a_rejected_item_among_replayed_ones_costs_itself(server, make, folder):
    server.mode = "refuse"
    told = []
    client = make(queue_size=1, on_drop=lambda why, events: told.append((why, events)))
    track(client, 2)
    client.track("Bad", user_id="1")
    track(client, 1, "more")
    server.reject["Bad"] = "event_type is unknown"

    server.mode = "ok"

    assert client.flush(PATIENCE)
    assert client.close(PATIENCE)  # the callback has returned
    stats = client.stats()
    assert (stats.delivered, stats.rejected, stats.dead_lettered) == (3, 1, 0)
    assert [(why, [e["event_type"] for e in events]) for why, events in told] == [
        ("event_type is unknown", ["Bad"])
    ]
    assert on_disk(folder) == 0


def test_a_batch_from_disk_that_is_too_large_is_split(server, make, folder):
    left = leave_behind(make, server, 20)
    server.too_many = 3
    client = make()

    track(client, 1, "new")
    until(lambda: client.flush(1.0) and not on_disk(folder))

    assert named(server, "left") == numbered(20, "left")
    assert client.stats().recovered == len(left)
    assert set(server.arrived.values()) == {1}


# -- disks that fail --


@pytest.fixture(params=["a file", "/proc/mbuzz"])
def broken(request, tmp_path):
    """Return a folder that cannot be made."""
    if request.param == "a file":
        (tmp_path / "file").write_text("")
        return str(tmp_path / "file")
    return request.param


@pytest.mark.parametrize("durable", [False, True])
def test_a_folder_that_cannot_be_written_costs_a_warning(
    server, make, broken, durable, caplog
):
    server.mode = "refuse"
    client = make(
        spool_dir=broken, durable=durable, queue_size=3, batch_interval=3600.0
    )

    results = [client.track(f"event_{i}", user_id="1") for i in range(5)]
    health = client.health()
    server.mode = "ok"

    assert [result.error for result in results] == [None] * 3 + ["queue_full"] * 2
    assert (health.status, bool(health)) == ("degraded", True)
    assert client.stats().refused == {"queue_full": 2}
    assert client.flush(PATIENCE)
    assert server.names == numbered(3)
    assert adds_up(client.stats())
    warnings = [m for m in caplog.messages if m.startswith("events not spooled")]
    assert len(warnings) == 1
    assert "kkkk" not in caplog.text
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_a_broken_folder_loses_at_the_end_what_memory_would(
    server, make, broken, caplog
):
    server.mode = "refuse"
    told = []
    client = make(
        spool_dir=broken, on_drop=lambda why, events: told.append((why, len(events)))
    )
    track(client, 3)

    assert not client.close(0.05)
    until(lambda: client.stats().in_flight == 0)

    stats = client.stats()
    assert (stats.dropped, stats.spooled) == ({"closed": 3}, 0)
    assert adds_up(stats)
    until(lambda: sum(count for why, count in told if why == "closed") == 3)
    assert any("events dropped" in message for message in caplog.messages)


def test_a_refusal_that_cannot_be_kept_is_told(server, make, broken):
    told = []
    client = make(
        spool_dir=broken, on_drop=lambda why, events: told.append((why, len(events)))
    )
    server.mode = "400"
    track(client, 2)

    assert client.close(PATIENCE)
    stats = client.stats()
    assert (stats.rejected, stats.dead_lettered) == (2, 0)
    assert sum(count for _, count in told) == 2
    assert adds_up(stats)


def test_a_folder_that_is_there_again_is_used_again(server, make, folder):
    folder.write_text("in the way")
    server.mode = "refuse"
    clock = ManualClock()
    client = make(clock=clock, queue_size=1, batch_interval=3600.0)
    track(client, 1)
    assert client.track("Refused", user_id="1").error == "queue_full"

    folder.unlink()
    clock.advance(61.0)

    track(client, 2, "spooled")
    server.mode = "ok"
    until(lambda: client.flush(0.5))  # the backoff of its last try does not pass
    assert client.health().status == "ok"
    assert sorted(server.names) == ["event_0", "spooled_0", "spooled_1"]


FULL_DISK = """
import logging, os, resource, mbuzz
said = []
class Handler(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
logging.getLogger("mbuzz").addHandler(Handler())
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))  # of each file
mbuzz.configure(api_key="sk_test_" + "k" * 32, api_url=sys.argv[1], network=True,
                spool_dir=sys.argv[2], durable=True, batch_interval=60, strict=True)
results = [mbuzz.track(f"event_{i}", user_id="1") for i in range(30)]
assert all(results), results
health = mbuzz.health()
assert (health.status, health.reason) == ("degraded", "disk_full"), health
assert len(said) == 1 and said[0].startswith("events not spooled"), said
assert mbuzz.flush(20)
assert mbuzz.stats().delivered == 30
assert mbuzz.close(5)
"""


def test_a_disk_that_fills_up_degrades_to_memory(server, run_python, folder):
    run_python(FULL_DISK, server.url, folder, measured=False)

    assert server.names == numbered(30)
    assert on_disk(folder) == 0


def test_a_full_spool_keeps_conversions_before_page_views(server, make, folder):
    server.mode = "refuse"
    client = make(queue_size=1, spool_bytes=4_000, batch_interval=3600.0)
    accepted = []
    while result := client.track("page_view", user_id="1"):
        accepted.append(result.event_id)
    kept = [
        client.conversion("purchase", user_id="1", wait=False).conversion_id
        for _ in range(2)
    ]

    during = client.stats()
    size = sum(file.stat().st_size for file in folder.glob("*/*.seg"))
    server.mode = "ok"

    assert result.error == "queue_full"
    assert all(kept)
    assert during.refused == {"queue_full": 1}
    assert during.dropped == {"queue_full": 1}  # what gave way in memory
    assert size <= 4_000 * 11 // 10
    assert adds_up(during)
    assert client.flush(PATIENCE)
    assert set(kept) < set(server.arrived) < {*accepted, *kept}


def test_room_on_disk_comes_back(server, make):
    server.mode = "refuse"
    client = make(queue_size=1, spool_bytes=4_000)
    while client.track("page_view", user_id="1"):
        pass
    full = client.health()
    server.mode = "ok"
    assert client.flush(PATIENCE)

    server.mode = "refuse"
    ids = track(client, 5)
    server.mode = "ok"

    assert full.status in ("degraded", "failing")
    assert client.flush(PATIENCE)
    assert set(ids) <= set(server.arrived)


# -- damage, and clocks --


def damage(folder, change):
    """Do something to the bytes of the only segment."""
    (path,) = folder.glob("*/*.seg")
    path.write_bytes(change(path.read_bytes()))


def test_a_segment_cut_short_costs_its_last_record(server, make, folder):
    left = leave_behind(make, server, 5)
    damage(folder, lambda data: data[:-20])

    client = make()
    track(client, 1, "new")
    until(lambda: client.flush(1.0) and not on_disk(folder))

    assert named(server, "left") == numbered(4, "left")
    assert left[4] not in server.arrived
    stats = client.stats()
    assert (stats.recovered, stats.delivered) == (4, 5)
    assert adds_up(stats)


def test_a_damaged_record_is_counted_and_said(server, make, folder, caplog):
    left = leave_behind(make, server, 5)
    at = b'"left_2"'
    damage(folder, lambda data: data.replace(at, b'"xxft_2"'))

    client = make()
    track(client, 1, "new")
    until(lambda: client.flush(1.0) and not on_disk(folder))

    assert named(server, "left") == ["left_0", "left_1", "left_3", "left_4"]
    assert left[2] not in server.arrived
    stats = client.stats()
    assert (stats.recovered, stats.dropped) == (5, {"corrupted": 1})
    assert (stats.accepted, stats.delivered) == (6, 5)
    assert adds_up(stats)
    assert caplog.messages == ["events dropped (events=1, reason=corrupted)"]


def test_damage_alone_is_said_at_once(server, make, folder, caplog):
    leave_behind(make, server, 1)
    damage(folder, lambda data: data.replace(b'"left_0"', b'"xxxx_0"'))

    client = make()
    track(client, 1, "new")
    until(lambda: client.flush(1.0) and client.stats().dropped)

    until(lambda: caplog.messages)
    assert caplog.messages == ["events dropped (events=1, reason=corrupted)"]
    assert client.health().status == "degraded"


def test_rubbish_in_the_folder_harms_nobody(server, make, folder):
    left = leave_behind(make, server, 2)
    (place,) = folder.glob("*")
    (place / "0000000000001.000001.abc-1-1.seg").write_bytes(b"\x00" * 5_000)
    (place / "notes.txt").write_text("not ours")
    (folder / "also not ours").mkdir()

    client = make()
    track(client, 1, "new")
    until(lambda: client.flush(1.0) and not on_disk(folder))

    assert set(left) <= set(server.arrived)
    assert adds_up(client.stats())
    assert (place / "notes.txt").exists()


def test_events_too_old_for_the_spool_expire(server, make, folder, caplog):
    clock = WallClock(SYSTEM_CLOCK.now_ms())
    leave_behind(make, server, 3, clock=clock)
    clock.advance(3_600.0)

    client = make(clock=clock, spool_for=600.0)
    track(client, 1, "new")
    until(lambda: client.flush(1.0) and not on_disk(folder))

    assert server.names == ["new_0"]
    stats = client.stats()
    assert (stats.recovered, stats.dropped) == (3, {"expired": 3})
    assert adds_up(stats)


def test_a_clock_that_is_set_back_loses_nothing(server, make, folder):
    clock = WallClock()
    server.mode = "refuse"
    client = make(clock=clock, queue_size=2, batch_interval=3600.0)
    ids = track(client, 5, "before")
    clock.set_by(-86_400.0)
    ids += track(client, 5, "after")
    client.close(0.05)
    clock.set_by(-86_400.0)
    server.mode = "ok"

    following = make(clock=clock)
    ids += track(following, 1, "new")
    until(lambda: following.flush(1.0) and not on_disk(folder))

    assert set(server.arrived) == set(ids)
    assert following.stats().recovered == 10


def test_a_clock_that_is_set_ahead_expires_what_it_must_and_no_more(
    server, make, folder
):
    clock = WallClock()
    server.mode = "refuse"
    client = make(clock=clock, retry_for=60.0)
    ids = track(client, 3)
    clock.set_by(86_400.0)
    server.mode = "ok"

    until(lambda: client.flush(0.5))  # the backoff of its last try does not pass
    assert set(server.arrived) == set(ids)


# -- durable, in one process --


@pytest.mark.parametrize("delivery", ["background", "sync"])
def test_a_durable_event_is_on_disk_until_it_is_delivered(
    server, make, folder, delivery
):
    server.mode = "refuse"
    client = make(durable=True, delivery=delivery, batch_interval=3600.0)

    track(client, 4)
    client.identify("1")
    client.conversion("purchase", user_id="1", wait=False)
    during, kept = client.stats(), on_disk(folder)
    server.mode = "ok"

    assert kept == 6
    assert (during.spooled, during.queued + during.in_flight) == (0, 6)
    assert client.flush(PATIENCE)
    assert set(server.arrived.values()) == {1}
    assert client.stats().delivered == 6
    assert on_disk(folder) == 0
    assert not list(Path(folder).glob("*/*.dead"))


@pytest.mark.parametrize("mode", FINAL)
def test_a_durable_event_that_is_refused_is_a_dead_letter_and_nothing_else(
    server, make, folder, mode
):
    client = make(durable=True)
    server.mode = mode

    ids = track(client, 2)

    assert client.flush(PATIENCE)
    assert on_disk(folder) == 0
    assert sorted(letter for letter, _ in dead(folder)) == sorted(ids)


def test_a_durable_client_that_was_closed_leaves_no_record_of_what_it_refused(
    server, make, folder
):
    client = make(durable=True)
    old = client.delivery
    client.close()

    answer = old.submit(b'{"type":"track","id":"late"}')

    assert answer.error == "closed"
    assert on_disk(folder) == 0
