"""SQLite: one writer that commits for everybody who waits, and its own readers."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from os import getpid
from pathlib import Path
from typing import Final, TypeVar

from mbuzz.server.storage.condition import (
    Condition,
    check_room,
    file_size,
    free_bytes,
)
from mbuzz.server.storage.database_file import cannot_open, identity, make_private
from mbuzz.server.storage.errors import StorageBusyError, StorageError
from mbuzz.server.storage.group_commit import GroupCommit, Work
from mbuzz.server.storage.pending import Pending
from mbuzz.server.storage.port import Stores
from mbuzz.server.storage.schema import migrate, refuse_foreign, schema_version
from mbuzz.server.storage.sqlite_connection import Reader, SqliteConnection, SqlStores
from mbuzz.server.storage.turns import Turns

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")

_COMMIT_WITHIN = 30.0  # seconds that a writer waits for its commit
_IDLE_READERS = 8
_BUSY_TIMEOUT = 5.0  # seconds for another process, such as `mbuzz keys`, to finish
_BUSY_PAUSE = 0.05  # seconds
_LOCK_PAUSE = 0.001  # seconds
_PROBE_WITHIN = 2.0  # seconds for a check that writes
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
_CHECKPOINT_PAGES: Final = 16_000  # of the log, should `tidy` not get on with it
_LONG_LOG: Final = 12_000  # pages; a commit must not find those others on the loop
_EMPTY_WITHIN: Final = 0.25  # seconds that `tidy` waits for readers of a long log


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
        self._idle_readers: list[Reader] = []
        self._changed = threading.Lock()
        self._closed = False
        self._where = path if self._memory else str(Path(path).absolute())
        self.condition = Condition()
        self._pending = lazy and not self._memory
        if self._pending:
            self._open_writer().close()  # what is wrong with it is told here and now
            self._file = identity(self._where)
        else:
            self._open()

    def _open(self) -> None:
        self._writer = self._open_writer()
        self._mover: sqlite3.Connection | None = None
        self._empty_from = _LONG_LOG
        self._file = identity(self._where)
        self._turns = Turns(self._where, _BUSY_TIMEOUT)
        self._refused: str | None = None  # why, in the transaction that is open
        self._trouble: str | None = None  # why the latest transaction failed
        self.stores = SqlStores(SqliteConnection(self._writer))
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
                if not _is_busy(error) or time.monotonic() > give_up:
                    raise StorageError(cannot_open(self.path, error)) from error
            # SQLite itself does not wait where several processes open a new file.
            time.sleep(_BUSY_PAUSE)

    def _prepared_writer(self) -> sqlite3.Connection:
        if not self._memory:
            make_private(self._where)
        with ExitStack() as undo:
            writer = self._connect()
            undo.callback(writer.close)
            refuse_foreign(writer, self.path)  # before anything is changed in it
            writer.execute("PRAGMA journal_mode = WAL")
            writer.execute("PRAGMA synchronous = FULL")
            writer.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            writer.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            writer.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
            migrate(writer, self.path)
            # What a statement may have to undo is else written to a file, page by page.
            # Not before: an index of a large table is sorted in memory then, whole.
            writer.execute("PRAGMA temp_store = MEMORY")
            writer.execute("PRAGMA busy_timeout = 0")  # `begin` waits, if it may
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
        return self.outcome(unit)  # type: ignore[no-any-return]

    def submit(
        self,
        together: Callable[[Stores, Sequence[P]], Sequence[R]],
        payload: P,
        size: int = 1,
        *,
        wake: bool = True,
    ) -> Pending[R]:
        """Have *payload* worked on with all others that wait for the same *together*.

        Without *wake* it may not begin before `wake` or `settle` is called.

        Raises:
            StorageBusyError: If the queue of writers is full.
            StorageError: If storage is closed.
        """
        unit = Work(together, payload, size)
        self._writes().put(unit, wake=wake)
        return unit

    def wake(self) -> None:
        """Begin with what was submitted without waking the writer."""
        if not self._pending:
            self._commits.wake()

    def settle(self) -> bool:
        """Do here what was submitted without waking the writer, if that is quick."""
        return not self._pending and self._commits.settle()

    @staticmethod
    def outcome(pending: Pending[R], within: float | None = None) -> R:
        """Wait for what `submit` returned.

        Raises:
            StorageBusyError: If it takes too long.
        """
        try:
            return pending.result(_COMMIT_WITHIN if within is None else within)
        except TimeoutError:
            pending.cancel()  # what has not begun need not be done twice
            raise StorageBusyError("the database is slow; try again shortly") from None

    # -- the writer's transactions --

    def begin(self, *, patient: bool = True) -> bool:
        """Begin a transaction that may write; not *patient*, only if nobody else does.

        Return whether it has begun.
        """
        self._check_file()
        self._refused = None
        if not patient:
            return self._turns.free() and self._has_begun()
        give_up = time.monotonic() + _BUSY_TIMEOUT
        with self._noted(), self._turns.taken():
            while not self._has_begun():
                if time.monotonic() > give_up:
                    raise sqlite3.OperationalError("database is locked")
                time.sleep(_LOCK_PAUSE)
        return True

    def _has_begun(self) -> bool:
        """Begin, unless another process writes just now."""
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if _is_busy(error):
                return False
            raise
        return True

    def commit(self) -> None:
        """Put the transaction on disk."""
        with self._noted():
            self._writer.execute("COMMIT")
        self._trouble = self._refused
        # Not before: who looks a key up until then still finds the old one.
        self._accounts_version = self.stores.accounts.version

    def rollback(self) -> None:
        """Undo the transaction, if there is one."""
        if self._writer.in_transaction:
            self.stores.bulk.undone()
            self._writer.execute("ROLLBACK")

    def savepoint(self) -> None:
        """Begin a part that can be undone by itself."""
        self._writer.execute("SAVEPOINT unit")

    def undo(self) -> None:
        """Undo the part."""
        self.stores.bulk.undone()
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
            self.stores.bulk.undone()
            raise

    def tidy(self, *, alone: bool) -> bool:
        """Move what the log has to the file; others may read and write meanwhile.

        *Alone*, it empties a log that has become long: readers that take turns else
        keep it from beginning anew for ever. While one stays, this is tried again at
        twice the length only. Return whether the log is a short one.
        """
        if self._memory:
            return True
        self._check_file()
        if self._mover is None:
            self._mover = self._connect()
            self._mover.execute(f"PRAGMA busy_timeout = {_EMPTY_WITHIN * 1000:.0f}")
        pages = self._checkpoint("PASSIVE")
        if alone and pages >= self._empty_from:
            pages = self._checkpoint("TRUNCATE")
            self._empty_from = 2 * pages
        short = pages < _LONG_LOG
        if short:
            self._empty_from = _LONG_LOG
        return short

    def _checkpoint(self, mode: str) -> int:
        """Return how many pages the log has after it."""
        assert self._mover is not None
        found = self._mover.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return int(found[1])

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
            reader = reader or Reader(self._connect())
            return reader.run(work)
        except sqlite3.DatabaseError as error:
            raise StorageError(f"the database cannot be read: {error}") from error
        finally:
            if reader is not None:
                self._give_back(reader)

    def _give_back(self, reader: Reader) -> None:
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
        if not self._memory and identity(self._where) != self._file:
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
            self.outcome(unit, _PROBE_WITHIN)

    def _write_something(self, _stores: Stores) -> None:
        """Write what is there already, to see whether anything can be written."""
        self._writer.execute(f"PRAGMA user_version = {schema_version(self._writer)}")

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
        if self._mover is not None:
            self._mover.close()
        for reader in self._idle_readers:
            reader.raw.close()
        self._writer.close()
        self._turns.close()


def _is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another process only had to finish."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
