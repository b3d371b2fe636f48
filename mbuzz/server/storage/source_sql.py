"""SQL of where visits came from: landings as they are kept, and sources anew."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mbuzz.server.model import Landing, Tenant
from mbuzz.server.storage.connection import TENANT, Connection, Row, owner
from mbuzz.server.storage.event_sql import dump_landing, source_values
from mbuzz.server.storage.rows.events import ClassifiedSession


def _classified(row: Row) -> ClassifiedSession:
    return ClassifiedSession(
        id=row[0],
        started_at_ms=row[1],
        last_event_at_ms=row[2],
        first_event=row[3],
        landing_url=row[4],
        referrer=row[5],
        landing=Landing(
            channel=row[6],
            source=row[7],
            medium=row[8],
            campaign=row[9],
            utm=json.loads(row[10]),
            click_ids=json.loads(row[11]),
            flags=frozenset(row[12].split()),
        ),
        list_version=row[13],
    )


class SqlSourceStore:
    """The part of `TrackingStore` about sources that are read again."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def count_web_events(
        self, tenant: Tenant, visitor: int, from_ms: int, to_ms: int
    ) -> int:
        """Return how many page events a visitor had, by their own time."""
        ((count,),) = self._db.rows(
            f"SELECT COUNT(*) FROM events WHERE {TENANT} AND visitor = :visitor"
            " AND occurred_at_ms BETWEEN :from_ms AND :to_ms AND url IS NOT NULL",
            {
                **owner(tenant),
                "visitor": visitor,
                "from_ms": from_ms,
                "to_ms": to_ms,
            },
        )
        return int(count)

    def visitors_since(
        self, tenant: Tenant, since_ms: int, after: int, limit: int
    ) -> Sequence[int]:
        """Return the next visitors with a session since then, in order."""
        rows = self._db.rows(
            f"SELECT DISTINCT visitor FROM sessions WHERE {TENANT}"
            " AND visitor > :after AND started_at_ms >= :since"
            " ORDER BY visitor LIMIT :limit",
            {**owner(tenant), "since": since_ms, "after": after, "limit": limit},
        )
        return [row[0] for row in rows]

    def classified_sessions(
        self, tenant: Tenant, visitor: int, from_ms: int
    ) -> Sequence[ClassifiedSession]:
        """Return a visitor's sessions that were not over before *from_ms*."""
        rows = self._db.rows(
            "SELECT id, started_at_ms, last_event_at_ms, first_event, landing_url,"
            " referrer, channel, source, medium, campaign, initial_utm, click_ids,"
            f" flags, list_version FROM sessions WHERE {TENANT} AND visitor = :visitor"
            " AND last_event_at_ms >= :from_ms"
            " ORDER BY started_at_ms, last_event_at_ms, id",
            {**owner(tenant), "visitor": visitor, "from_ms": from_ms},
        )
        return [_classified(row) for row in rows]

    def set_landing(self, tenant: Tenant, event: int, landing: Landing) -> None:
        """Replace what is kept of an event's landing."""
        self._db.run(
            f"UPDATE events SET landing = :landing WHERE {TENANT} AND id = :id",
            {**owner(tenant), "id": event, "landing": dump_landing(landing)},
        )

    def set_source(
        self, tenant: Tenant, session: int, landing: Landing, list_version: str
    ) -> None:
        """Replace where a session came from, and nothing else of it."""
        values = source_values(landing, landing.flags, list_version)
        columns = ", ".join(f"{name} = :{name}" for name in values)
        self._db.run(
            f"UPDATE sessions SET {columns} WHERE {TENANT} AND id = :id",
            {**owner(tenant), "id": session, **values},
        )
