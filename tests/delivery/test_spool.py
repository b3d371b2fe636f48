"""The spool: real files, real processes, and what becomes of records when both end."""

import itertools
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.delivery import spool_appender
from mbuzz.delivery.spool import Spool
from mbuzz.delivery.spool_folder import fingerprint
from mbuzz.delivery.spool_inspection import (
    inspect_folder,
    read_dead,
    remove_dead,
    remove_waiting,
)
from mbuzz.testing import ManualClock

ROOT = str(Path(__file__).resolve().parent.parent.parent)
DESTINATION = "https://mbuzz.example/api/v1 sk_test_" + "k" * 32
PATIENCE = 30.0  # seconds until a test gives up
PYTHON = (sys.executable, "-W", "error", "-c")
CALL = (
    "import sys; from tests.delivery import test_spool; "
    "getattr(test_spool, sys.argv[1])(sys.argv[2])"
)


@pytest.fixture
def clock():
    return ManualClock(SYSTEM_CLOCK.now_ms())  # other processes have the real one


@pytest.fixture
def make(tmp_path, clock):
    """Return a function that makes spools in one folder; they end with the test."""
    made = []

    def spool(destination=DESTINATION, **options):
        one = Spool(str(tmp_path / "spool"), destination, clock=clock, **options)
        made.append(one)
        return one

    yield spool
    for one in made:
        one.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool" / fingerprint(DESTINATION)


def body(name, kind="track", size=0):
    return f'{{"type":"{kind}","id":"{name}","x":"{"x" * size}"}}'.encode()


def bodies(*names):
    return [body(name) for name in names]


def take(spool, max_items=1_000, max_bytes=10_000_000):
    return spool.take(max_items=max_items, max_bytes=max_bytes)


def taken(spool, **limits):
    return [each for _, each in take(spool, **limits)]


def segments(folder, suffix="seg"):
    return sorted(folder.glob(f"*.{suffix}"))


