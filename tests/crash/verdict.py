"""Whether a database holds what was accepted, once, and what follows from it."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.server import bootstrap
from mbuzz.server.app import create_app
from mbuzz.server.model import WebEvent
from mbuzz.server.settings import ServerSettings
from mbuzz.server.storage import maintenance
from mbuzz.server.tracking.landing import read_landing
from mbuzz.server.tracking.sessions import fold
from mbuzz.testing import WSGITransport
from tests.crash.load import Item, Ledger, events_of

_PER_REPLAY = 200


class Verdict(NamedTuple):
    """What is not as it must be; all zero and empty if all is well."""

    stored: int  # events and conversions
    lost: int
    doubled: int
    problems: list[str]

    @property
    def good(self) -> bool:
        """Tell whether nothing is wrong."""
        return not (self.lost or self.doubled or self.problems)


def judge(database: Path, ledger: Ledger) -> Verdict:
    """Compare a database nobody writes to with what was accepted into it."""
    items = list(ledger.accepted.values())
    problems = list(ledger.wrong[:5])
    found = maintenance.check(str(database))
    problems += found.problems
    with closing(_connect(database)) as stored:
        events = _names(stored, "SELECT event_id FROM events")
        conversions = _names(stored, "SELECT public_id FROM conversions")
        linked = _names(
            stored,
            "SELECT v.visitor_id || ' is ' || i.user_id FROM links l"
            " JOIN visitors v ON v.id = l.visitor JOIN identities i"
            " ON i.id = l.identity",
        )
        problems += _sessions_differ(stored, events_of(items, "track"))
        problems += _credits_differ(stored, items)
    found_names = events | conversions | Counter(set(linked))
    wanted = set(ledger.accepted)
    return Verdict(
        stored=events.total() + conversions.total(),
        lost=len(wanted - set(found_names)),
        doubled=sum(count - 1 for count in (events | conversions).values()),
        problems=problems,
    )


def _connect(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)


def _names(stored: sqlite3.Connection, sql: str) -> Counter[str]:
    return Counter(name for (name,) in stored.execute(sql))


# -- sessions, folded anew from what was sent --


def _sessions_differ(stored: sqlite3.Connection, sent: Iterable[Item]) -> list[str]:
    by_visitor: dict[str, list[WebEvent]] = defaultdict(list)
    for item in sent:
        if "properties" in item:
            by_visitor[str(item["visitor_id"])].append(_web_event(item))
    wanted = {
        _session(visitor, session)
        for visitor, events in by_visitor.items()
        for session in fold(events)
    }
    members: dict[int, list[str]] = defaultdict(list)
    for session, name in stored.execute(
        "SELECT session, event_id FROM events WHERE session IS NOT NULL"
        " AND url IS NOT NULL"
    ):
        members[session].append(name)
    found = {
        (visitor, began, ended, views, channel, frozenset(members[row]))
        for row, visitor, began, ended, views, channel in stored.execute(
            "SELECT s.id, v.visitor_id, s.started_at_ms, s.last_event_at_ms,"
            " s.page_view_count, s.channel FROM sessions s"
            " JOIN visitors v ON v.id = s.visitor"
        )
    }
    if found == wanted:
        return []
    others, missing = len(found - wanted), len(wanted - found)
    return [
        f"of sessions, {others} are not as a fold makes them, {missing} are missing"
    ]


def _web_event(item: Item) -> WebEvent:
    properties = item["properties"]
    assert isinstance(properties, dict)
    url, referrer = properties["url"], properties["referrer"]
    at_ms = item["timestamp"]
    assert isinstance(at_ms, int)
    return WebEvent(
        event_id=str(item["id"]),
        occurred_at_ms=at_ms,
        url=url,
        is_page_view=item["event_type"] == "page_view",
        referrer=referrer,
        landing=read_landing(url, referrer),
    )


def _session(visitor, session) -> tuple:
    return (
        visitor,
        session.first.occurred_at_ms,
        session.last.occurred_at_ms,
        sum(event.is_page_view for event in session.events),
        session.first.landing.channel,
        frozenset(event.event_id for event in session.events),
    )


# -- credits, by sending everything to a new backend in the order of its times --


# But those that depend on when a model was trained.
_CREDITS = (
    "SELECT c.public_id, c.revenue_minor, c.currency, t.model, t.channel,"
    " s.started_at_ms, t.credit, t.revenue FROM conversions c"
    " LEFT JOIN credits t ON t.conversion = c.id"
    " AND t.model NOT IN ('algorithmic', 'markov', 'shapley')"
    " LEFT JOIN sessions s ON s.id = t.session"
)


def _credits_differ(stored: sqlite3.Connection, items: list[Item]) -> list[str]:
    found = Counter(stored.execute(_CREDITS))
    wanted = _replayed(items)
    if found == wanted:
        return []
    others, missing = (found - wanted).total(), (wanted - found).total()
    return [f"of credits, {others} are not as in a new backend, {missing} are missing"]


def _replayed(items: list[Item]) -> Counter[tuple[object, ...]]:
    """Return the credits of a backend that got everything in order."""
    # In order, so that next to nothing of it is late there.
    ordered = sorted(items, key=lambda item: (item["timestamp"], str(item)))
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "mbuzz.db"
        settings = ServerSettings(database=str(database), rate_burst=10**9)
        with closing(create_app(settings)) as app:
            first = bootstrap.prepare(app.storage, SYSTEM_CLOCK)
            assert first is not None
            transport = WSGITransport(app)
            headers = {
                "Authorization": f"Bearer {first.api_key}",
                "Content-Type": "application/json",
            }
            for start in range(0, len(ordered), _PER_REPLAY):
                batch = {"events": ordered[start : start + _PER_REPLAY]}
                body = json.dumps(batch).encode()
                answer = transport.post("/events", body, headers, 60.0)
                assert answer.status == 202, answer.body
        with closing(_connect(database)) as replayed:
            return Counter(replayed.execute(_CREDITS))
