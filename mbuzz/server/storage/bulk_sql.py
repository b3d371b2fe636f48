"""SQL for many events at once: what a batch must know, and all of its rows."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import TENANT, Connection, dump, owner
from mbuzz.server.storage.event_sql import (
    STORED_EVENT,
    dump_landing,
    load_landing,
    session_values,
    stored_event,
)
from mbuzz.server.storage.rows.bulk import (
    BulkRows,
    EventLine,
    LinkRow,
    NewSession,
    Tail,
)
from mbuzz.server.storage.rows.events import StoredEvent
from mbuzz.server.storage.suppression_sql import SqlSuppressionStore

_EVENTS = (
    *("id", "account_id", "live", "id_hour", "event_id", "event_type", "visitor"),
    *("identity", "session", "client_session_id", "occurred_at_ms", "received_at_ms"),
    *("said_at_ms", "url", "referrer", "landing", "user_agent", "bot_reason", "flags"),
    "properties",
)
_LANDING = EventLine._fields.index("landing")  # all before it are columns as they are
_LINK = ("account_id", "live", "visitor", "linked_from_ms", "identity")
_VISITORS = ("id", "account_id", "live", "visitor_id", "first_seen_ms")


@lru_cache(maxsize=128)
def insert_sql(table: str, columns: tuple[str, ...], rows: int) -> str:
    """Return the statement that inserts so many rows at once."""
    marks = f"({','.join('?' * len(columns))})"
    values = ",".join([marks] * rows)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values}"


class SqlBulkStore(SqlSuppressionStore):
    """`BulkStore` in SQL."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._db = connection
        self._undone = 0  # times that some of it was undone

    # -- what is known --

    def stamp(self) -> object:
        """Return what stays equal while nobody changes anything in the database."""
        return self._db.version(), self._db.changes(), self._undone

    def undone(self) -> None:
        """Note that changes may be undone; they stay counted."""
        self._undone += 1

    def next_rows(self) -> tuple[int, int, int]:
        """Return the next free row of visitors, sessions and events."""
        # Not one tenant's: a row number tells nothing, and is never shown.
        ((visitor, session, event),) = self._db.rows(
            "SELECT (SELECT MAX(id) FROM visitors), (SELECT MAX(id) FROM sessions),"
            " (SELECT MAX(id) FROM events)",
            {},
        )
        return (visitor or 0) + 1, (session or 0) + 1, (event or 0) + 1

    def known_events(
        self, tenant: Tenant, hour: int, event_ids: Iterable[str]
    ) -> Mapping[str, StoredEvent]:
        """Return which of these events of one hour are stored already."""
        rows = self._db.rows(
            f"SELECT e.event_id, {STORED_EVENT}"
            " WHERE e.account_id = :account_id AND e.live = :live"
            " AND e.id_hour = :hour"
            " AND e.event_id IN (SELECT value FROM json_each(:ids))",
            {**owner(tenant), "hour": hour, "ids": _array(event_ids)},
        )
        return {row[0]: stored_event(row[1:]) for row in rows}

    def known_visitors(
        self, tenant: Tenant, visitor_ids: Iterable[str]
    ) -> Mapping[str, int]:
        """Return the rows of those visitors that were here before."""
        rows = self._db.rows(
            f"SELECT visitor_id, id FROM visitors WHERE {TENANT}"
            " AND visitor_id IN (SELECT value FROM json_each(:ids))",
            {**owner(tenant), "ids": _array(visitor_ids)},
        )
        return dict(rows)

    def tails(
        self, tenant: Tenant, visitors: Collection[int]
    ) -> Mapping[int, list[Tail]]:
        """Return the latest two sessions of each visitor, the latest first."""
        rows = self._db.rows(
            "SELECT s.visitor, s.id, s.public_id, s.client_session_id,"
            " s.started_at_ms, s.last_event_at_ms, s.page_view_count, s.landing_url,"
            " s.referrer, l.client_session_id, f.landing, s.sealed"
            " FROM json_each(:visitors) j JOIN sessions s ON s.id IN ("
            f"SELECT id FROM sessions WHERE {TENANT} AND visitor = j.value"
            " ORDER BY started_at_ms DESC, last_event_at_ms DESC, id DESC LIMIT 2)"
            " LEFT JOIN events f ON f.id = s.first_event"
            " LEFT JOIN events l ON l.id = s.last_event"
            " ORDER BY s.visitor, s.started_at_ms DESC, s.last_event_at_ms DESC,"
            " s.id DESC",
            {**owner(tenant), "visitors": _array(visitors)},
        )
        found: dict[int, list[Tail]] = {}
        for row in rows:
            visitor, *known, landing, sealed = row
            tail = Tail._make([*known, load_landing(landing), bool(sealed)])
            found.setdefault(visitor, []).append(tail)
        return found

    def with_later_server_events(
        self, tenant: Tenant, visitors: Collection[int], from_ms: int
    ) -> set[int]:
        """Return the visitors of whom events without a page are known from then on."""
        rows = self._db.rows(
            "SELECT j.value FROM json_each(:visitors) j WHERE EXISTS (SELECT 1"
            f" FROM events WHERE {TENANT} AND visitor = j.value"
            " AND occurred_at_ms >= :from_ms AND url IS NULL)",
            {**owner(tenant), "visitors": _array(visitors), "from_ms": from_ms},
        )
        return {row[0] for row in rows}

    def converted_since(
        self, tenant: Tenant, from_ms: int
    ) -> tuple[set[int], set[int]]:
        """Return the visitors, and the roots of the people, that converted since."""
        since = {**owner(tenant), "from_ms": from_ms}
        rows = self._db.rows(
            "SELECT c.visitor, i.root_id FROM conversions c"
            " LEFT JOIN identities i ON i.id = c.identity"
            " WHERE c.account_id = :account_id AND c.live = :live"
            " AND c.converted_at_ms >= :from_ms",
            since,
        )
        if not rows:
            return set(), set()
        linked = self._db.rows(
            "SELECT DISTINCT i.root_id FROM conversions c"
            " JOIN links l ON l.account_id = c.account_id AND l.live = c.live"
            " AND l.visitor = c.visitor JOIN identities i ON i.id = l.identity"
            " WHERE c.account_id = :account_id AND c.live = :live"
            " AND c.converted_at_ms >= :from_ms",
            since,
        )
        roots = {root for _, root in rows} | {root for (root,) in linked}
        return {visitor for visitor, _ in rows} - {None}, roots - {None}

    def links_of(
        self, tenant: Tenant, visitors: Collection[int]
    ) -> Mapping[int, list[LinkRow]]:
        """Return who each visitor is and was, of those that are somebody."""
        rows = self._db.rows(
            "SELECT l.visitor, l.identity, i.user_id, l.said_ms, i.root_id,"
            " l.linked_from_ms, l.linked_until_ms IS NULL FROM links l"
            " JOIN identities i ON i.id = l.identity"
            " WHERE l.account_id = :account_id AND l.live = :live"
            " AND l.visitor IN (SELECT value FROM json_each(:visitors))",
            {**owner(tenant), "visitors": _array(visitors)},
        )
        found: dict[int, list[LinkRow]] = {}
        for visitor, *link in rows:
            found.setdefault(visitor, []).append(LinkRow(*link))
        return found

    # -- what is new --

    def save(self, tenant: Tenant, rows: BulkRows) -> None:
        """Store everything in *rows*; all of it is new, or longer than it was."""
        whose = tenant.account_id, int(tenant.live)
        db = self._db
        if rows.visitors:
            db.insert(
                "visitors",
                _VISITORS,
                [(row, *whose, name, seen) for row, name, seen in rows.visitors],
            )
        if rows.sessions:
            self._insert_sessions(whose, rows.sessions)
        if rows.events:
            db.insert(
                "events",
                _EVENTS,
                [
                    (
                        e[0],
                        *whose,
                        *e[1:_LANDING],
                        dump_landing(e.landing),
                        e.user_agent,
                        e.bot_reason,
                        " ".join(sorted(e.flags)) if e.flags else "",
                        dump(e.properties),
                    )
                    for e in rows.events
                ],
            )
        if rows.longer:
            db.run(
                "UPDATE sessions SET last_event = v.last_event,"
                " last_event_at_ms = v.last_event_at_ms,"
                " page_view_count = sessions.page_view_count + v.page_views,"
                " flags = CASE WHEN v.flags = '' OR instr(sessions.flags, v.flags) > 0"
                " THEN sessions.flags ELSE trim(sessions.flags || ' ' || v.flags) END"
                " FROM (SELECT json_extract(value, '$[0]') AS id,"
                " json_extract(value, '$[1]') AS last_event,"
                " json_extract(value, '$[2]') AS last_event_at_ms,"
                " json_extract(value, '$[3]') AS page_views,"
                " json_extract(value, '$[4]') AS flags FROM json_each(:rows)) v"
                # The pluses keep its planner from reading every session for each row.
                " WHERE +account_id = :account_id AND +live = :live"
                " AND sessions.id = v.id",
                {**owner(tenant), "rows": _array(rows.longer)},
            )
        if rows.confirmed:
            db.insert(
                "links",
                (*_LINK, "said_ms"),
                [
                    (*whose, visitor, link.from_ms, link.identity, said_ms)
                    for visitor, (link, said_ms) in rows.confirmed.items()
                ],
                f" ON CONFLICT ({', '.join(_LINK)})"
                " DO UPDATE SET said_ms = excluded.said_ms",
            )

    def _insert_sessions(
        self, whose: tuple[int, int], sessions: Sequence[NewSession]
    ) -> None:
        names: tuple[str, ...] = ()
        rows = []
        for new in sessions:
            values = session_values(
                new.session, new.first_event, new.last_event, new.list_version
            )
            names = tuple(values)
            rows.append((new.id, *whose, new.visitor, new.public_id, *values.values()))
        columns = ("id", "account_id", "live", "visitor", "public_id", *names)
        self._db.insert("sessions", columns, rows)


def _array(values: Iterable[object]) -> str:
    return json.dumps(list(values))