def abandon(folder, *names, then="", destination=DESTINATION):
    """Write records in a process that is killed; *then* runs in it before that."""
    code = (
        "import os, signal, sys\n"
        "from mbuzz.delivery.spool import Spool\n"
        "spool = Spool(sys.argv[1], sys.argv[2])\n"
        'body = \'{"type":"track","id":"%s","x":""}\'\n'
        "tickets = [spool.write((body % name).encode()) for name in sys.argv[3:]]\n"
        f"{then}\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(folder.parent), destination, *names],
        env={**os.environ, "PYTHONPATH": ROOT},
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL


def in_a_process(function, folder):
    """Run a *function* of this module in a process of its own."""
    subprocess.run(
        [*PYTHON, CALL, function, str(folder.parent)],
        env={**os.environ, "PYTHONPATH": ROOT},
        timeout=PATIENCE,
        check=True,
    )


# -- one process --


def test_nothing_is_touched_before_the_first_write(make, folder):
    spool = make()

    assert take(spool) == []
    spool.ack([])
    spool.release([])
    spool.close()

    assert not folder.parent.exists()


def test_waiting_records_come_back_in_order_and_once(make):
    spool = make()
    for each in bodies("a", "b", "c"):
        spool.write(each)

    assert spool.waiting == 3
    assert taken(spool, max_items=2) == bodies("a", "b")
    assert spool.waiting == 1
    assert taken(spool) == bodies("c")
    assert taken(spool) == []
    assert (spool.waiting, spool.losses(), spool.trouble) == (0, {}, None)


def test_held_record_comes_back_only_after_its_release(make):
    spool = make()
    ticket = spool.write(body("a"), held=True)

    assert (spool.waiting, taken(spool)) == (0, [])
    spool.release([ticket])

    assert spool.waiting == 1
    assert taken(spool) == bodies("a")


def test_taken_record_comes_back_only_after_its_release(make):
    spool = make()
    for each in bodies("a", "b"):
        spool.write(each)
    first = take(spool)

    spool.release([first[0][0]])
    spool.release([first[0][0]])

    assert spool.waiting == 1
    assert taken(spool) == bodies("a")


def test_acknowledged_record_never_comes_back(make):
    spool = make()
    tickets = [spool.write(each, held=True) for each in bodies("a", "b", "c")]

    spool.ack([tickets[0], tickets[0]])
    spool.ack([tickets[0]])
    spool.release(tickets)

    assert spool.waiting == 2
    assert taken(spool) == bodies("b", "c")


def test_waiting_record_may_be_acknowledged(make):
    spool = make()
    ticket = spool.write(body("a"))

    spool.ack([ticket])

    assert (spool.waiting, taken(spool)) == (0, [])


def test_batch_is_bounded_by_bytes_but_never_empty(make):
    spool = make()
    for name in "abc":
        spool.write(body(name, size=100))
    size = len(body("a", size=100))

    assert len(taken(spool, max_bytes=1)) == 1
    assert len(taken(spool, max_bytes=2 * size - 1)) == 1
    assert len(taken(spool, max_bytes=2 * size)) == 1


def test_any_bytes_survive(make):
    spool = make()
    odd = [b"", b"\xffmb\xfe", b"\0" * 100, bytes(range(256)), b"x" * 200_000]
    for each in odd:
        spool.write(each)

    assert taken(spool) == odd


def test_files_are_for_their_user_alone(make, folder):
    before = os.umask(0)
    try:
        spool = make()
        spool.write(body("a"))
        spool.bury(bodies("b"), "http_400")
        take(spool)
    finally:
        os.umask(before)

    for path in (folder, folder.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    names = {path.suffix for path in folder.iterdir()}
    assert names == {".seg", ".dead", ".lock"}
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_destination_is_not_to_be_read_anywhere(make, folder):
    spool = make()
    spool.write(body("a"))
    spool.bury(bodies("b"), "http_400")
    take(spool)

    for path in folder.parent.rglob("*"):
        assert "sk_test" not in str(path)
        assert "example" not in str(path)
        assert not path.is_file() or b"sk_test" not in path.read_bytes()


def test_destinations_never_mix(make):
    one, other = make(), make("https://mbuzz.example/api/v1 another key")
    one.write(body("a"))
    other.write(body("b"))
    other.close()

    assert taken(one) == bodies("a")
    assert taken(make("https://mbuzz.example/api/v1 another key")) == bodies("b")
    assert taken(make("a third key")) == []


@pytest.mark.parametrize("limit", ["records", "bytes"])
def test_files_are_rotated_and_removed_when_done_with(make, folder, monkeypatch, limit):
    if limit == "records":
        monkeypatch.setattr(spool_appender, "_SEGMENT_RECORDS", 10)
    else:
        monkeypatch.setattr(spool_appender, "_SEGMENT_BYTES", 10 * 60)
    spool = make()
    tickets = [spool.write(body(f"{n:02}", size=9), held=True) for n in range(35)]
    assert len(segments(folder)) == 4

    spool.ack(tickets[:20])
    assert len(segments(folder)) == 2
    spool.release(tickets[20:])
    batch = take(spool)

    assert [each for _, each in batch] == [
        body(f"{n:02}", size=9) for n in range(20, 35)
    ]
    spool.ack(ticket for ticket, _ in batch)
    assert len(segments(folder)) == 1  # the one that is written to
    spool.close()
    assert segments(folder) == []


def test_order_is_kept_where_the_clock_is_set_back(make, clock, monkeypatch):
    monkeypatch.setattr(spool_appender, "_SEGMENT_RECORDS", 1)
    spool = make()
    for each in bodies("a", "b", "c"):
        spool.write(each)
        clock.advance(-60)

    assert taken(spool) == bodies("a", "b", "c")


# -- bounds --


def test_full_spool_keeps_a_tenth_for_what_matters(make):
    spool = make(max_bytes=2_000)
    written = 0
    while spool.write(body("plain", size=40)):
        written += 1

    assert written > 10
    assert spool.trouble == "spool_full"
    for kind in ("conversion", "identify"):
        assert spool.write(body("a", kind=kind)) is not None
    assert spool.trouble is None
    while spool.write(body("a", kind="conversion")):
        pass
    assert spool.trouble == "spool_full"
    assert spool.write(body("plain")) is None


def test_size_stays_within_the_bound(make, folder):
    spool = make(max_bytes=5_000)

    for n in range(100):
        spool.write(body(f"{n}", kind="conversion" if n % 2 else "track", size=100))

    size = sum(path.stat().st_size for path in segments(folder))
    assert 5_000 < size <= 5_500


def test_room_comes_back_with_acknowledgments(make, clock, monkeypatch):
    monkeypatch.setattr(spool_appender, "_SEGMENT_RECORDS", 2)
    spool = make(max_bytes=1_000)
    tickets = []
    while ticket := spool.write(body("a", size=100), held=True):
        tickets.append(ticket)

    spool.ack(tickets)
    clock.advance(2.0)

    assert spool.write(body("b", size=100)) is not None
    assert spool.trouble is None


@pytest.mark.parametrize("size", [10, 300, 600])
def test_small_spool_is_never_full_of_what_is_done_with(make, size):
    spool = make(max_bytes=1_000)

    for n in range(100):
        ticket = spool.write(body(f"{n}", size=size), held=True)
        assert ticket is not None
        spool.ack([ticket])

    assert spool.trouble is None


def test_full_spool_is_no_trouble_any_more_once_it_is_sent(make):
    spool = make(max_bytes=1_000)
    while spool.write(body("a", size=100)):
        pass
    assert spool.trouble == "spool_full"

    spool.ack(ticket for ticket, _ in take(spool))

    assert spool.trouble is None


def test_what_other_processes_wrote_counts(make, folder):
    abandon(folder, *[f"{n}" for n in range(50)])
    size = segments(folder)[0].stat().st_size

    spool = make(max_bytes=size)

    assert spool.write(body("a")) is None
    assert spool.trouble == "spool_full"


def test_what_other_processes_write_meanwhile_counts(make):
    one, other = make(max_bytes=10_000), make(max_bytes=10_000)
    one.write(body("a"))
    while other.write(body("b", size=100)):
        pass

    written = 0
    while one.write(body("a", size=100)):
        written += 1

    assert written * 130 < 10_000 // 8  # what fits into its file, and a bit
    assert one.trouble == "spool_full"


def test_record_that_no_reader_would_take_is_refused(make):
    spool = make()

    assert spool.write(b"x" * 1_048_577) is None
    assert spool.trouble == "too_large"
    assert spool.bury([b"x" * 1_048_577], "http_413") is False
    assert spool.trouble == "too_large"


def test_old_records_expire_and_are_counted(make, clock, folder):
    spool = make(max_age=60.0)
    spool.write(body("old"))
    clock.advance(30.0)
    spool.write(body("young"))
    clock.advance(31.0)

    assert taken(spool) == bodies("young")
    assert spool.losses() == {"expired": 1}
    assert spool.losses() == {}
    assert spool.waiting == 0
    spool.close()
    assert taken(make()) == bodies("young")


def test_expired_records_of_another_process_are_recovered_first(make, clock, folder):
    first = make()
    for each in bodies("a", "b"):
        first.write(each)
    first.close()
    clock.advance(61.0)
    spool = make(max_age=60.0)

    assert taken(spool) == []
    assert spool.losses() == {"recovered": 2, "expired": 2}
    assert segments(folder) == []


# -- disks that fail --


@pytest.mark.parametrize(
    ("place", "trouble"),
    [
        ("a file", "not_a_folder"),
        ("below a file", "not_a_folder"),
        ("/proc/mbuzz", None),
        ("/dev/null/mbuzz", "not_a_folder"),
    ],
)
def test_folder_that_cannot_be_made_is_said_in_a_word(tmp_path, clock, place, trouble):
    (tmp_path / "file").write_text("")
    path = {"a file": "file", "below a file": "file/spool"}.get(place, place)
    spool = Spool(str(tmp_path / path), DESTINATION, clock=clock)

    assert spool.write(body("a")) is None
    assert spool.trouble == trouble or (trouble is None and spool.trouble)
    assert spool.bury(bodies("a"), "http_400") is False
    assert taken(spool) == []
    spool.close()


def test_folder_that_failed_is_tried_again_after_a_moment(tmp_path, clock):
    (tmp_path / "spool").write_text("")
    spool = Spool(str(tmp_path / "spool"), DESTINATION, clock=clock)
    assert spool.write(body("a")) is None
    (tmp_path / "spool").unlink()

    assert spool.write(body("a")) is None
    clock.advance(1.0)
    assert spool.write(body("a")) is not None
    assert spool.trouble is None
    spool.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission_is_said_in_a_word(tmp_path, clock):
    (tmp_path / "spool").mkdir(mode=0o500)
    spool = Spool(str(tmp_path / "spool"), DESTINATION, clock=clock)

    assert spool.write(body("a")) is None
    assert spool.trouble == "no_permission"


def full_disk(folder):
    """Fill what may be written of a file; runs in a process of its own."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, most))
    spool = Spool(folder, DESTINATION)
    written = [body(f"{n}", size=90) for n in range(20)]
    kept = [each for each in written if spool.write(each)]
    assert 0 < len(kept) < 20
    assert spool.trouble in ("file_too_large", "disk_full"), spool.trouble
    assert spool.bury([b"x" * 2_000], "http_400") is False
    assert spool.write(b"{}") is not None  # what fits goes on behind the last one
    assert spool.trouble is None
    assert taken(spool) == [*kept, b"{}"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))  # coverage has files, too


def test_write_that_does_not_fit_is_taken_back(make, folder):
    in_a_process("full_disk", folder)

    spool = make()
    back = taken(spool)
    assert back[-1] == b"{}"
    assert spool.losses() == {"recovered": len(back)}


def test_files_removed_by_hand_are_counted(make, folder):
    spool = make()
    for each in bodies("a", "b"):
        spool.write(each)
    held = spool.write(body("c"), held=True)
    segments(folder)[0].unlink()

    assert taken(spool) == []
    assert (spool.losses(), spool.waiting) == ({"corrupted": 2}, 0)
    spool.ack([held])
    spool.close()


def test_folder_removed_by_hand_is_made_again(make, folder, monkeypatch):
    monkeypatch.setattr(spool_appender, "_SEGMENT_RECORDS", 1)
    spool = make()
    spool.write(body("a"))
    shutil.rmtree(folder.parent)

    assert spool.write(body("b")) is not None
    assert taken(spool) == bodies("b")
    assert spool.losses() == {"corrupted": 1}
    abandon(folder, "x", then="assert len(spool.take(max_items=9, max_bytes=9)) < 1")
    spool.close()
    assert taken(make()) == bodies("b", "x")


# -- damage --


@pytest.mark.parametrize("cut", [1, 5, 20, 21, 30])
def test_record_cut_off_at_the_end_is_no_damage(make, folder, cut):
    abandon(folder, "a", "b")
    path = segments(folder)[0]
    data = path.read_bytes()
    path.write_bytes(data + data[: len(data) // 2][:cut])

    spool = make()

    assert taken(spool) == bodies("a", "b")
    assert spool.losses() == {"recovered": 2}


@pytest.mark.parametrize("at", ["magic", "accepted_at", "length", "checksum", "body"])
def test_damaged_record_costs_itself_alone(make, folder, at):
    abandon(folder, "a", "b", "c")
    path = segments(folder)[0]
    data = bytearray(path.read_bytes())
    start = {"magic": 0, "accepted_at": 7, "length": 13, "checksum": 18, "body": 30}
    data[len(data) // 3 + start[at]] ^= 0xFF
    path.write_bytes(data)

    spool = make()
    batch = take(spool)

    assert [each for _, each in batch] == bodies("a", "c")
    assert spool.losses() == {"recovered": 3, "corrupted": 1}
    spool.ack(ticket for ticket, _ in batch)
    assert segments(folder) == []


def test_own_record_that_was_damaged_meanwhile_is_counted(make, folder):
    spool = make()
    for each in bodies("a", "b"):
        spool.write(each)
    with segments(folder)[0].open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"???")

    assert taken(spool) == bodies("a")
    assert (spool.losses(), spool.waiting) == ({"corrupted": 1}, 0)


@pytest.mark.parametrize(
    ("content", "losses"),
    [
        (b"", {}),
        (b"\0" * 100_000, {"recovered": 1, "corrupted": 1}),
        (b"to do: buy milk\n" * 20_000, {"recovered": 1, "corrupted": 1}),
        (b"\xffmb\xfe" * 50_000, {"recovered": 1, "corrupted": 1}),
    ],
    ids=["empty", "zeros", "text", "magic"],
)
def test_file_without_records_is_removed(make, folder, content, losses):
    abandon(folder, "a")
    path = segments(folder)[0]
    owner = path.name.split(".")[2]
    (folder / f"0000000000001.000001.{owner}.seg").write_bytes(content)

    spool = make()

    assert taken(spool) == bodies("a")
    assert spool.losses() == {**losses, "recovered": 1 + losses.get("recovered", 0)}
    assert segments(folder) == [path]


def test_files_of_others_are_left_alone(make, folder):
    folder.mkdir(parents=True)
    names = ["notes.txt", "a.seg", "a.b.c.d.seg", ".lock.swp"]
    for name in names:
        (folder / name).write_text("mine")
    spool = make()
    spool.write(body("a"))

    assert taken(spool) == bodies("a")
    spool.close()
    assert {*names} <= {path.name for path in folder.iterdir()}
    assert all((folder / name).read_text() == "mine" for name in names)


# -- the next process --


def test_closed_spool_leaves_the_rest_to_the_next(make, folder):
    first = make()
    held, waiting, done = (
        first.write(body("held"), held=True),
        first.write(body("waiting")),
        first.write(body("done"), held=True),
    )
    first.ack([done])
    first.close()
    first.close()

    assert first.write(body("late")) is None
    assert first.trouble == "closed"
    assert (taken(first), first.bury([b"{}"], "late")) == ([], False)
    spool = make()
    batch = take(spool)
    assert [each for _, each in batch] == bodies("held", "waiting")
    assert (spool.losses(), spool.waiting) == ({"recovered": 2}, 0)
    spool.release(ticket for ticket, _ in batch)
    assert spool.waiting == 2
    spool.ack(ticket for ticket, _ in take(spool))
    assert spool.losses() == {}
    spool.close()
    assert [path.name for path in folder.iterdir()] == ["replay.lock"]
    assert held is not None
    assert waiting is not None


def test_acknowledgment_after_closing_still_counts(make):
    first = make()
    tickets = [first.write(each, held=True) for each in bodies("a", "b")]
    first.close()

    first.ack(tickets[:1])

    assert taken(make()) == bodies("b")


def test_records_of_a_killed_process_come_first(make, folder, clock):
    abandon(folder, "a", "b", then="spool.ack(tickets[:1])")
    spool = make()
    clock.advance(60.0)
    spool.write(body("c"))

    assert taken(spool, max_items=1) == bodies("b")
    assert spool.losses() == {"recovered": 1}
    assert taken(spool) == bodies("c")


def test_records_taken_by_a_killed_process_come_back(make, folder):
    abandon(
        folder,
        *["a", "b", "c"],
        then="spool.ack([spool.take(max_items=2, max_bytes=9999)[0][0]])",
    )

    assert taken(make()) == bodies("b", "c")


def test_two_spools_of_one_process_leave_each_other_alone(make, folder):
    one, other = make(), make()
    one.write(body("a"))
    other.write(body("b"))
    held = one.write(body("c"), held=True)

    batch = take(one)
    assert [each for _, each in batch] == bodies("a")
    assert taken(other) == []  # one replays
    one.ack(ticket for ticket, _ in batch)
    assert taken(other) == bodies("b")
    one.ack([held])
    one.close()

    # looking at it from here has not cost anybody a lock
    other.release([])
    assert inspect_folder(str(folder.parent))[0].live is True
    abandon(folder, "x", then="assert spool.take(max_items=9, max_bytes=9) == []")


class Child:
    """A spool in another process, driven by lines."""

    CODE = (
        "import sys\n"
        "from mbuzz.delivery.spool import Spool\n"
        "spool = Spool(sys.argv[1], sys.argv[2])\n"
        "batch = []\n"
        "for line in sys.stdin:\n"
        "    word, _, rest = line.strip().partition(' ')\n"
        "    if word == 'write':\n"
        "        print(spool.write(rest.encode()) is not None, flush=True)\n"
        "    elif word == 'take':\n"
        "        batch = spool.take(max_items=int(rest), max_bytes=10**6)\n"
        "        print(' '.join(b.decode() for _, b in batch), flush=True)\n"
        "    elif word == 'ack':\n"
        "        spool.ack([t for t, _ in batch])\n"
        "        print(flush=True)\n"
    )

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.CODE, str(folder.parent), DESTINATION],
            env={**os.environ, "PYTHONPATH": ROOT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)


@pytest.fixture
def child(folder):
    made = []

    def start():
        made.append(Child(folder))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.kill()


def test_one_process_replays_at_a_time_and_the_next_after_its_end(make, child):
    other = child()
    for name in ("a", "b"):
        other(f"write {name}")
    spool = make()
    spool.write(b"own")

    assert other("take 1") == ["a"]
    assert taken(spool) == []
    other("ack")
    assert taken(spool) == [b"own"]  # nothing of who lives
    assert other("take 1") == []
    spool.close()
    assert other("take 1") == ["own"]
    other.kill()

    assert taken(make()) == [b"own", b"b"]


def test_processes_that_compete_share_the_dead_ones_without_doubles(folder, child):
    for n in range(3):
        abandon(folder, *[f"{n}{m}" for m in range(10)])
    rivals = [child(), child(), child()]
    found = []

    for _ in range(200):
        for rival in rivals:
            found += rival("take 4")
            rival("ack")

    assert len(found) == 30
    assert len(set(found)) == 30


def kill_while_writing(folder):
    """Say each record that is on disk, until killed; runs in a process of its own."""
    spool = Spool(folder, DESTINATION)
    for n in range(1_000_000):
        ticket = spool.write(body(f"{os.getpid()}-{n}", size=n % 300), held=True)
        assert ticket is not None
        os.write(1, body(f"{os.getpid()}-{n}", size=n % 300) + b"\n")


def test_kill_loses_no_record_that_was_acknowledged(make, folder):
    said = []
    for round_ in range(6):
        writer = subprocess.Popen(
            [*PYTHON, CALL, "kill_while_writing", str(folder.parent)],
            env={**os.environ, "PYTHONPATH": ROOT},
            stdout=subprocess.PIPE,
        )
        for _ in range(1 + 40 * round_):
            said.append(writer.stdout.readline())
        writer.kill()
        with writer.stdout:
            said += writer.stdout
        writer.wait(PATIENCE)
    acknowledged = [line[:-1] for line in said if line.endswith(b"\n")]

    spool = make()
    found = []
    while batch := take(spool, max_items=100):
        found += [each for _, each in batch]
        spool.ack(ticket for ticket, _ in batch)

    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert len(found) - len(acknowledged) <= 6  # written, and killed before it was said
    assert spool.losses() == {"recovered": len(found)}
    assert segments(folder) == []


def fork_with_a_spool(folder):
    """Use an inherited spool in a child, and its own; in a process of its own."""
    spool = Spool(folder, DESTINATION)
    held = spool.write(body("a"), held=True)
    spool.write(body("b"))
    assert taken(spool) == bodies("b")

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            assert spool.write(body("x")) is None
            assert taken(spool) == []
            assert not spool.bury([b"x"], "x")
            spool.ack([held])
            spool.release([held])
            spool.close()
            own = Spool(folder, DESTINATION)
            assert own.write(body("child")) is not None
            assert taken(own) == []  # the parent replays
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    spool.release([held])
    assert sorted(taken(spool)) == sorted(bodies("a", "child"))


def test_forked_child_cannot_use_or_hurt_its_parents_spool(make, folder):
    in_a_process("fork_with_a_spool", folder)

    assert sorted(taken(make())) == sorted(bodies("a", "b", "child"))


# -- threads and interruptions --


def test_threads_write_without_loss_while_another_replays(make, monkeypatch):
    monkeypatch.setattr(spool_appender, "_SEGMENT_RECORDS", 50)
    spool = make()
    found = []

    def write(name):
        for n in range(300):
            assert spool.write(body(f"{name}-{n}")) is not None

    def drain():
        while batch := take(spool, max_items=20):
            found.extend(each for _, each in batch)
            spool.ack(ticket for ticket, _ in batch)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        drain()
    for thread in threads:
        thread.join(PATIENCE)
    drain()

    assert len(found) == len(set(found)) == 1_200
    for name in "abcd":
        own = [each for each in found if f'"{name}-'.encode() in each]
        assert own == [body(f"{name}-{n}") for n in range(300)]
    assert spool.waiting == 0


def test_signal_handler_may_write_in_the_middle_of_everything(make, monkeypatch):
    monkeypatch.setattr(spool_appender, "_SEGMENT_RECORDS", 40)
    spool = make()
    inner, depth, numbers = [], [], itertools.count()

    def handler(*_):
        if len(depth) < 3:  # a slow machine would never leave it
            depth.append(None)
            inner.append(own := body(f"inner-{next(numbers)}"))
            assert spool.write(own) is not None
            depth.pop()

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        outer, found = [], []
        for n in range(2_000):
            outer.append(body(f"outer-{n}"))
            assert spool.write(outer[-1]) is not None
            if n % 100 == 0:
                batch = take(spool, max_items=50)
                found += [each for _, each in batch]
                spool.ack(ticket for ticket, _ in batch)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    found += taken(spool, max_items=1_000_000, max_bytes=10**9)

    assert inner
    assert len(found) == len(set(found))
    assert set(found) == {*outer, *inner}
    assert [each for each in found if b"outer" in each] == outer
    assert spool.losses() == {}


# -- dead letters and the look from outside --


def test_dead_letters_are_kept_apart_with_their_reasons(make, folder, clock):
    spool = make()
    assert spool.bury(bodies("a", "b"), "http_400")
    assert spool.bury(bodies("c"), "no such event")

    (found,) = inspect_folder(str(folder.parent))
    letters = list(read_dead(str(folder.parent), found.fingerprint))

    assert found.dead == {"http_400": 2, "no such event": 1}
    assert (found.running, found.waiting, taken(spool)) == (0, 0, [])
    assert [(x.body, x.reason) for x in letters] == [
        (body("a"), "http_400"),
        (body("b"), "http_400"),
        (body("c"), "no such event"),
    ]
    assert {x.buried_at_ms for x in letters} == {clock.now_ms()}


def test_removed_dead_letter_is_gone_while_its_process_lives_and_after(make, folder):
    spool = make()
    root, name = str(folder.parent), fingerprint(DESTINATION)
    spool.bury(bodies("a", "b"), "http_400")
    letters = list(read_dead(root, name))

    remove_dead(root, name, letters[:1])
    assert [x.body for x in read_dead(root, name)] == bodies("b")
    remove_dead(root, name, letters)
    assert list(read_dead(root, name)) == []
    assert len(segments(folder, "dead")) == 1  # it may go on there
    spool.bury(bodies("c"), "http_400")
    assert [x.body for x in read_dead(root, name)] == bodies("c")
    spool.close()

    remove_dead(root, name, list(read_dead(root, name)))
    assert segments(folder, "dead") == []
    remove_dead(root, name, letters)


def test_dead_letters_fill_half_of_the_spool_at_most(make):
    spool = make(max_bytes=2_000)
    buried = 0
    while spool.bury([body("a", size=50)], "http_400"):
        buried += 1

    assert spool.trouble == "spool_full"
    assert 5 < buried < 20
    assert spool.write(body("b")) is not None


def test_inspection_tells_running_from_ended_processes(make, folder, clock):
    abandon(folder, "a", "b", then="spool.ack(tickets[:1])")
    spool = make()
    spool.write(body("c"))
    spool.write(body("d"), held=True)

    (found,) = inspect_folder(str(folder.parent))

    assert (found.running, found.waiting, found.segments) == (2, 1, 2)
    assert found.live is True
    assert found.oldest_ms == clock.now_ms()
    assert found.bytes == sum(path.stat().st_size for path in segments(folder))
    assert found.dead == {}
    before = sorted(folder.iterdir())
    inspect_folder(str(folder.parent))
    assert sorted(folder.iterdir()) == before
    assert sorted(taken(spool)) == sorted(bodies("b", "c"))


def test_waiting_records_of_ended_processes_can_be_removed(make, folder):
    abandon(folder, "a", "b")
    spool = make()
    spool.write(body("c"))

    assert remove_waiting(str(folder.parent), folder.name) == 2
    assert remove_waiting(str(folder.parent), folder.name) == 0

    assert taken(spool) == bodies("c")
    assert spool.losses() == {}
