"""`kill -9` in a loop, with `durable=True`: what a call accepted arrives, once."""

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress

import pytest

from mbuzz.delivery.spool_inspection import inspect_folder
from tests.delivery.fault_server import FaultServer
from tests.processes import PATIENCE, unmeasured

PYTHON = (sys.executable, "-W", "ignore::DeprecationWarning", "-c")
MODES = "ok hang refuse 503 drop reset black_hole".split()

BEGIN = """
import os, sys
import mbuzz

mbuzz.configure(
    api_key="sk_test_" + "k" * 32, api_url=sys.argv[1], spool_dir=sys.argv[2],
    network=True, durable=True, strict=True, batch_interval=0.01, batch_size=20,
    timeout=1.0, connect_timeout=1.0, queue_size=200, conversion_timeout=0.01,
)


def accepted(event_id):
    os.write(1, (event_id + "\\n").encode())


def work():
    number = 0
    while True:
        number += 1
        if number % 10:
            result = mbuzz.track("Work", user_id="1", properties={"n": number})
            accepted(result.event_id if result else f"refused {result.error}")
        else:
            result = mbuzz.conversion("Work", user_id="1", wait=number % 20 == 0)
            accepted(result.conversion_id)
"""
WORK = BEGIN + "work()"
FORK = """
mbuzz.track("Work", user_id="1")
mbuzz.flush(0.05)
child = os.fork()
if child:
    os.write(2, f"{child}\\n".encode())
work()
"""
LAST = """
import sys, time
from mbuzz.delivery.spool_inspection import inspect_folder


def left():
    return sum(each.running + each.waiting for each in inspect_folder(sys.argv[2]))


mbuzz.track("Last", user_id="1", event_id="last")
give_up = time.monotonic() + 20.0
while not mbuzz.flush(5.0) or left():
    assert time.monotonic() < give_up, mbuzz.stats()
stats = mbuzz.stats()
assert stats.accepted == stats.delivered + stats.rejected, stats
assert stats.accepted == stats.recovered + 1, stats
assert not stats.dropped, stats
print(stats.recovered)
"""


@pytest.fixture
def server():
    served = FaultServer()
    yield served
    served.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool"


@contextmanager
def working(server, folder, code=WORK):
    """Run *code* in a process group of its own, which ends with the block."""
    process = subprocess.Popen(
        [*PYTHON, code, server.url, str(folder)],
        env=unmeasured(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        kill(process)
        process.wait(PATIENCE)
        process.stdout.close()
        process.stderr.close()


def kill(process):
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def heard(process, lines):
    """Return the next *lines* that it prints, fewer if it ends before."""
    read = [process.stdout.readline().decode() for _ in range(lines)]
    return [line.strip() for line in read if line.endswith("\n")]


def killed_after(process, lines):
    """Kill it once it has accepted some events; return the ids of all of them."""
    ids = heard(process, lines)
    assert len(ids) == lines, process.stderr.read()
    kill(process)
    rest = process.stdout.read().decode().split("\n")
    return ids + rest[:-1]  # half a line is no answer


def replay(server, folder):
    """Send what is left in a last process; return how many it recovered."""
    server.mode = "ok"
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + LAST, server.url, str(folder)],
        env=unmeasured(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def assert_all_arrived(server, accepted, killed):
    """Nothing is missing; what nobody was told of is what the kill interrupted."""
    assert not [each for each in accepted if each.startswith("refused")]
    assert len(set(accepted)) == len(accepted)
    arrived = set(server.arrived) - {"last"}
    assert set(accepted) <= arrived
    assert len(arrived - set(accepted)) <= killed
    first = {}
    for event in server.events:  # as the backend does: the first one counts
        assert first.setdefault(event["id"], event) == event


def left_on_disk(folder):
    return sum(each.running + each.waiting for each in inspect_folder(str(folder)))


@pytest.mark.parametrize("seed", range(2))
def test_kill_in_a_loop_loses_nothing_that_was_accepted(server, folder, seed):
    rng = random.Random(seed)
    accepted = []
    for _ in range(6):
        server.mode = rng.choice(MODES)
        with working(server, folder) as process:
            before = heard(process, rng.randrange(1, 40))
            server.mode = rng.choice(MODES)  # while it works
            accepted += before + killed_after(process, rng.randrange(1, 300))

    recovered = replay(server, folder)

    assert recovered
    assert_all_arrived(server, accepted, killed=6)
    assert left_on_disk(folder) == 0


def test_kill_in_the_middle_of_a_replay_loses_nothing(server, folder):
    rng = random.Random(7)
    server.mode = "refuse"
    with working(server, folder) as process:
        accepted = killed_after(process, 400)
    for _ in range(4):
        server.mode = "ok"
        with working(server, folder) as process:
            sent = len(server.requests)
            accepted += heard(process, 1)
            assert server.wait_for(lambda sent=sent: len(server.requests) > sent)
            server.mode = rng.choice(["hang", "drop", "503"])
            accepted += killed_after(process, rng.randrange(1, 50))

    replay(server, folder)

    assert_all_arrived(server, accepted, killed=5)


def test_processes_side_by_side_are_killed_without_loss(server, folder):
    rng = random.Random(5)
    accepted = []
    for _ in range(3):
        server.mode = rng.choice(["ok", "refuse", "503"])
        with working(server, folder) as one, working(server, folder) as other:
            accepted += killed_after(one, rng.randrange(1, 200))
            accepted += killed_after(other, rng.randrange(1, 200))

    replay(server, folder)

    assert_all_arrived(server, accepted, killed=6)
    assert left_on_disk(folder) == 0


def test_a_survivor_sends_what_a_killed_process_left(server, folder):
    server.mode = "refuse"
    with working(server, folder) as killed, working(server, folder) as survivor:
        left = killed_after(killed, 50)
        heard(survivor, 1)
        killed.wait(PATIENCE)
        server.mode = "ok"
        following = 0
        while not set(left) <= set(server.arrived):
            following += len(heard(survivor, 100))
            assert following < 200_000
        accepted = left + killed_after(survivor, 1)

    replay(server, folder)

    assert set(accepted) <= set(server.arrived)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_is_killed_without_loss(server, folder):
    rng = random.Random(3)
    accepted = []
    for mode in ("ok", "refuse", "hang"):
        server.mode = mode
        with working(server, folder, BEGIN + FORK) as parent:
            before = heard(parent, rng.randrange(1, 100))
            os.kill(int(parent.stderr.readline()), signal.SIGKILL)  # the child
            accepted += before + killed_after(parent, rng.randrange(1, 200))

    replay(server, folder)

    # the event before each fork was told to nobody
    assert_all_arrived(server, accepted, killed=3 * 3)
    assert left_on_disk(folder) == 0


def test_records_hold_what_was_accepted_and_no_key(server, folder):
    server.mode = "refuse"
    with working(server, folder) as process:
        accepted = killed_after(process, 30)

    files = [file for file in folder.rglob("*") if file.is_file()]
    stored = b"".join(file.read_bytes() for file in files)

    assert all(json.dumps(event).encode() in stored for event in accepted)
    assert b"kkkk" not in stored
    assert not [file for file in files if "kkkk" in str(file)]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
