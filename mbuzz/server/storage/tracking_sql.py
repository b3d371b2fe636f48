"""SQL of events, and all of tracking put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mbuzz.server.model import Tenant, TrackCall
from mbuzz.server.storage.connection import (
    TENANT,
    Connection,
    Row,
    dump,
    first,
    in_list,
    owner,
)
from mbuzz.server.storage.conversion_sql import SqlConversionStore
from mbuzz.server.storage.event_sql import (
    STORED_EVENT,
    STORED_FROM,
    dump_landing,
    load_landing,
    stored_event,
)
from mbuzz.server.storage.group_sql import SqlGroupStore
from mbuzz.server.storage.identity_sql import SqlIdentityStore
from mbuzz.server.storage.milestone_sql import SqlMilestoneStore
from mbuzz.server.storage.refund_sql import SqlRefundStore
from mbuzz.server.storage.rows.events import EventRow, NewEvent, StoredEvent, event_hour
from mbuzz.server.storage.salt_sql import SqlSaltStore
from mbuzz.server.storage.session_sql import SqlSessionStore
from mbuzz.server.storage.source_sql import SqlSourceStore
from mbuzz.server.storage.suppression_sql import SqlSuppressionStore
from mbuzz.server.storage.training_sql import SqlTrainedStore

_EVENT = (
    "id, session, event_id, occurred_at_ms, url, event_type, client_session_id,"
    " referrer, landing"
)


def _event_row(row: Row) -> EventRow:
    return EventRow(
        id=row[0],
        session=row[1],
        event_id=row[2],
        occurred_at_ms=row[3],
        url=row[4],
        is_page_view=row[5] == "page_view",
        client_session_id=row[6],
        referrer=row[7],
        landing=load_landing(row[8]),
    )


class SqlTrackingStore(
    SqlIdentityStore,
    SqlGroupStore,
    SqlConversionStore,
    SqlSessionStore,
    SqlSourceStore,
    SqlSuppressionStore,
    SqlRefundStore,
    SqlMilestoneStore,
    SqlTrainedStore,
    SqlSaltStore,
):
    """`TrackingStore` in SQL; all but events and replies is in the bases."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._db = connection

    # -- replies to whole batches --

    def reply(self, tenant: Tenant, key: str, since_ms: int) -> tuple[str, str] | None:
        row = first(
            self._db.rows(
                "SELECT request_digest, reply FROM replies"
                f" WHERE {TENANT} AND idempotency_key = :key"
                " AND created_at_ms > :since_ms",
                {**owner(tenant), "key": key, "since_ms": since_ms},
            )
        )
        return (row[0], row[1]) if row else None

    def save_reply(
        self, tenant: Tenant, key: str, digest: str, reply: str, now_ms: int
    ) -> None:
        self._db.run(
            "INSERT INTO replies (account_id, live, idempotency_key, request_digest,"
            " reply, created_at_ms)"
            " VALUES (:account_id, :live, :key, :digest, :reply, :now)"
            " ON CONFLICT (account_id, live, idempotency_key) DO UPDATE SET"
            " request_digest = excluded.request_digest, reply = excluded.reply,"
            " created_at_ms = excluded.created_at_ms",
            {
                **owner(tenant),
                "key": key,
                "digest": digest,
                "reply": reply,
                "now": now_ms,
            },
        )

    # -- events --

    def insert_event(self, tenant: Tenant, event: NewEvent) -> int | None:
        said_ms = event.said_ms
        corrected = said_ms is not None and said_ms != event.occurred_at_ms
        row = first(
            self._db.rows(
                "INSERT INTO events (account_id, live, id_hour, event_id, event_type,"
                " visitor, identity, client_session_id, occurred_at_ms, received_at_ms,"
                " said_at_ms, url, referrer, landing, user_agent, bot_reason, flags,"
                " properties)"
                " VALUES (:account_id, :live, :id_hour, :event_id, :event_type,"
                " :visitor, :identity, :client_session_id, :occurred_at_ms,"
                " :received_at_ms, :said_at_ms, :url, :referrer, :landing,"
                " :user_agent, :bot_reason,"
                " :flags, :properties)"
                " ON CONFLICT DO NOTHING RETURNING id",
                {
                    **owner(tenant),
                    "id_hour": event_hour(said_ms, event.received_at_ms),
                    "event_id": event.event_id,
                    "event_type": event.event_type,
                    "visitor": event.visitor,
                    "identity": event.identity,
                    "client_session_id": event.client_session_id,
                    "occurred_at_ms": event.occurred_at_ms,
                    "received_at_ms": event.received_at_ms,
                    "said_at_ms": said_ms if corrected else None,
                    "url": event.url,
                    "referrer": event.referrer,
                    "landing": dump_landing(event.landing),
                    "user_agent": event.user_agent,
                    "bot_reason": event.bot_reason,
                    "flags": " ".join(sorted(event.flags)),
                    "properties": dump(dict(event.properties)),
                },
            )
        )
        return int(row[0]) if row else None

    def repeated(self, tenant: Tenant, call: TrackCall) -> StoredEvent | None:
        """Return the event that *call* repeats.

        A repeat says the same time. One without a time is looked for in the hour of
        its receipt and the one before.
        """
        hour = event_hour(call.said_ms, call.received_at_ms)
        hours = [hour] if call.said_ms is not None else [hour, hour - 1]
        return self._stored(tenant, call.event_id, f"e.id_hour IN ({in_list(hours)})")

    def event(self, tenant: Tenant, event_id: str) -> StoredEvent | None:
        """Return an event by its id alone, whenever it was."""
        return self._stored(
            tenant,
            event_id,
            "e.id_hour IN (WITH RECURSIVE hours (hour) AS (SELECT MAX(id_hour)"
            f" FROM events WHERE {TENANT} UNION ALL SELECT (SELECT MAX(id_hour)"
            f" FROM events WHERE {TENANT} AND id_hour < hours.hour) FROM hours"
            " WHERE hours.hour IS NOT NULL) SELECT hour FROM hours)",
        )

    def channel_of_event(self, tenant: Tenant, event: int) -> str | None:
        """Return the channel of the session that an event is in."""
        row = first(
            self._db.rows(
                f"SELECT channel FROM sessions WHERE {TENANT} AND id ="
                f" (SELECT session FROM events WHERE {TENANT} AND id = :id)",
                {**owner(tenant), "id": event},
            )
        )
        return str(row[0]) if row else None

    def _stored(self, tenant: Tenant, event_id: str, within: str) -> StoredEvent | None:
        row = first(
            self._db.rows(
                f"SELECT {STORED_EVENT} FROM {STORED_FROM}"
                " WHERE e.account_id = :account_id AND e.live = :live"
                f" AND e.event_id = :event_id AND {within} ORDER BY e.id LIMIT 1",
                {**owner(tenant), "event_id": event_id},
            )
        )
        return stored_event(row) if row else None

    def web_events(
        self, tenant: Tenant, visitor: int, from_ms: int, to_ms: int
    ) -> Sequence[EventRow]:
        rows = self._db.rows(
            f"SELECT {_EVENT} FROM events WHERE {TENANT} AND visitor = :visitor"
            " AND occurred_at_ms BETWEEN :from_ms AND :to_ms"
            " AND url IS NOT NULL AND bot_reason IS NULL",
            {
                **owner(tenant),
                "visitor": visitor,
                "from_ms": from_ms,
                "to_ms": to_ms,
            },
        )
        return [_event_row(row) for row in rows]

    def web_event_rows(
        self, tenant: Tenant, rows: Iterable[int]
    ) -> Mapping[int, EventRow]:
        found = self._db.rows(
            f"SELECT {_EVENT} FROM events WHERE {TENANT}"
            f" AND id IN ({in_list(list(rows))})",
            owner(tenant),
        )
        return {row[0]: _event_row(row) for row in found}

    def set_session(self, tenant: Tenant, event: int, session: int | None) -> None:
        self._db.run(
            f"UPDATE events SET session = :session WHERE {TENANT} AND id = :id",
            {**owner(tenant), "id": event, "session": session},
        )
