"""SQLite: one writer that commits for everybody who waits, and its own readers."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from importlib import resources
from itertools import chain
from os import getpid, stat
from pathlib import Path
from typing import Any, Final, TypeVar

from mbuzz.server.storage.account_sql import SqlAccountStore
from mbuzz.server.storage.bulk_sql import SqlBulkStore, insert_sql
from mbuzz.server.storage.condition import (
    Condition,
    check_room,
    file_size,
    free_bytes,
)
from mbuzz.server.storage.connection import Params, Row
from mbuzz.server.storage.errors import StorageBusyError, StorageError
from mbuzz.server.storage.group_commit import GroupCommit, Work
from mbuzz.server.storage.job_sql import SqlJobStore
from mbuzz.server.storage.port import Stores
from mbuzz.server.storage.report_sql import SqlReportStore
from mbuzz.server.storage.retention_sql import SqlPrivacyStore
from mbuzz.server.storage.tracking_sql import SqlTrackingStore
from mbuzz.server.storage.turns import Turns

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")

_COMMIT_WITHIN = 30.0  # seconds that a writer waits for its commit
_IDLE_READERS = 8
_BUSY_TIMEOUT = 5.0  # seconds for another process, such as `mbuzz keys`, to finish
_BUSY_PAUSE = 0.05  # seconds
_PROBE_WITHIN = 2.0  # seconds for a check that writes
_MOST_ROWS: Final = 256  # of one INSERT
_PASSING: Final = frozenset(  # errors that may be over by the next try
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_CACHE_KIB: Final = 65_536
_CHECKPOINT_PAGES: Final = 4_000  # of the log; then they move to the file


class _SqliteConnection:
    """`Connection` over the standard library's driver."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw

    def rows(self, sql: str, params: Params) -> Sequence[Row]:
        return self.raw.execute(sql, params).fetchall()

    def run(self, sql: str, params: Params) -> int:
        return self.raw.execute(sql, params).rowcount

    def insert(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        conflict: str = "",
    ) -> None:
        # Not by executemany: it lets the interpreter's lock go at every row, and a
        # busy thread then keeps it for a switch interval each time.
        done, size = 0, _MOST_ROWS
        while done < len(rows):
            while size > len(rows) - done:
                size //= 2
            part = rows[done : done + size]
            self.raw.execute(
                insert_sql(table, tuple(columns), size) + conflict, list(chain(*part))
            )
            done += size


class _SqlStores:
    """The stores of one connection."""

    def __init__(self, connection: _SqliteConnection) -> None:
        self.accounts = SqlAccountStore(connection)
        self.tracking = SqlTrackingStore(connection)
        self.bulk = SqlBulkStore(connection)
        self.reports = SqlReportStore(connection)
        self.privacy = SqlPrivacyStore(connection)
        self.jobs = SqlJobStore(connection)


