"""SQL of sessions: where they are, how long, and what is in them."""

from __future__ import annotations

from collections.abc import Sequence

from mbuzz.server.model import Session, Tenant
from mbuzz.server.storage.connection import TENANT, Connection, Row, first, owner
from mbuzz.server.storage.event_sql import session_values
from mbuzz.server.storage.rows.events import SessionRow

_SESSION = (
    "id, public_id, client_session_id, started_at_ms, last_event_at_ms,"
    " first_event, last_event, page_view_count, sealed"
)


def _session_row(row: Row) -> SessionRow:
    return SessionRow(
        id=row[0],
        public_id=row[1],
        client_session_id=row[2],
        started_at_ms=row[3],
        last_event_at_ms=row[4],
        first_event=row[5],
        last_event=row[6],
        page_view_count=row[7],
        sealed=bool(row[8]),
    )


class SqlSessionStore:
    """The part of `TrackingStore` about sessions."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def session(self, tenant: Tenant, session: int) -> SessionRow:
        (row,) = self._db.rows(
            f"SELECT {_SESSION} FROM sessions WHERE {TENANT} AND id = :id",
            {**owner(tenant), "id": session},
        )
        return _session_row(row)

    def sessions_between(
        self, tenant: Tenant, visitor: int, from_ms: int, to_ms: int
    ) -> Sequence[SessionRow]:
        rows = self._db.rows(
            f"SELECT {_SESSION} FROM sessions WHERE {TENANT} AND visitor = :visitor"
            " AND last_event_at_ms > :from_ms AND started_at_ms < :to_ms"
            " ORDER BY started_at_ms, id",
            {
                **owner(tenant),
                "visitor": visitor,
                "from_ms": from_ms,
                "to_ms": to_ms,
            },
        )
        return [_session_row(row) for row in rows]

    def latest_sessions(self, tenant: Tenant, visitor: int) -> Sequence[SessionRow]:
        rows = self._db.rows(
            f"SELECT {_SESSION} FROM sessions WHERE {TENANT} AND visitor = :visitor"
            " ORDER BY started_at_ms DESC, last_event_at_ms DESC, id DESC LIMIT 2",
            {**owner(tenant), "visitor": visitor},
        )
        return [_session_row(row) for row in rows]

    def session_covering(
        self, tenant: Tenant, visitor: int, at_ms: int, timeout_ms: int
    ) -> SessionRow | None:
        row = first(
            self._db.rows(
                f"SELECT {_SESSION} FROM sessions WHERE {TENANT}"
                " AND visitor = :visitor AND started_at_ms <= :at"
                " AND last_event_at_ms + :timeout > :at"
                " ORDER BY started_at_ms DESC, last_event_at_ms DESC, id DESC LIMIT 1",
                {
                    **owner(tenant),
                    "visitor": visitor,
                    "at": at_ms,
                    "timeout": timeout_ms,
                },
            )
        )
        return _session_row(row) if row else None

    def insert_session(
        self,
        tenant: Tenant,
        visitor: int,
        public_id: str,
        session: Session,
        first_event: int,
        last_event: int,
        list_version: str,
    ) -> int:
        values = session_values(session, first_event, last_event, list_version)
        names = ["account_id", "live", "visitor", "public_id", *values]
        marks = ", ".join(f":{name}" for name in names)
        rows = self._db.rows(
            f"INSERT INTO sessions ({', '.join(names)}) VALUES ({marks}) RETURNING id",
            {
                **owner(tenant),
                "visitor": visitor,
                "public_id": public_id,
                **values,
            },
        )
        return int(rows[0][0])

    def update_session(
        self,
        tenant: Tenant,
        row: int,
        session: Session,
        first_event: int,
        last_event: int,
        list_version: str,
    ) -> None:
        values = session_values(session, first_event, last_event, list_version)
        settings = ", ".join(f"{name} = :{name}" for name in values)
        self._db.run(
            f"UPDATE sessions SET {settings} WHERE {TENANT} AND id = :id",
            {**owner(tenant), "id": row, **values},
        )

    def extend_session(
        self,
        tenant: Tenant,
        row: int,
        last_event: int,
        last_event_at_ms: int,
        page_views: int,
        flags: frozenset[str],
    ) -> None:
        added = " ".join(sorted(flags))
        self._db.run(
            "UPDATE sessions SET last_event = :last_event,"
            " last_event_at_ms = :last_event_at_ms,"
            " page_view_count = page_view_count + :page_views,"
            " flags = CASE WHEN :flags = '' OR instr(flags, :flags) > 0 THEN flags"
            " ELSE trim(flags || ' ' || :flags) END"
            f" WHERE {TENANT} AND id = :id",
            {
                **owner(tenant),
                "id": row,
                "last_event": last_event,
                "last_event_at_ms": last_event_at_ms,
                "page_views": page_views,
                "flags": added,
            },
        )

    def delete_session(self, tenant: Tenant, row: int) -> None:
        self._db.run(
            f"DELETE FROM sessions WHERE {TENANT} AND id = :id",
            {**owner(tenant), "id": row},
        )

    def knows_later(self, tenant: Tenant, visitor: int, from_ms: int) -> bool:
        """Tell whether server events or conversions from *from_ms* on are known."""
        return bool(
            self._db.rows(
                f"SELECT 1 FROM events WHERE {TENANT} AND visitor = :visitor"
                " AND occurred_at_ms >= :from_ms AND url IS NULL"
                f" UNION ALL SELECT 1 FROM conversions WHERE {TENANT}"
                " AND visitor = :visitor AND converted_at_ms >= :from_ms LIMIT 1",
                {**owner(tenant), "visitor": visitor, "from_ms": from_ms},
            )
        )

    def attach_server_events(
        self, tenant: Tenant, visitor: int, from_ms: int, to_ms: int, timeout_ms: int
    ) -> None:
        """Put the events without a page of ``[from_ms, to_ms)`` into their sessions.

        The visit that covers an event can be known after the event.
        """
        self._db.run(
            "UPDATE events SET session = (SELECT s.id FROM sessions s"
            " WHERE s.account_id = :account_id AND s.live = :live"
            " AND s.visitor = :visitor AND s.started_at_ms <= events.occurred_at_ms"
            " AND s.last_event_at_ms + :timeout > events.occurred_at_ms"
            " ORDER BY s.started_at_ms DESC, s.last_event_at_ms DESC, s.id DESC"
            " LIMIT 1)"
            f" WHERE {TENANT} AND visitor = :visitor AND url IS NULL"
            " AND occurred_at_ms >= :from_ms AND occurred_at_ms < :to_ms",
            {
                **owner(tenant),
                "visitor": visitor,
                "from_ms": from_ms,
                "to_ms": to_ms,
                "timeout": timeout_ms,
            },
        )
