"""The floor of ingestion: the least that stores events durably, and derives from them.

It has the backend's own server and its group commit. A batch is parsed and checked,
each event stored once, with its visitor, its session of 30 minutes, a channel off the
tags or the referrer, and sums by the hour, all before the answer. It has none of what
makes that true in every case: no late events, identities, bots, settings or privacy.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mbuzz.server.http.response import Response, json_response
from mbuzz.server.storage.condition import Condition
from mbuzz.server.storage.group_commit import GroupCommit, Work
from mbuzz.server.storage.pending import Pending
from mbuzz.server.storage.sqlite_connection import SqliteConnection

_TABLES = """
CREATE TABLE visitors (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE sessions (id INTEGER PRIMARY KEY, visitor INTEGER NOT NULL,
    began INTEGER NOT NULL, ended INTEGER NOT NULL, views INTEGER NOT NULL,
    channel TEXT NOT NULL);
CREATE INDEX sessions_by_time ON sessions (began, channel);
CREATE INDEX sessions_by_visitor ON sessions (visitor, began, channel);
CREATE TABLE events (id INTEGER PRIMARY KEY, hour INTEGER NOT NULL,
    event_id TEXT NOT NULL, kind TEXT NOT NULL, visitor INTEGER NOT NULL,
    session INTEGER NOT NULL, at INTEGER NOT NULL, properties TEXT NOT NULL,
    UNIQUE (hour, event_id));
CREATE INDEX events_by_visitor ON events (visitor, at);
CREATE TABLE hours (hour INTEGER NOT NULL, channel TEXT NOT NULL,
    sessions INTEGER NOT NULL, views INTEGER NOT NULL, PRIMARY KEY (hour, channel))
    WITHOUT ROWID;
"""
_TIMEOUT = 1_800_000  # ms
_HOUR = 3_600_000
_KNOWN = 100_000  # visitors
# id, kind, visitor, time in ms, channel if it says one, properties
Event = tuple[str, str, str, int, str, str]
_SEARCH = frozenset({"www.google.com", "www.bing.com", "duckduckgo.com"})


class Floor:
    """The application."""

    def __init__(self, folder: Path) -> None:
        self._rows = _Rows(folder)
        self._commits = GroupCommit(self._rows, "floor", Condition())

    def begin(self, environ: dict[str, Any]) -> _Taking:
        """Begin to take a batch."""
        events = json.loads(environ["wsgi.input"].read())["events"]
        read = [_read(event) for event in events]
        work = Work(self._rows.insert, read, len(read))
        self._commits.put(work, wake=False)
        return _Taking(work)

    def settle(self) -> bool:
        """Go on with what was begun, all of it together."""
        return self._commits.settle()

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
    def __init__(self, pending: Pending[int]) -> None:
        self._pending = pending

    def when_done(self, callback: Callable[[], None]) -> None:
        self._pending.when_done(callback)

    def response(self) -> Response:
        return json_response({"accepted": self._pending.result()}, 202)


def _read(event: dict[str, Any]) -> Event:
    name, kind, visitor = event["id"], event["event_type"], event["visitor_id"]
    said = event["properties"]
    for text in (name, kind, visitor, said["url"]):
        if type(text) is not str or not 0 < len(text) < 2_000:
            raise ValueError(f"no text: {text!r}")
    at = int(datetime.fromisoformat(event["timestamp"]).timestamp() * 1000)
    return name, kind, visitor, at, _channel(said), json.dumps(said)


def _channel(said: dict[str, Any]) -> str:
    url, referrer = said["url"], said["referrer"]
    if "utm_medium=cpc" in url:
        return "paid_search"
    if "utm_" in url:
        return "other"
    host = urlsplit(referrer).hostname if referrer else None
    if host is None or host == urlsplit(url).hostname:
        return ""
    return "organic_search" if host in _SEARCH else "referral"


class _Rows:
    """The transactions of the writer."""

    stores: Any = None

    def __init__(self, folder: Path) -> None:
        self.stores = self  # it needs to know until when
        self.until = 0.0
        self._db = sqlite3.connect(
            folder / "floor.db", isolation_level=None, check_same_thread=False
        )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA wal_autocheckpoint = 4000")
        self._db.executescript(_TABLES)
        self._rows = SqliteConnection(self._db)
        self._visitors: dict[str, tuple[int, int, int, str]] = {}
        self._last = [0, 0, 0]  # visitor, session, event

    def insert(self, _stores: object, batches: Sequence[Sequence[Event]]) -> list[int]:
        """Store the rows of all batches that wait, and what follows from them."""
        events = list(chain(*batches))
        known = self._known(events)
        self._recall({who for _, _, who, *_ in events} - self._visitors.keys())
        visitors: list[tuple[object, ...]] = []
        begun: dict[int, list[object]] = {}
        longer: Counter[int] = Counter()
        ended: dict[int, int] = {}
        hours: Counter[tuple[int, str, bool]] = Counter()
        rows: list[tuple[object, ...]] = []
        for name, kind, who, at, channel, said in events:
            if name in known:
                continue
            known.add(name)
            visitor, session, until, came = self._visitors.get(who, (0, 0, 0, ""))
            if not visitor:
                self._last[0] += 1
                visitor = self._last[0]
                visitors.append((visitor, who))
            if at - until > _TIMEOUT or (channel and channel != came):
                self._last[1] += 1
                session, came = self._last[1], channel or "direct"
                begun[session] = [session, visitor, at, at, 1, came]
                hours[at // _HOUR, came, True] += 1
            elif session in begun:
                begun[session][3] = at
                begun[session][4] += 1  # type: ignore[operator]
            else:
                longer[session] += 1
                ended[session] = at
            hours[at // _HOUR, came, False] += 1
            self._visitors[who] = visitor, session, at, came
            self._last[2] += 1
            row = self._last[2]
            rows.append((row, at // _HOUR, name, kind, visitor, session, at, said))
        self._rows.values("INSERT INTO visitors ", visitors)
        self._rows.values("INSERT INTO sessions ", list(begun.values()))
        self._rows.values("INSERT INTO events ", rows)
        for session, views in longer.items():
            self._db.execute(
                "UPDATE sessions SET ended = ?, views = views + ? WHERE id = ?",
                (ended[session], views, session),
            )
        for (hour, channel, new), count in hours.items():
            self._db.execute(
                "INSERT INTO hours VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " sessions = sessions + excluded.sessions,"
                " views = views + excluded.views",
                (hour, channel, count * new, count * (not new)),
            )
        return [len(batch) for batch in batches]

    def _recall(self, names: set[str]) -> None:
        """Read the visitors that are not remembered, with their latest session."""
        if len(self._visitors) > _KNOWN:
            names = names | self._visitors.keys()
            self._visitors.clear()
        for name, *latest in self._db.execute(
            "SELECT v.name, v.id, s.id, s.ended, s.channel FROM json_each(?) j"
            " CROSS JOIN visitors v ON v.name = j.value JOIN sessions s ON s.id = ("
            "SELECT id FROM sessions WHERE visitor = v.id ORDER BY began DESC LIMIT 1)",
            (json.dumps(list(names)),),
        ):
            self._visitors[name] = tuple(latest)

    def _known(self, events: Sequence[Event]) -> set[str]:
        """Return the ids that are stored already."""
        by_hour: dict[int, list[str]] = {}
        for name, _, _, at, *_ in events:
            by_hour.setdefault(at // _HOUR, []).append(name)
        found: set[str] = set()
        for hour, names in by_hour.items():
            found.update(
                name
                for (name,) in self._db.execute(
                    "SELECT e.event_id FROM json_each(?) j CROSS JOIN events e"
                    " WHERE e.hour = ? AND e.event_id = j.value",
                    (json.dumps(names), hour),
                )
            )
        return found

    def begin(self, *, patient: bool = True) -> bool:
        """Begin a transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        return True

    def commit(self) -> None:
        """Put the transaction on disk."""
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if there is one."""
        if self._db.in_transaction:
            self._visitors.clear()
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