class _Reader:
    """A connection that cannot write, for one reading thread at a time."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        raw.execute("PRAGMA query_only = ON")
        self.raw = raw
        self._stores = _SqlStores(_SqliteConnection(raw))

    def run(self, work: Callable[[Stores], T]) -> T:
        """Run *work* on one snapshot."""
        self.raw.execute("BEGIN")
        try:
            return work(self._stores)
        finally:
            self.raw.execute("ROLLBACK")


class SqliteStorage:
    """A database file; ``:memory:`` lives as long as this object.

    It is also the `Transactions` of its writer.
    """

    def __init__(self, path: str, *, lazy: bool = False) -> None:
        """Open *path*, made if missing, and bring it to this version's schema.

        A *lazy* one is closed again until its first use: servers load the application
        and then fork, and SQLite's connections must not get into another process.

        Raises:
            StorageError: If it cannot be opened or is of a newer version.
        """
        self.path = path
        self._memory = path == ":memory:"
        self._idle_readers: list[_Reader] = []
        self._changed = threading.Lock()
        self._closed = False
        self._where = path if self._memory else str(Path(path).absolute())
        self.condition = Condition()
        self._pending = lazy and not self._memory
        if self._pending:
            self._open_writer().close()  # what is wrong with it is told here and now
            self._file = _identity(self._where)
        else:
            self._open()

    def _open(self) -> None:
        self._writer = self._open_writer()
        self._file = _identity(self._where)
        self._turns = Turns(self._where, _BUSY_TIMEOUT)
        self._refused: str | None = None  # why, in the transaction that is open
        self._trouble: str | None = None  # why the latest transaction failed
        stores = _SqlStores(_SqliteConnection(self._writer))
        self.stores: Stores = stores
        self._accounts = stores.accounts
        self._accounts_version = 0  # as of the latest commit
        self._commits = GroupCommit(self, "mbuzz-sqlite", self.condition)
        self._process = getpid()
        self._pending = False

    def _writes(self) -> GroupCommit:
        """Return the queue to the writer, which the first use opens.

        Raises:
            StorageError: If it is closed, cannot be opened, or is a parent's.
        """
        if self._pending:
            with self._changed:
                if self._closed:
                    raise StorageError("the database is closed")
                if self._pending:
                    self._check_file()
                    self._open()
        elif self._process != getpid():
            raise StorageError(
                "the server forked when its database was open already; "
                "have each process load the application itself"
            )
        return self._commits

    def _open_writer(self) -> sqlite3.Connection:
        give_up = time.monotonic() + _BUSY_TIMEOUT
        while True:
            try:
                return self._prepared_writer()
            except sqlite3.Error as error:
                busy = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if busy != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                    raise StorageError(_cannot_open(self.path, error)) from error
            # SQLite itself does not wait where several processes open a new file.
            time.sleep(_BUSY_PAUSE)

    def _prepared_writer(self) -> sqlite3.Connection:
        if not self._memory:
            _make_private(self._where)
        with ExitStack() as undo:
            writer = self._connect()
            undo.callback(writer.close)
            _refuse_foreign(writer, self.path)  # before anything is changed in it
            writer.execute("PRAGMA journal_mode = WAL")
            writer.execute("PRAGMA synchronous = FULL")
            writer.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            writer.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            writer.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
            migrate(writer, self.path)
            undo.pop_all()
        return writer

    def _connect(self) -> sqlite3.Connection:
        raw = sqlite3.connect(
            self._where,
            isolation_level=None,
            check_same_thread=False,
            timeout=_BUSY_TIMEOUT,
            cached_statements=256,
        )
        raw.execute("PRAGMA foreign_keys = ON")
        return raw

    # -- writing --

    def write(self, work: Callable[[Stores], T]) -> T:
        """Run *work* in a transaction and return its result once that is on disk.

        Raises:
            StorageBusyError: If the queue of writers is full.
            StorageError: If it could not be committed.
        """
        unit = Work(None, work)
        self._writes().put(unit)
        return self.outcome(unit.future)  # type: ignore[no-any-return]

    def submit(
        self,
        together: Callable[[Stores, Sequence[P]], Sequence[R]],
        payload: P,
        size: int = 1,
        *,
        wake: bool = True,
    ) -> Future[R]:
        """Have *payload* worked on with all others that wait for the same *together*.

        Without *wake* it may not begin before `wake` is called.

        Raises:
            StorageBusyError: If the queue of writers is full.
            StorageError: If storage is closed.
        """
        unit = Work(together, payload, size)
        self._writes().put(unit, wake=wake)
        return unit.future

    def wake(self) -> None:
        """Begin with what was submitted without waking the writer."""
        if not self._pending:
            self._commits.wake()

    @staticmethod
    def outcome(future: Future[R], within: float | None = None) -> R:
        """Wait for what `submit` returned.

        Raises:
            StorageBusyError: If it takes too long.
        """
        try:
            return future.result(_COMMIT_WITHIN if within is None else within)
        except TimeoutError:
            future.cancel()  # what has not begun need not be done twice
            raise StorageBusyError("the database is slow; try again shortly") from None

    # -- the writer's transactions --

    def begin(self) -> None:
        """Begin a transaction that may write."""
        self._check_file()
        self._refused = None
        with self._noted(), self._turns.taken():
            self._writer.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Put the transaction on disk."""
        with self._noted():
            self._writer.execute("COMMIT")
        self._trouble = self._refused
        # Not before: who looks a key up until then still finds the old one.
        self._accounts_version = self._accounts.version

    def rollback(self) -> None:
        """Undo the transaction, if there is one."""
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def savepoint(self) -> None:
        """Begin a part that can be undone by itself."""
        self._writer.execute("SAVEPOINT unit")

    def undo(self) -> None:
        """Undo the part."""
        with self._noted():
            if not self._writer.in_transaction:  # SQLite has undone it as a whole
                raise sqlite3.OperationalError("is there room on the disk?")
            self._writer.execute("ROLLBACK TO unit")

    def release(self) -> None:
        """End the part."""
        self._writer.execute("RELEASE unit")

    def refusal(self, error: Exception) -> Exception:
        """Return what a caller is told: a full disk, say, is to be tried again."""
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _PASSING:
            self._refused = str(error)
            return StorageBusyError(f"the database cannot be written: {error}")
        return error

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Note what keeps the database from being written, for `check`."""
        try:
            yield
        except sqlite3.Error as error:
            self._trouble = str(error)
            raise

    def idle(self) -> None:
        """Do nothing; the log moves to the file by itself."""

    @property
    def accounts_version(self) -> int:
        """Return what grows when accounts, keys or users were changed through this."""
        return 0 if self._pending else self._accounts_version

    # -- reading --

    def read(self, work: Callable[[Stores], T]) -> T:
        """Run *work* on a consistent snapshot; it must not write."""
        if self._memory:  # it belongs to the writer's connection alone
            return self.write(work)
        self._writes()
        with self._changed:
            if self._closed:
                raise StorageError("the database is closed")
            reader = self._idle_readers.pop() if self._idle_readers else None
        try:
            self._check_file()
            reader = reader or _Reader(self._connect())
            return reader.run(work)
        except sqlite3.DatabaseError as error:
            raise StorageError(f"the database cannot be read: {error}") from error
        finally:
            if reader is not None:
                self._give_back(reader)

    def _give_back(self, reader: _Reader) -> None:
        with self._changed:
            keep = not self._closed and len(self._idle_readers) < _IDLE_READERS
            if keep:
                self._idle_readers.append(reader)
        if not keep:
            reader.raw.close()

    def _check_file(self) -> None:
        """Refuse to go on with a file that was deleted or replaced.

        SQLite would, and what it writes there nobody would ever find.
        """
        if not self._memory and _identity(self._where) != self._file:
            raise StorageError(
                f"the database {self.path} was deleted or replaced while in use; "
                "put it back, or start again"
            )

    def check(self) -> None:
        """Raise `StorageError` if the database cannot be used now."""
        if self._closed or not self._writes().alive:
            raise StorageError("the database writer has stopped")
        self.condition.check()
        if not self._memory:
            check_room(self._where)
        self.read(lambda stores: stores.accounts.accounts())
        if self._trouble is not None:  # is it over?
            unit = Work(None, self._write_something)
            self._writes().put(unit)
            self.outcome(unit.future, _PROBE_WITHIN)

    def _write_something(self, _stores: Stores) -> None:
        """Write what is there already, to see whether anything can be written."""
        self._writer.execute(f"PRAGMA user_version = {_version(self._writer)}")

    def figures(self) -> dict[str, float | None]:
        """Return what there is to measure; see `mbuzz.server.gauges`."""
        return {
            "waiting": 0 if self._pending else self._commits.waiting,
            "database_bytes": None if self._memory else file_size(self._where),
            "wal_bytes": None if self._memory else file_size(f"{self._where}-wal"),
            "free_bytes": None if self._memory else free_bytes(self._where),
        }

    def scrub(self) -> bool:
        """Let nothing that was deleted stand in a journal; False: busy, try later.

        On a connection of its own: most of the journal is copied without anybody
        waiting, and writers wait only for the rest.
        """
        if self._memory:
            return True
        try:
            self._check_file()
            raw = self._connect()
        except sqlite3.Error as error:
            raise StorageError(f"the database cannot be opened: {error}") from error
        try:
            raw.execute("PRAGMA busy_timeout = 1000")
            raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            (busy, _, _) = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError:
            return False
        finally:
            raw.close()
        return not busy

    def close(self) -> None:
        """Finish what is queued and let the database go."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
        if self._pending or self._process != getpid():  # nothing of it is ours
            return
        self._commits.close()
        for reader in self._idle_readers:
            reader.raw.close()
        self._writer.close()
        self._turns.close()


