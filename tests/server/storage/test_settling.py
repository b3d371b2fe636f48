"""The loop as a writer: what it leaves to the other one, and nothing is forgotten."""

import sqlite3
import threading
from contextlib import closing
from functools import partial

import pytest

from mbuzz.server.model import Tenant
from mbuzz.server.storage import condition, group_commit, sqlite
from mbuzz.server.storage.errors import StorageError
from mbuzz.server.storage.sqlite import SqliteStorage
from tests.processes import PATIENCE, wait_for

TENANT = Tenant(1, live=True)


def together(stores, payloads):
    return [stores.tracking.ensure_visitor(TENANT, name, 0) for name in payloads]


def where(ran, stores, payloads):
    """Note on which thread this is done."""
    ran.append(threading.current_thread())
    return together(stores, payloads)


def in_file(path):
    with closing(sqlite3.connect(path)) as other:
        found = other.execute("SELECT visitor_id FROM visitors ORDER BY id").fetchall()
    return [name for (name,) in found]


def here():
    return threading.current_thread()


def test_close_waits_for_what_is_settled_just_now_and_is_put_back(storage, path):
    loop = threading.current_thread()
    closer = threading.Thread(target=storage.close)

    def long(stores, payloads):
        if here() is loop:
            closer.start()
            closer.join(0.2)  # too soon, if it does not wait
            while True:
                stores.check_time()
        return together(stores, payloads)

    begun = storage.submit(long, "v1", wake=False)
    storage.settle()
    closer.join(PATIENCE)

    assert begun.result(PATIENCE)
    assert in_file(path) == ["v1"]
    assert not storage.settle()


def test_work_that_the_writer_was_woken_for_meanwhile_is_not_settled(storage, path):
    ran, woken = [], []

    def meanwhile(sql):
        if sql.startswith("BEGIN") and not woken:
            woken.append(None)
            woken.append(storage.submit(partial(where, ran), "v2"))

    storage._writer.set_trace_callback(meanwhile)
    begun = storage.submit(together, "v1", wake=False)
    storage.settle()

    assert begun.result(PATIENCE)
    assert woken[1].result(PATIENCE)
    assert here() not in ran
    assert in_file(path) == ["v1", "v2"]


def test_merged_work_that_fails_is_tried_one_by_one_by_the_writer(storage, path):
    ran = []

    def poison(stores, payloads):
        done = where(ran, stores, payloads)
        if "bad" in payloads:
            raise LookupError("bad")
        return done

    names = ("v1", "bad", "v2")
    futures = [storage.submit(poison, name, wake=False) for name in names]
    later = storage.submit(together, "v3", wake=False)

    storage.settle()

    assert later.result(PATIENCE)
    with pytest.raises(LookupError):
        futures[1].result(PATIENCE)
    assert ran.count(here()) == 1
    assert in_file(path) == ["v1", "v2", "v3"]


def test_what_is_put_back_counts_for_the_room_there_is(storage):
    loop = here()
    gate = threading.Event()

    def long(stores, payloads):
        while here() is loop:
            stores.check_time()
        assert gate.wait(PATIENCE)
        return together(stores, payloads)

    begun = storage.submit(long, "v1", 300, wake=False)
    storage.settle()
    gate.set()
    begun.result(PATIENCE)
    storage.write(lambda stores: None)

    assert (storage._commits._size, storage._commits.waiting) == (0, 0)


def test_what_was_done_before_something_long_is_on_disk_and_answered(storage, path):
    loop = here()
    gate = threading.Event()

    def long(stores, payloads):
        together(stores, payloads)
        while here() is loop:
            stores.check_time()
        assert gate.wait(PATIENCE)
        return together(stores, payloads)

    first = storage.submit(together, "v1", wake=False)
    second = storage.submit(long, "v2", wake=False)
    storage.settle()

    assert first.done()
    assert not second.done()
    assert in_file(path) == ["v1"]
    gate.set()
    assert second.result(PATIENCE)


def test_writer_that_had_nothing_to_do_in_the_end_is_not_stuck(
    storage, path, monkeypatch
):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        storage.submit(together, "v1", wake=False).cancel()
        assert not storage.settle()
        other.execute("ROLLBACK")
    wait_for(lambda: not storage.figures()["waiting"], "the writer")
    monkeypatch.setattr(condition, "_STUCK", 0.0)

    storage.condition.check()


