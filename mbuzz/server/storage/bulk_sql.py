"""SQL for many events at once: what a batch must know, and all of its rows."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import TENANT, Connection, dump_all, owner
from mbuzz.server.storage.event_sql import (
    STORED_EVENT,
    STORED_FROM,
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
_LINK = ("account_id", "live", "visitor", "linked_from_ms", "identity")
_SINCE = (
    "c.account_id = :account_id AND c.live = :live AND c.converted_at_ms >= :from_ms"
)
_VISITORS = ("id", "account_id", "live", "visitor_id", "first_seen_ms")


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
            # Cross: as written, an id after the other, with no index of them.
            f"SELECT e.event_id, {STORED_EVENT}"
            f" FROM json_each(:ids) j CROSS JOIN {STORED_FROM}"
            " WHERE e.account_id = :account_id AND e.live = :live"
            " AND e.id_hour = :hour AND e.event_id = j.value",
            {**owner(tenant), "hour": hour, "ids": _array(event_ids)},
        )
        return {row[0]: stored_event(row[1:]) for row in rows}

    def known_visitors(
        self, tenant: Tenant, visitor_ids: Iterable[str]
    ) -> Mapping[str, int]:
        """Return the rows of those visitors that were here before."""
        rows = self._db.rows(
            "SELECT v.visitor_id, v.id FROM json_each(:ids) j CROSS JOIN visitors v"
            " WHERE v.account_id = :account_id AND v.live = :live"
            " AND v.visitor_id = j.value",
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

    def any_converted_since(self, tenant: Tenant, from_ms: int) -> bool:
        """Tell whether anybody has converted since; costs one look."""
        return bool(
            self._db.rows(
                f"SELECT 1 FROM conversions WHERE {TENANT}"
                " AND converted_at_ms >= :from_ms LIMIT 1",
                {**owner(tenant), "from_ms": from_ms},
            )
        )

    def converted_since(
        self, tenant: Tenant, visitors: Collection[int], from_ms: int
    ) -> set[int]:
        """Return those visitors that converted since, or somebody they are or were."""
        rows = self._db.rows(
            "WITH asked AS (SELECT value AS visitor FROM json_each(:visitors)),"
            " people AS (SELECT DISTINCT l.visitor, i.root_id FROM asked a"
            " CROSS JOIN links l ON l.visitor = a.visitor"
            " JOIN identities i ON i.id = l.identity"
            " WHERE l.account_id = :account_id AND l.live = :live),"
            " their AS (SELECT p.visitor, i.id AS identity FROM people p"
            " CROSS JOIN identities i ON i.root_id = p.root_id"
            " WHERE i.account_id = :account_id AND i.live = :live)"
            " SELECT a.visitor FROM asked a"
            f" CROSS JOIN conversions c ON c.visitor = a.visitor WHERE {_SINCE}"
            " UNION SELECT t.visitor FROM their t"
            f" CROSS JOIN conversions c ON c.identity = t.identity WHERE {_SINCE}"
            " UNION SELECT t.visitor FROM their t"
            " CROSS JOIN links l ON l.identity = t.identity"
            " AND l.account_id = :account_id AND l.live = :live"
            f" CROSS JOIN conversions c ON c.visitor = l.visitor WHERE {_SINCE}",
            {**owner(tenant), "visitors": _array(visitors), "from_ms": from_ms},
        )
        return {row[0] for row in rows}

    def links_of(
        self, tenant: Tenant, visitors: Collection[int]
    ) -> Mapping[int, list[LinkRow]]:
        """Return who each visitor is and was, of those that are somebody."""
        rows = self._db.rows(
            "SELECT l.visitor, l.identity, i.user_id, l.said_ms,"
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
            self._insert_events(whose, rows.events)
        if rows.longer:
            db.values(
                "WITH v (account_id, live, id, last_event, last_event_at_ms,"
                " page_views, flags) AS (",
                [(*whose, *longer) for longer in rows.longer],
                ") UPDATE sessions SET last_event = v.last_event,"
                " last_event_at_ms = v.last_event_at_ms,"
                " page_view_count = sessions.page_view_count + v.page_views,"
                " flags = CASE WHEN v.flags = '' OR instr(sessions.flags, v.flags) > 0"
                " THEN sessions.flags ELSE trim(sessions.flags || ' ' || v.flags) END"
                " FROM v WHERE sessions.account_id = v.account_id"
                " AND sessions.live = v.live AND sessions.id = v.id",
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

    def _insert_events(
        self, whose: tuple[int, int], events: Sequence[EventLine]
    ) -> None:
        texts = dump_all([properties for *_, properties in events])
        rows = [
            (
                row,
                *whose,
                *known,
                None if landing is None else dump_landing(landing),
                user_agent,
                bot_reason,
                " ".join(sorted(flags)) if flags else "",
                text,
            )
            for (row, *known, landing, user_agent, bot_reason, flags, _), text in zip(
                events, texts, strict=True
            )
        ]
        self._db.insert("events", _EVENTS, rows)

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