def migrations() -> list[tuple[int, str]]:
    """Return the numbered schema changes of this version, in order."""
    folder = resources.files("mbuzz.server.storage").joinpath("migrations")
    files = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    return [(int(entry.name[:4]), entry.read_text("utf-8")) for entry in files]


def migrate(raw: sqlite3.Connection, path: str) -> None:
    """Bring *raw* to the newest schema, each step in a transaction of its own.

    Raises:
        StorageError: If the database is of a newer version, or no mbuzz database.
    """
    _refuse_foreign(raw, path)
    for number, script in migrations():
        while (has := _version(raw)) < number:
            try:
                raw.executescript(
                    f"BEGIN IMMEDIATE;{script}; PRAGMA user_version = {number}; COMMIT;"
                )
            except sqlite3.OperationalError:
                if raw.in_transaction:
                    raw.execute("ROLLBACK")
                if _version(raw) == has:  # else another process was faster
                    raise


def _refuse_foreign(raw: sqlite3.Connection, path: str) -> None:
    """Refuse a database of another program or of a newer mbuzz."""
    has, newest = _version(raw), migrations()[-1][0]
    tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master")}
    if "api_keys" not in tables and (tables or has):
        raise StorageError(
            f"the file {path} is a database of another program; use another --database"
        )
    if has > newest:
        raise StorageError(
            f"the database {path} is of schema version {has}, this mbuzz knows up to "
            f"{newest}; upgrade mbuzz, or use another --database"
        )


def _version(raw: sqlite3.Connection) -> int:
    (version,) = raw.execute("PRAGMA user_version").fetchone()
    return int(version)


def _identity(path: str) -> tuple[int, int] | None:
    """Return what tells a file from another of the same name; None without a file."""
    try:
        found = stat(path)  # noqa: PTH116 - at every commit, and a third of the time
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _make_private(where: str) -> None:
    """Make a missing file for its owner alone: what people did is nobody else's.

    SQLite gives the files beside it, and `mbuzz db backup` the copies, the same mode.
    """
    with suppress(OSError):  # it is there, or SQLite says why it cannot be
        os.close(os.open(where, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _cannot_open(path: str, error: Exception) -> str:
    folder = Path(path).parent
    why: Any = error
    if path != ":memory:" and not folder.is_dir():
        why = f"the folder {folder} does not exist"
    return (
        f"cannot use the database {path}: {why}; "
        "choose a file in a folder you can write to with --database"
    )