def test_slow_disk_is_left_to_the_writer_until_it_is_quick(storage, monkeypatch):
    ran = []
    monkeypatch.setattr(group_commit, "_QUICK", -1.0)
    storage.write(lambda stores: None)
    monkeypatch.setattr(group_commit, "_QUICK", PATIENCE)

    for name in ("v1", "v2"):
        begun = storage.submit(partial(where, ran), name, wake=False)
        storage.settle()
        assert begun.result(PATIENCE)

    assert [thread is here() for thread in ran] == [False, True]


def test_busy_writer_does_what_nobody_settles_any_more(storage):
    gate, entered = threading.Event(), threading.Event()

    def busy(stores, payloads):
        entered.set()
        assert gate.wait(PATIENCE)
        return payloads

    first = storage.submit(busy, "v1")
    assert entered.wait(PATIENCE)
    second = storage.submit(together, "v2", wake=False)
    storage._commits._woken = False  # as if it had come after the writer took its work
    assert not storage.settle()
    gate.set()

    assert first.result(PATIENCE)
    assert second.result(PATIENCE)
    assert not storage._commits._asked  # it has heard


def test_writer_that_takes_a_part_comes_back_for_the_rest(storage, path):
    gate, entered = threading.Event(), threading.Event()

    def busy(stores, payloads):
        entered.set()
        assert gate.wait(PATIENCE)
        return payloads

    storage.submit(busy, "v0")
    assert entered.wait(PATIENCE)
    futures = [storage.submit(together, f"v{n}", 3_000) for n in range(3)]
    gate.set()

    assert all(future.result(PATIENCE) for future in futures)
    assert in_file(path) == ["v0", "v1", "v2"]


def test_what_is_put_back_comes_before_what_came_meanwhile(storage, path):
    loop, later = here(), []

    def long(stores, payloads):
        if here() is loop:
            later.append(storage.submit(together, "v3", wake=False))
            while True:
                stores.check_time()
        return together(stores, payloads)

    for name in ("v1", "v2"):
        storage.submit(long, name, wake=False)
    storage.settle()

    assert later[0].result(PATIENCE)
    assert in_file(path) == ["v1", "v2", "v3"]


def test_deleted_database_is_refused_by_the_writer(storage, tmp_path):
    begun = storage.submit(together, "v1", wake=False)
    for file in tmp_path.iterdir():
        file.unlink()

    assert not storage.settle()

    with pytest.raises(StorageError, match="deleted"):
        begun.result(PATIENCE)
    assert not list(tmp_path.iterdir())


def test_log_that_a_reader_makes_long_is_left_to_the_writer(path, monkeypatch):
    monkeypatch.setattr(sqlite, "_LONG_LOG", 8)
    monkeypatch.setattr(group_commit, "_MUCH", 1)
    ran = []
    with closing(SqliteStorage(path)) as storage:
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM visitors").fetchone()
            for number in range(8):
                storage.write(partial(together, payloads=[f"v{number}"]))
            wait_for(lambda: storage._commits._untidy, "a log that is long")
            begun = storage.submit(partial(where, ran), "w1", wake=False)
            assert not storage.settle()
            assert begun.result(PATIENCE)
        for number in range(40):
            storage.write(partial(together, payloads=[f"x{number}"]))
            if not storage._commits._untidy:
                break
        wait_for(lambda: not storage._commits._untidy, "a log that is short")
        begun = storage.submit(partial(where, ran), "w2", wake=False)
        storage.settle()
        assert begun.result(PATIENCE)

    assert ran[0] is not here()


def test_log_is_emptied_once_whoever_reads_is_done(path, monkeypatch):
    monkeypatch.setattr(sqlite, "_LONG_LOG", 8)
    monkeypatch.setattr(sqlite, "_EMPTY_WITHIN", PATIENCE)
    monkeypatch.setattr(group_commit, "_MUCH", 1)
    with closing(SqliteStorage(path)) as storage:
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM visitors").fetchone()
            names = [f"a{number}" * 9 for number in range(999)]
            storage.write(partial(together, payloads=names))
        wait_for(lambda: storage.figures()["wal_bytes"] == 0, "an empty log")
        assert not storage._commits._untidy


def test_tables_are_migrated_without_keeping_it_all_in_memory(path, monkeypatch):
    seen, migrate = [], sqlite.migrate

    def look(raw, name):
        seen.append(raw.execute("PRAGMA temp_store").fetchone()[0])
        migrate(raw, name)

    monkeypatch.setattr(sqlite, "migrate", look)
    SqliteStorage(path).close()

    assert seen == [0]
