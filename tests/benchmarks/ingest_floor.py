"""The floor of ingestion: rows of events, and nothing that follows from them.

It has the backend's own server and its group commit, with the same durability; a batch
is parsed and its rows are stored, each event once, with two indexes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from mbuzz.server.http.response import Response, json_response
from mbuzz.server.storage.condition import Condition
from mbuzz.server.storage.group_commit import GroupCommit, Work

_TABLE = """
CREATE TABLE events (id TEXT NOT NULL UNIQUE, visitor TEXT NOT NULL, at TEXT NOT NULL,
    url TEXT, referrer TEXT, properties TEXT NOT NULL);
CREATE INDEX by_time ON events (at);
"""


class Floor:
    """The application."""

    def __init__(self, folder: Path) -> None:
        self._rows = _Rows(folder)
        self._commits = GroupCommit(self._rows, "floor", Condition())

    def begin(self, environ: dict[str, Any]) -> _Taking:
        """Begin to take a batch."""
        events = json.loads(environ["wsgi.input"].read())["events"]
        work = Work(self._rows.insert, events, len(events))
        self._commits.put(work)
        return _Taking(work.future)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> list[bytes]:
        """Answer as WSGI has it."""
        response = self.begin(environ).response()
        start_response(response.status_line, list(response.headers))
        return [response.body]

    def close(self) -> None:
        """Let the database go."""
        self._commits.close()
        self._rows.close()


class _Taking:
    def __init__(self, future: Future[int]) -> None:
        self._future = future

    def when_done(self, callback: Callable[[], None]) -> None:
        self._future.add_done_callback(lambda _future: callback())

    def response(self) -> Response:
        return json_response({"accepted": self._future.result()}, 202)


class _Rows:
    """The transactions of the writer."""

    stores: Any = None  # never asked for

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(
            folder / "floor.db", isolation_level=None, check_same_thread=False
        )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA wal_autocheckpoint = 4000")
        self._db.executescript(_TABLE)

    def insert(
        self, _stores: object, batches: Sequence[list[dict[str, Any]]]
    ) -> list[int]:
        """Store the rows of all batches that wait."""
        rows: list[object] = []
        for event in (event for events in batches for event in events):
            said = event["properties"]
            who = event["id"], event["visitor_id"], event["timestamp"]
            rows += (*who, said["url"], said["referrer"], json.dumps(said))
        done, size = 0, 256
        while done < len(rows):
            while size * 6 > len(rows) - done:
                size //= 2
            marks = ",".join(["(?,?,?,?,?,?)"] * size)
            sql = f"INSERT OR IGNORE INTO events VALUES {marks}"
            self._db.execute(sql, rows[done : done + size * 6])
            done += size * 6
        return [len(events) for events in batches]

    def begin(self, *, patient: bool = True) -> bool:
        """Begin a transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        return True

    def commit(self) -> None:
        """Put the transaction on disk."""
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction."""
        self._db.execute("ROLLBACK")

    def savepoint(self) -> None:
        """Do nothing: there are no parts to undo."""

    undo = release = savepoint

    def tidy(self, *, alone: bool) -> bool:
        """Leave it to each 4,000th page."""
        return True

    def refusal(self, error: Exception) -> Exception:
        """Return *error*."""
        return error

    def close(self) -> None:
        """Let the database go."""
        self._db.close()
