"""SQLite connections: the stores over one of them, and one that only reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from math import inf
from time import monotonic
from typing import Final, TypeVar

from mbuzz.server.storage.account_sql import SqlAccountStore
from mbuzz.server.storage.bulk_sql import SqlBulkStore
from mbuzz.server.storage.connection import Params, Row
from mbuzz.server.storage.errors import TooLongError
from mbuzz.server.storage.job_sql import SqlJobStore
from mbuzz.server.storage.port import Stores
from mbuzz.server.storage.recredit_sql import SqlModelStore
from mbuzz.server.storage.report_sql import SqlReportStore
from mbuzz.server.storage.retention_sql import SqlPrivacyStore
from mbuzz.server.storage.tracking_sql import SqlTrackingStore

T = TypeVar("T")

_MOST_ROWS: Final = 64  # of one INSERT; the values of more fall out of the cache


class SqliteConnection:
    """`Connection` over the standard library's driver."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw

    def rows(self, sql: str, params: Params) -> Sequence[Row]:
        """Return every row of a query."""
        return self.raw.execute(sql, params).fetchall()

    def run(self, sql: str, params: Params) -> int:
        """Run a statement and return how many rows it changed."""
        return self.raw.execute(sql, params).rowcount

    def changes(self) -> int:
        """Return how many rows were changed so far, undone or not."""
        return self.raw.total_changes

    def version(self) -> int:
        """Return what grows when another connection has committed."""
        return int(self.raw.execute("PRAGMA data_version").fetchone()[0])

    def insert(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        conflict: str = "",
    ) -> None:
        """Insert many rows, in few statements."""
        self.values(f"INSERT INTO {table} ({', '.join(columns)}) ", rows, conflict)

    def values(
        self, before: str, rows: Sequence[Sequence[object]], after: str = ""
    ) -> None:
        """Run a statement with ``VALUES`` and many rows in it, a few times."""
        # Not by executemany: it lets the interpreter's lock go at every row, and a
        # busy thread then keeps it for a switch interval each time.
        done, size = 0, _MOST_ROWS
        while done < len(rows):
            while size > len(rows) - done:
                size //= 2
            part = rows[done : done + size]
            sql = _with_values(before, len(part[0]), size, after)
            self.raw.execute(sql, list(chain(*part)))
            done += size


@lru_cache(maxsize=128)
def _with_values(before: str, columns: int, rows: int, after: str) -> str:
    marks = f"({','.join('?' * columns)})"
    return f"{before}VALUES {','.join([marks] * rows)}{after}"


class SqlStores:
    """The stores of one connection."""

    def __init__(self, connection: SqliteConnection) -> None:
        self.accounts = SqlAccountStore(connection)
        self.tracking = SqlTrackingStore(connection)
        self.bulk = SqlBulkStore(connection)
        self.reports = SqlReportStore(connection)
        self.privacy = SqlPrivacyStore(connection)
        self.models = SqlModelStore(connection)
        self.jobs = SqlJobStore(connection)
        self.until = inf  # the monotonic moment from which it has taken too long

    def check_time(self) -> None:
        """Raise `TooLongError` if it has taken too long."""
        if self.until < monotonic():
            raise TooLongError


class Reader:
    """A connection that cannot write, for one reading thread at a time."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        raw.execute("PRAGMA query_only = ON")
        self.raw = raw
        self._stores = SqlStores(SqliteConnection(raw))

    def run(self, work: Callable[[Stores], T]) -> T:
        """Run *work* on one snapshot."""
        self.raw.execute("BEGIN")
        try:
            return work(self._stores)
        finally:
            self.raw.execute("ROLLBACK")
