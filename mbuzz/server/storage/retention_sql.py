"""SQL of forgetting what is old, and accounts that are gone; a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import TENANT, Connection, in_list, owner
from mbuzz.server.storage.erasure_order_sql import SqlErasureOrderStore
from mbuzz.server.storage.erasure_sql import SqlErasureStore
from mbuzz.server.storage.export_sql import SqlExportStore
from mbuzz.server.storage.people_sql import SqlPeopleStore
from mbuzz.server.storage.privacy_port import KeptAccount
from mbuzz.server.storage.salt_sql import SqlSaltStore
from mbuzz.server.storage.suppression_sql import SqlSuppressionStore

_HOUR_MS = 3_600_000

# Every table of a tenant's data and what its rows are known by, children first.
OF_TENANTS: Final = {
    "credits": "conversion, model, position",
    "refund_credits": "conversion, refund, model, position",
    "refunds": "id",
    "pending_aliases": "previous_id",
    "memberships": "rowid",
    "links": "visitor, linked_from_ms, identity",
    "conversions": "id",
    "events": "id",
    "sessions": "id",
    "session_hours": "hour, channel",
    "return_hours": "hour",
    "credit_hours": "model, hour, currency, channel",
    "credit_days": "model, day, currency, channel",
    "trainings": "id",
    "recredits": "model",
    "groups": "id",
    "group_calls": "call_id",
    "identities": "id",
    "visitors": "id",
    "replies": "idempotency_key",
    "suppressions": "digest",
    "suppression_secrets": "live",
    "daily_salts": "day",
    "erasures": "id",
}
# And of an account's own.
OF_ACCOUNTS: Final = {
    "logins": "digest",
    "users": "id",
    "api_keys": "id",
    "audit": "id",
    "model_versions": "model, version",
}

# That nothing is known of the visitor `v`, who may have been in a group, or another id.
_NOTHING = " AND ".join(
    f"NOT EXISTS (SELECT 1 FROM {table} t WHERE t.account_id = v.account_id"
    " AND t.live = v.live AND t.visitor = v.id)"
    for table in ("sessions", "events", "conversions", "memberships")
)


class SqlPrivacyStore(
    SqlPeopleStore,
    SqlErasureOrderStore,
    SqlErasureStore,
    SqlExportStore,
    SqlSuppressionStore,
    SqlSaltStore,
):
    """`PrivacyStore` in SQL; all but forgetting is in the bases."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._db = connection

    def kept_accounts(self) -> Sequence[KeptAccount]:
        rows = self._db.rows(
            "SELECT id, settings, deleted_at_ms FROM accounts ORDER BY id", {}
        )
        return [
            KeptAccount(id=row[0], settings=row[1], deleted_at_ms=row[2])
            for row in rows
        ]

    # -- what was recorded --

    def forget_events(self, tenant: Tenant, before_ms: int, most: int) -> int:
        """Delete events before *before_ms*; their sessions are sealed.

        Those of a session that went on until later wait for its end, so that the
        events of a session are all there or all gone.
        """
        rows = self._db.rows(
            "SELECT e.id, e.session FROM events e"
            " WHERE e.account_id = :account_id AND e.live = :live"
            " AND e.id_hour <= :hour AND e.occurred_at_ms < :before"
            " AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.id = e.session"
            " AND s.account_id = :account_id AND s.live = :live"
            " AND s.last_event_at_ms >= :before)"
            " ORDER BY e.id_hour LIMIT :most",
            {
                **owner(tenant),
                "hour": before_ms // _HOUR_MS,
                "before": before_ms,
                "most": most,
            },
        )
        for session in {row[1] for row in rows if row[1] is not None}:
            self._db.run(
                f"UPDATE sessions SET sealed = 1 WHERE {TENANT} AND id = :session",
                {**owner(tenant), "session": session},
            )
        self.delete_events(tenant, [row[0] for row in rows])
        return len(rows)

    def forget_bots(self, tenant: Tenant, before_ms: int, most: int) -> int:
        rows = self._db.rows(
            f"SELECT id FROM events WHERE {TENANT} AND bot_reason IS NOT NULL"
            " AND id_hour < :hour ORDER BY id_hour LIMIT :most",
            {**owner(tenant), "hour": before_ms // _HOUR_MS, "most": most},
        )
        self.delete_events(tenant, [row[0] for row in rows])
        return len(rows)

    def forget_sessions(
        self, tenant: Tenant, before_ms: int, now_ms: int, most: int
    ) -> int:
        """Delete sessions that ended before *before_ms*.

        Those stay that a conversion is credited to which is younger than its own
        lookback, or than a year: it may still have to be credited anew.
        """
        rows = self._db.rows(
            f"SELECT id FROM sessions WHERE {TENANT} AND started_at_ms < :before"
            " AND last_event_at_ms < :before AND NOT EXISTS (SELECT 1 FROM credits c"
            " JOIN conversions k ON k.id = c.conversion"
            " WHERE c.account_id = :account_id AND c.live = :live"
            " AND k.account_id = :account_id AND k.live = :live"
            " AND c.session = sessions.id AND k.converted_at_ms + MIN("
            "COALESCE(NULLIF(k.lookback_days, 0), 365), 365) * 86400000 >= :now)"
            " ORDER BY started_at_ms LIMIT :most",
            {
                **owner(tenant),
                "before": before_ms,
                "now": now_ms,
                "most": most,
            },
        )
        for (session,) in rows:
            self.drop_session(tenant, session)
        return len(rows)

    def forget_conversions(self, tenant: Tenant, before_ms: int, most: int) -> int:
        rows = self._db.rows(
            f"SELECT id FROM conversions WHERE {TENANT} AND converted_at_ms < :before"
            " ORDER BY converted_at_ms LIMIT :most",
            {**owner(tenant), "before": before_ms, "most": most},
        )
        for (conversion,) in rows:
            self.delete_conversion(tenant, conversion)
        return len(rows)

    # -- visitors of whom nothing is left --

    def idle_visitors(
        self, tenant: Tenant, before_ms: int, after: int, most: int
    ) -> tuple[Sequence[int], int | None]:
        """Look at *most* visitors from row *after* on.

        Returns:
            Those of whom nothing is known any more, and where to go on, None at the
            end.
        """
        rows = self._db.rows(
            f"SELECT id, first_seen_ms < :before AND {_NOTHING} FROM visitors v"
            " WHERE v.account_id = :account_id AND v.live = :live AND v.id > :after"
            " ORDER BY v.id LIMIT :most",
            {**owner(tenant), "before": before_ms, "after": after, "most": most},
        )
        idle = [row[0] for row in rows if row[1]]
        return idle, rows[-1][0] if len(rows) == most else None

    def forget_idle(self, tenant: Tenant, visitors: Iterable[int]) -> int:
        """Delete visitors and their links, unless something is known by now."""
        rows = self._db.rows(
            "SELECT id FROM visitors v WHERE v.account_id = :account_id"
            f" AND v.live = :live AND v.id IN ({in_list(list(visitors))})"
            f" AND {_NOTHING}",
            owner(tenant),
        )
        for (visitor,) in rows:
            values = {**owner(tenant), "visitor": visitor}
            for table in ("links", "pending_aliases"):
                self._db.run(
                    f"DELETE FROM {table} WHERE {TENANT} AND visitor = :visitor", values
                )
            self._db.run(
                f"DELETE FROM visitors WHERE {TENANT} AND id = :visitor", values
            )
        return len(rows)

    # -- what was kept for a while --

    def forget_replies(self, tenant: Tenant, before_ms: int, most: int) -> int:
        return self._db.run(
            f"DELETE FROM replies WHERE {TENANT} AND idempotency_key IN (SELECT"
            f" idempotency_key FROM replies WHERE {TENANT} AND created_at_ms < :before"
            " ORDER BY created_at_ms LIMIT :most)",
            {**owner(tenant), "before": before_ms, "most": most},
        )

    def forget_suppressions(self, tenant: Tenant, now_ms: int, most: int) -> int:
        return self._db.run(
            f"DELETE FROM suppressions WHERE {TENANT} AND digest IN (SELECT digest"
            f" FROM suppressions WHERE {TENANT} AND until_ms <= :now LIMIT :most)",
            {**owner(tenant), "now": now_ms, "most": most},
        )

    def forget_erasures(self, tenant: Tenant, before_ms: int, most: int) -> int:
        return self._db.run(
            f"DELETE FROM erasures WHERE {TENANT} AND id IN (SELECT id FROM erasures"
            f" WHERE {TENANT} AND scrubbed = 1 AND finished_at_ms < :before"
            " LIMIT :most)",
            {**owner(tenant), "before": before_ms, "most": most},
        )

    def forget_audit(self, account_id: int, before_ms: int, most: int) -> int:
        return self._db.run(
            "DELETE FROM audit WHERE account_id = :account_id AND id IN (SELECT id"
            " FROM audit WHERE account_id = :account_id AND at_ms < :before"
            " ORDER BY at_ms LIMIT :most)",
            {"account_id": account_id, "before": before_ms, "most": most},
        )

    def forget_logins(self, account_id: int, now_ms: int, most: int) -> int:
        return self._db.run(
            "DELETE FROM logins WHERE account_id = :account_id AND digest IN (SELECT"
            " digest FROM logins WHERE account_id = :account_id"
            " AND expires_at_ms <= :now LIMIT :most)",
            {"account_id": account_id, "now": now_ms, "most": most},
        )

    # -- accounts --

    def erase_account(self, account_id: int, most: int) -> int:
        """Delete up to *most* rows of an account; 0 says that nothing is left of it."""
        for live in (False, True):
            for table, key in OF_TENANTS.items():
                deleted = self._db.run(
                    f"DELETE FROM {table} WHERE {TENANT} AND ({key}) IN"
                    f" (SELECT {key} FROM {table} WHERE {TENANT} LIMIT :most)",
                    {**owner(Tenant(account_id, live)), "most": most},
                )
                if deleted:
                    return deleted
        values = {"account_id": account_id, "most": most}
        for table, key in OF_ACCOUNTS.items():
            deleted = self._db.run(
                f"DELETE FROM {table} WHERE account_id = :account_id AND ({key}) IN"
                f" (SELECT {key} FROM {table} WHERE account_id = :account_id"
                " LIMIT :most)",
                values,
            )
            if deleted:
                return deleted
        return self._db.run(
            "DELETE FROM accounts WHERE id = :account_id", {"account_id": account_id}
        )
