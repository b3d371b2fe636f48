"""SQLite storage: one writer for everybody, and what happens when things go wrong."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from mbuzz.server.model import Tenant
from mbuzz.server.storage import group_commit, sqlite
from mbuzz.server.storage.errors import StorageBusyError, StorageError
from mbuzz.server.storage.schema import migrate, migrations
from mbuzz.server.storage.sqlite import SqliteStorage
from tests.processes import PATIENCE, wait_for

TENANT = Tenant(1, live=True)


def add(visitor_id):
    """Return work that stores a visitor and returns its row."""
    return lambda stores: stores.tracking.ensure_visitor(TENANT, visitor_id, 0)


def find(visitor_id):
    return lambda stores: stores.tracking.visitor(TENANT, visitor_id)


def visitors(path):
    """Return what somebody else sees in the file."""
    with sqlite3.connect(path) as other:
        rows = other.execute("SELECT visitor_id FROM visitors ORDER BY id").fetchall()
    other.close()
    return [visitor_id for (visitor_id,) in rows]


class Gate:
    """Work that keeps the writer busy until it is let go."""

    def __init__(self):
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, stores):
        self.entered.set()
        assert self.open.wait(PATIENCE)
        return "passed"


@pytest.fixture
def gate(storage):
    """Keep the writer busy; whatever is written meanwhile shares one commit."""
    gate = Gate()
    with ThreadPoolExecutor(1) as pool:
        passed = pool.submit(storage.write, gate)
        assert gate.entered.wait(PATIENCE)
        yield gate
        gate.open.set()
        assert passed.result(PATIENCE) == "passed"


# -- writing --


def test_many_threads_write_and_each_gets_its_own_result(storage, path):
    names = [f"v{number}" for number in range(200)]

    with ThreadPoolExecutor(16) as pool:
        rows = list(pool.map(lambda name: storage.write(add(name)), names))

    assert sorted(rows) == list(range(1, 201))
    assert sorted(visitors(path)) == sorted(names)
    for name, row in zip(names, rows, strict=True):
        assert storage.read(find(name)) == row


def test_those_who_wait_share_one_commit(storage, path, gate):
    commits = []
    storage._writer.set_trace_callback(
        lambda sql: commits.append(sql) if sql == "COMMIT" else None
    )

    with ThreadPoolExecutor(20) as pool:
        done = [pool.submit(storage.write, add(f"v{number}")) for number in range(20)]
        wait_for(lambda: len(storage._commits._waiting) == 20, "the queue")
        gate.open.set()
        assert len({future.result(PATIENCE) for future in done}) == 20

    assert commits == ["COMMIT"] * 2  # the gate's own, and one for all
    assert len(visitors(path)) == 20


def poisonous(stores):
    stores.tracking.ensure_visitor(TENANT, "half done", 0)
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("poison", "error"),
    [
        (poisonous, ZeroDivisionError),
        (add("\ud800"), UnicodeEncodeError),
        (lambda stores: add(object())(stores), sqlite3.Error),
        (lambda stores: add(None)(stores), sqlite3.IntegrityError),
    ],
)
def test_failing_work_costs_itself_only(storage, path, gate, poison, error):
    with ThreadPoolExecutor(3) as pool:
        works = [add("before"), poison, add("after")]
        before, failed, after = [pool.submit(storage.write, work) for work in works]
        wait_for(lambda: len(storage._commits._waiting) == 3, "the queue")
        gate.open.set()

        assert before.result(PATIENCE)
        assert after.result(PATIENCE)
        with pytest.raises(error):
            failed.result(PATIENCE)

    assert sorted(visitors(path)) == ["after", "before"]


def test_result_comes_when_others_can_see_it(storage, path):
    for number in range(20):
        storage.write(add(f"v{number}"))
        assert len(visitors(path)) == number + 1


def test_accounts_are_not_of_a_new_version_before_others_can_see_it(storage):
    before, during = storage.accounts_version, []

    def add_account(stores):
        stores.accounts.create_account("acc_1", "Shop", "USD", "UTC", 0)
        during.append(storage.accounts_version)

    storage.write(add_account)

    assert during == [before]
    assert storage.accounts_version > before


def test_queue_that_is_full_is_busy(storage, gate, monkeypatch):
    monkeypatch.setattr(group_commit, "_MOST_WAITING", 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(storage.write, add("v1"))
        wait_for(lambda: storage._commits._waiting, "the queue")

        with pytest.raises(StorageBusyError, match="too many writes are waiting"):
            storage.write(add("v2"))

        gate.open.set()
        assert waiting.result(PATIENCE)
    assert storage.read(find("v2")) is None


def test_work_given_up_while_waiting_is_not_done_later(storage, gate, monkeypatch):
    monkeypatch.setattr(sqlite, "_COMMIT_WITHIN", 0.01)

    with pytest.raises(StorageBusyError, match="slow; try again"):
        storage.write(add("v1"))

    gate.open.set()
    monkeypatch.setattr(sqlite, "_COMMIT_WITHIN", PATIENCE)
    storage.write(add("v2"))
    assert storage.read(find("v1")) is None


def test_database_locked_by_another_process_is_busy(storage, path, monkeypatch):
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT", 0.01)  # seconds
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StorageBusyError, match="database is locked"):
        storage.write(add("v1"))

    other.execute("ROLLBACK")
    other.close()
    assert storage.write(add("v1"))


def test_commit_that_fails_is_answered_and_rolled_back(storage, path):
    """The foreign key is checked at the commit, so the whole batch fails."""

    def work(stores):
        storage._writer.execute("PRAGMA defer_foreign_keys = ON")
        stores.tracking.add_link(TENANT, 404, 404, 0, 0)

    with pytest.raises(StorageBusyError, match="cannot be written"):
        storage.write(work)

    assert storage.write(add("v1"))
    assert visitors(path) == ["v1"]


def test_full_disk_is_busy_and_costs_nothing_that_was_there(storage, path):
    storage.write(add("v1"))
    pages = storage._writer.execute("PRAGMA page_count").fetchone()[0]
    storage._writer.execute(f"PRAGMA max_page_count = {pages}")

    def work(stores):
        for number in range(2000):
            add(f"{number:0100}")(stores)

    with pytest.raises(StorageBusyError, match="full"):
        storage.write(work)

    storage._writer.execute("PRAGMA max_page_count = 1000000")
    assert storage.write(add("v2"))
    assert visitors(path) == ["v1", "v2"]


def test_close_finishes_what_is_queued(storage, path, gate):
    with ThreadPoolExecutor(11) as pool:
        done = [pool.submit(storage.write, add(f"v{number}")) for number in range(10)]
        wait_for(lambda: len(storage._commits._waiting) == 10, "the queue")
        closing = pool.submit(storage.close)
        wait_for(lambda: storage._closed, "the end")
        gate.open.set()
        for future in [*done, closing]:
            future.result(PATIENCE)

    assert len(visitors(path)) == 10
    assert not Path(f"{path}-wal").exists()


def together(stores, payloads):
    return [add(payload)(stores) for payload in payloads]


def test_what_was_begun_without_waking_the_writer_is_done_when_it_is_woken(storage):
    futures = [storage.submit(together, f"v{n}", wake=False) for n in range(3)]

    storage.wake()

    assert len({future.result(PATIENCE) for future in futures}) == 3


def test_what_was_begun_is_done_with_the_next_that_waits(storage):
    begun = storage.submit(together, "v1", wake=False)

    storage.write(add("v2"))

    assert begun.result(PATIENCE) == storage.read(find("v1"))


def test_close_finishes_what_nobody_woke_the_writer_for(storage, path):
    begun = storage.submit(together, "v1", wake=False)

    storage.close()

    assert begun.done()
    assert visitors(path) == ["v1"]


def where(ran, stores, payloads):
    ran.append(threading.current_thread())
    return together(stores, payloads)


def test_settling_does_on_its_own_thread_what_nobody_woke_the_writer_for(storage, path):
    ran = []
    futures = [storage.submit(partial(where, ran), f"v{n}", wake=False) for n in "12"]
    assert not futures[0].done()

    assert not storage.settle()

    assert all(future.done() for future in futures)
    assert set(ran) == {threading.current_thread()}
    assert visitors(path) == ["v1", "v2"]


def test_settling_takes_much_in_pieces(storage, path):
    payloads = [f"v{number}" for number in range(4)]
    futures = [storage.submit(together, one, 300, wake=False) for one in payloads]

    pieces = 1
    while storage.settle():
        pieces += 1

    assert pieces == len(payloads)
    assert all(future.done() for future in futures)
    assert visitors(path) == payloads


def test_settling_leaves_to_the_writer_what_another_process_holds_up(storage, path):
    ran = []
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = storage.submit(partial(where, ran), "v1", wake=False)

        assert not storage.settle()
        assert not begun.done()
        other.execute("ROLLBACK")

    assert begun.result(PATIENCE)
    assert threading.current_thread() not in ran
    assert visitors(path) == ["v1"]


def test_settling_leaves_to_the_writer_what_takes_long(storage, path):
    here = threading.current_thread()
    order = []

    def long(stores, payloads):
        order.append((payloads[0], threading.current_thread() is here))
        done = together(stores, payloads)
        while threading.current_thread() is here:
            stores.check_time()
        return done

    futures = [
        storage.submit(work, name, wake=False)
        for work, name in ((together, "v1"), (long, "v2"), (together, "v3"))
    ]

    assert not storage.settle()

    assert futures[0].done()
    assert len({future.result(PATIENCE) for future in futures}) == 3
    assert order == [("v2", True), ("v2", False)]
    assert visitors(path) == ["v1", "v2", "v3"]


def test_interrupt_while_settling_leaves_nothing_half_done(storage, path):
    def interrupted(stores, payloads):
        together(stores, payloads)
        raise KeyboardInterrupt

    begun = storage.submit(interrupted, "v1", wake=False)

    with pytest.raises(KeyboardInterrupt):
        storage.settle()

    assert not begun.done()
    storage.write(add("v2"))
    assert visitors(path) == ["v2"]


def test_what_cannot_be_begun_fails_and_the_next_does_not(storage, path):
    def poison(stores, payloads):
        together(stores, payloads)
        if "bad" in payloads:
            raise LookupError("bad")
        return [None] * len(payloads)

    futures = [
        storage.submit(poison, payload, wake=False) for payload in ("v1", "bad", "v2")
    ]
    storage.wake()

    with pytest.raises(LookupError):
        futures[1].result(PATIENCE)
    assert [futures[n].result(PATIENCE) for n in (0, 2)] == [None, None]
    assert sorted(visitors(path)) == ["v1", "v2"]


def test_listener_that_fails_costs_no_answer(storage, path):
    def fail():
        raise LookupError("the listener's own fault")

    futures = [storage.submit(together, f"v{n}", wake=False) for n in range(3)]
    futures[0].when_done(fail)
    storage.wake()

    assert [future.result(PATIENCE) for future in futures]
    assert len(visitors(path)) == 3


def test_closed_storage_says_so(storage):
    storage.write(add("v1"))
    storage.read(find("v1"))
    storage.close()
    storage.close()

    for use in (storage.write, storage.read):
        with pytest.raises(StorageError, match="the database is closed"):
            use(find("v1"))
    with pytest.raises(StorageError, match="writer has stopped"):
        storage.check()


def test_reader_that_outlives_the_storage_is_closed(storage):
    entered, leave = threading.Event(), threading.Event()

    def work(stores):
        entered.set()
        leave.wait(PATIENCE)
        return find("v1")(stores)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(storage.read, work)
        entered.wait(PATIENCE)
        storage.close()
        leave.set()
        assert reading.result(PATIENCE) is None

    assert storage._idle_readers == []


# -- reading --


def test_read_sees_one_moment(storage):
    def work(stores):
        before = find("v1")(stores)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(storage.write, add("v1")).result(PATIENCE)
        return before, find("v1")(stores)

    assert storage.read(work) == (None, None)
    assert storage.read(find("v1")) == 1


def test_read_cannot_write(storage, path):
    with pytest.raises(StorageError, match="readonly"):
        storage.read(add("v1"))

    assert visitors(path) == []
    assert storage.read(find("v1")) is None


def test_failing_read_gives_its_connection_back(storage):
    with pytest.raises(ZeroDivisionError):
        storage.read(poisonous_read)

    assert len(storage._idle_readers) == 1
    assert storage.read(find("v1")) is None


def poisonous_read(stores):
    find("v1")(stores)
    raise ZeroDivisionError


def test_readers_are_kept_up_to_a_limit(storage, monkeypatch):
    monkeypatch.setattr(sqlite, "_IDLE_READERS", 2)
    together = threading.Barrier(5)

    def work(stores):
        together.wait(PATIENCE)
        return find("v1")(stores)

    with ThreadPoolExecutor(5) as pool:
        found = [pool.submit(storage.read, work) for _ in range(5)]
        assert [future.result(PATIENCE) for future in found] == [None] * 5

    assert len(storage._idle_readers) == 2


def test_database_in_memory_reads_what_it_wrote():
    storage = SqliteStorage(":memory:")

    row = storage.write(add("v1"))

    assert storage.read(find("v1")) == row
    storage.check()
    storage.close()


# -- the file --


def test_migrations_are_numbered_in_order():
    numbers = [number for number, _ in migrations()]

    assert numbers == sorted(set(numbers))


def test_new_file_gets_the_newest_schema(storage, path):
    with sqlite3.connect(path) as other:
        newest = migrations()[-1][0]
        assert other.execute("PRAGMA user_version").fetchone() == (newest,)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


def test_opening_again_changes_nothing(path):
    first = SqliteStorage(path)
    first.write(add("v1"))
    schema = first._writer.execute("SELECT * FROM sqlite_master").fetchall()
    first.close()

    second = SqliteStorage(path)

    assert second._writer.execute("SELECT * FROM sqlite_master").fetchall() == schema
    assert second.read(find("v1")) == 1
    second.close()


OPENS = """
import sys
from mbuzz.server.storage.schema import migrations
from mbuzz.server.storage.sqlite import SqliteStorage

migrations()
print("ready", flush=True)
sys.stdin.readline()
SqliteStorage(sys.argv[1]).close()
"""


def test_several_processes_may_start_on_one_new_file(path):
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 5
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()

    assert [worker.communicate()[1] for worker in workers] == [""] * 5


def test_file_that_stays_locked_is_refused(path, monkeypatch):
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT", 0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StorageError, match="database is locked"):
        SqliteStorage(path)

    other.close()


def test_another_process_may_migrate_first(path):
    ready = SqliteStorage(path)
    ready.close()
    late = sqlite3.connect(path, isolation_level=None)
    late.execute("PRAGMA user_version = 0")  # as it was when the late one looked

    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(late, path)

    assert not late.in_transaction
    late.close()


@pytest.mark.parametrize("version", [0, 1, 7])
def test_database_of_another_program_is_refused_and_left_alone(path, version):
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (id)")
        other.execute(f"PRAGMA user_version = {version}")
    other.close()
    before = Path(path).read_bytes()

    with pytest.raises(StorageError) as refused:
        SqliteStorage(path)

    assert str(refused.value) == (
        f"the file {path} is a database of another program; use another --database"
    )
    assert Path(path).read_bytes() == before


def test_database_of_a_newer_version_is_refused(path):
    SqliteStorage(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()

    with pytest.raises(StorageError) as refused:
        SqliteStorage(path)

    assert str(refused.value) == (
        f"the database {path} is of schema version 99, this mbuzz knows up to "
        f"{migrations()[-1][0]}; upgrade mbuzz, or use another --database"
    )


def test_file_that_is_no_database_is_refused_and_left_alone(path):
    Path(path).write_bytes(b"to do: buy milk\n" * 100)

    with pytest.raises(StorageError, match="file is not a database"):
        SqliteStorage(path)

    assert Path(path).read_bytes() == b"to do: buy milk\n" * 100


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "unable to open database file"),  # the folder itself
        ("missing/mbuzz.db", "the folder .*missing does not exist"),
        ("mbuzz.txt/mbuzz.db", "the folder .*mbuzz.txt does not exist"),
    ],
)
def test_path_that_cannot_be_a_file_is_refused(tmp_path, name, why):
    (tmp_path / "mbuzz.txt").touch()

    with pytest.raises(StorageError, match=f"cannot use the database .*: {why}; choo"):
        SqliteStorage(str(tmp_path / name))


@pytest.fixture
def open_folder():
    """Return a folder that nobody else's folder keeps from being reached."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def as_nobody(path):
    """Return what an unprivileged user is told when opening *path*."""
    script = (
        "import os\n"
        "from mbuzz.server.storage.schema import migrations\n"
        "from mbuzz.server.storage.sqlite import SqliteStorage\n"
        "migrations()\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        f"SqliteStorage({str(path)!r})"
    )
    # Not measured: nobody may not write the measurements either.
    env = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    return run.stderr.strip().splitlines()[-1]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_folder_without_permission_is_refused(open_folder):
    open_folder.chmod(0o555)

    said = as_nobody(open_folder / "mbuzz.db")

    assert "StorageError: cannot use the database" in said
    assert "unable to open database file; choose a file in a folder you can" in said
    open_folder.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_file_that_is_read_only_is_refused(open_folder):
    path = open_folder / "mbuzz.db"
    SqliteStorage(str(path)).close()
    path.chmod(0o444)
    open_folder.chmod(0o555)

    said = as_nobody(path)

    assert "StorageError: cannot use the database" in said
    assert "readonly" in said or "unable to open" in said
    open_folder.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="needs open files to be removable")
@pytest.mark.parametrize("replaced", [False, True])
def test_file_that_disappears_takes_nothing_more(storage, path, replaced):
    storage.write(add("v1"))
    Path(path).rename(f"{path}.moved")
    if replaced:
        Path(path).touch()

    for use in (storage.write, storage.read):
        with pytest.raises(StorageError, match="deleted or replaced while in use"):
            use(find("v1"))
    with pytest.raises(StorageError, match="deleted or replaced while in use"):
        storage.check()

    Path(f"{path}.moved").rename(path)
    storage.check()
    assert storage.write(add("v2")) == 2


def test_relative_path_stays_the_same_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage = SqliteStorage("mbuzz.db")
    (tmp_path / "elsewhere").mkdir()

    monkeypatch.chdir(tmp_path / "elsewhere")

    assert storage.write(add("v1")) == storage.read(find("v1"))
    storage.close()


KILLED = """
import sys
from mbuzz.server.model import Tenant
from mbuzz.server.storage.sqlite import SqliteStorage
from threading import Thread

storage = SqliteStorage(sys.argv[1])

def write(thread):
    number = 0
    while True:
        name = f"{thread}-{number}"
        storage.write(lambda s: s.tracking.ensure_visitor(Tenant(1, True), name, 0))
        sys.stdout.write(name + "\\n")
        sys.stdout.flush()
        number += 1

for thread in range(4):
    Thread(target=write, args=(thread,), daemon=True).start()
sys.stdin.read()
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_kill_9_loses_nothing_that_was_acknowledged(path):
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    acknowledged = [writer.stdout.readline().strip() for _ in range(200)]
    writer.send_signal(signal.SIGKILL)
    rest, _ = writer.communicate()
    acknowledged += [line for line in rest.split("\n")[:-1] if line]

    storage = SqliteStorage(path)
    check = storage._writer.execute("PRAGMA integrity_check").fetchall()
    storage.close()

    assert check == [("ok",)]
    assert len(acknowledged) >= 200
    assert set(acknowledged) <= set(visitors(path))


@pytest.mark.skipif(os.name != "posix", reason="needs modes of files")
def test_new_database_is_its_owners_alone_and_an_older_one_keeps_its_mode(tmp_path):
    path = tmp_path / "mbuzz.db"
    storage = SqliteStorage(str(path))
    storage.read(lambda stores: stores.accounts.accounts())
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    storage.close()

    assert modes.pop("mbuzz.db") == 0o600
    assert set(modes.values()) <= {0o600}

    path.chmod(0o640)
    SqliteStorage(str(path)).close()
    assert path.stat().st_mode & 0o777 == 0o640
