"""SQL of visitors, identities and the links between them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import TENANT, Connection, dump, first, owner


class SqlIdentityStore:
    """The part of `TrackingStore` about people."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def visitor(self, tenant: Tenant, visitor_id: str) -> int | None:
        row = first(
            self._db.rows(
                f"SELECT id FROM visitors WHERE {TENANT} AND visitor_id = :visitor_id",
                {**owner(tenant), "visitor_id": visitor_id},
            )
        )
        return row[0] if row else None

    def ensure_visitor(self, tenant: Tenant, visitor_id: str, seen_ms: int) -> int:
        found = self.visitor(tenant, visitor_id)
        if found is not None:
            return found
        rows = self._db.rows(
            "INSERT INTO visitors (account_id, live, visitor_id, first_seen_ms)"
            " VALUES (:account_id, :live, :visitor_id, :seen) RETURNING id",
            {**owner(tenant), "visitor_id": visitor_id, "seen": seen_ms},
        )
        return int(rows[0][0])

    def identity(self, tenant: Tenant, user_id: str) -> int | None:
        row = first(
            self._db.rows(
                f"SELECT id FROM identities WHERE {TENANT} AND user_id = :user_id",
                {**owner(tenant), "user_id": user_id},
            )
        )
        return row[0] if row else None

    def ensure_identity(
        self, tenant: Tenant, user_id: str, public_id: str, now_ms: int
    ) -> int:
        found = self.identity(tenant, user_id)
        if found is not None:
            return found
        rows = self._db.rows(
            "INSERT INTO identities (account_id, live, public_id, user_id, traits,"
            " created_at_ms) VALUES"
            " (:account_id, :live, :public_id, :user_id, '{}', :now) RETURNING id",
            {
                **owner(tenant),
                "public_id": public_id,
                "user_id": user_id,
                "now": now_ms,
            },
        )
        identity = int(rows[0][0])
        self._db.run(
            f"UPDATE identities SET root_id = :id WHERE {TENANT} AND id = :id",
            {**owner(tenant), "id": identity},
        )
        return identity

    def _of_identity(self, tenant: Tenant, identity: int, column: str) -> object:
        ((value,),) = self._db.rows(
            f"SELECT {column} FROM identities WHERE {TENANT} AND id = :id",
            {**owner(tenant), "id": identity},
        )
        return value

    def identity_public_id(self, tenant: Tenant, identity: int) -> str:
        return str(self._of_identity(tenant, identity, "public_id"))

    def identity_created_at(self, tenant: Tenant, identity: int) -> int:
        return int(str(self._of_identity(tenant, identity, "created_at_ms")))

    def identities_by_email(self, tenant: Tenant, digest: str) -> Sequence[int]:
        """Return the persons with that e-mail, two at most: more are no more use."""
        rows = self._db.rows(
            f"SELECT DISTINCT root_id FROM identities WHERE {TENANT}"
            " AND email_hash = :digest LIMIT 2",
            {**owner(tenant), "digest": digest},
        )
        return [row[0] for row in rows]

    def traits(
        self, tenant: Tenant, identity: int
    ) -> tuple[dict[str, object], dict[str, object]]:
        """Return the traits, and when each was said."""
        ((traits, said),) = self._db.rows(
            f"SELECT traits, said FROM identities WHERE {TENANT} AND id = :id",
            {**owner(tenant), "id": identity},
        )
        return json.loads(traits), json.loads(said)

    def set_traits(
        self,
        tenant: Tenant,
        identity: int,
        traits: Mapping[str, object],
        said: Mapping[str, object],
        email_hash: str | None,
    ) -> None:
        self._db.run(
            "UPDATE identities SET traits = :traits, said = :said,"
            f" email_hash = :email_hash WHERE {TENANT} AND id = :id",
            {
                **owner(tenant),
                "id": identity,
                "traits": dump(traits),
                "said": dump(said),
                "email_hash": email_hash,
            },
        )

    def add_pending_alias(
        self,
        tenant: Tenant,
        previous_id: str,
        identity: int,
        visitor: int,
        said_ms: int,
    ) -> None:
        self._db.run(
            "INSERT INTO pending_aliases (account_id, live, previous_id, identity,"
            " visitor, said_ms) VALUES"
            " (:account_id, :live, :previous_id, :identity, :visitor, :said_ms)"
            " ON CONFLICT DO UPDATE SET identity = excluded.identity,"
            " said_ms = excluded.said_ms",
            {
                **owner(tenant),
                "previous_id": previous_id,
                "identity": identity,
                "visitor": visitor,
                "said_ms": said_ms,
            },
        )

    def take_pending_alias(
        self, tenant: Tenant, previous_id: str
    ) -> tuple[int, int] | None:
        """Return the identity that waited for an id, and since when; no longer."""
        row = first(
            self._db.rows(
                f"DELETE FROM pending_aliases WHERE {TENANT}"
                " AND previous_id = :previous_id RETURNING identity, said_ms",
                {**owner(tenant), "previous_id": previous_id},
            )
        )
        return (row[0], row[1]) if row else None

    def expire_pending_aliases(self, tenant: Tenant, before_ms: int) -> int:
        """Forget what was said before *before_ms* of visitors that never came.

        Returns how many links that ended. Of those that came the link stays, and of
        those that were said to be the same person again since.
        """
        mine = {**owner(tenant), "before": before_ms}
        never_came = " AND ".join(
            f"NOT EXISTS (SELECT 1 FROM {table} t WHERE t.account_id = :account_id"
            " AND t.live = :live AND t.visitor = p.visitor)"
            for table in ("events", "sessions", "conversions")
        )
        gone = self._db.run(
            f"DELETE FROM links WHERE {TENANT} AND (visitor, identity, said_ms) IN"
            " (SELECT p.visitor, p.identity, p.said_ms FROM pending_aliases p"
            " WHERE p.account_id = :account_id AND p.live = :live"
            f" AND p.said_ms < :before AND {never_came})",
            mine,
        )
        self._db.run(
            f"DELETE FROM pending_aliases WHERE {TENANT} AND said_ms < :before", mine
        )
        return gone

    def root(self, tenant: Tenant, identity: int) -> int:
        return int(str(self._of_identity(tenant, identity, "root_id")))

    def group(self, tenant: Tenant, root: int) -> Sequence[int]:
        rows = self._db.rows(
            f"SELECT id FROM identities WHERE {TENANT} AND root_id = :root",
            {**owner(tenant), "root": root},
        )
        return [row[0] for row in rows]

    def set_root(self, tenant: Tenant, old_root: int, new_root: int) -> None:
        self._db.run(
            f"UPDATE identities SET root_id = :new WHERE {TENANT} AND root_id = :old",
            {**owner(tenant), "old": old_root, "new": new_root},
        )

    def links_end(self, tenant: Tenant, visitor: int) -> int:
        """Return when the last closed link of a visitor ended, 0 if there is none."""
        ((until_ms,),) = self._db.rows(
            f"SELECT COALESCE(MAX(linked_until_ms), 0) FROM links WHERE {TENANT}"
            " AND visitor = :visitor",
            {**owner(tenant), "visitor": visitor},
        )
        return int(until_ms)

    def link_at(self, tenant: Tenant, visitor: int, at_ms: int) -> int | None:
        row = first(
            self._db.rows(
                f"SELECT identity FROM links WHERE {TENANT} AND visitor = :visitor"
                " AND linked_from_ms <= :at"
                " AND (linked_until_ms IS NULL OR linked_until_ms > :at)",
                {**owner(tenant), "visitor": visitor, "at": at_ms},
            )
        )
        return row[0] if row else None

    def current_link(self, tenant: Tenant, visitor: int) -> tuple[int, int] | None:
        row = first(
            self._db.rows(
                "SELECT identity, said_ms FROM links"
                f" WHERE {TENANT} AND visitor = :visitor AND linked_until_ms IS NULL",
                {**owner(tenant), "visitor": visitor},
            )
        )
        return (row[0], row[1]) if row else None

    def linked_identities(self, tenant: Tenant, visitor: int) -> Sequence[int]:
        rows = self._db.rows(
            f"SELECT DISTINCT identity FROM links WHERE {TENANT}"
            " AND visitor = :visitor",
            {**owner(tenant), "visitor": visitor},
        )
        return [row[0] for row in rows]

    def add_link(
        self, tenant: Tenant, visitor: int, identity: int, from_ms: int, said_ms: int
    ) -> None:
        self._db.run(
            "INSERT INTO links"
            " (account_id, live, visitor, identity, linked_from_ms, said_ms)"
            " VALUES (:account_id, :live, :visitor, :identity, :from_ms, :said_ms)"
            " ON CONFLICT (account_id, live, visitor, linked_from_ms, identity)"
            " DO UPDATE SET linked_until_ms = NULL, said_ms = excluded.said_ms",
            {
                **owner(tenant),
                "visitor": visitor,
                "identity": identity,
                "from_ms": from_ms,
                "said_ms": said_ms,
            },
        )

    def confirm_link(self, tenant: Tenant, visitor: int, said_ms: int) -> None:
        self._db.run(
            f"UPDATE links SET said_ms = :said_ms WHERE {TENANT}"
            " AND visitor = :visitor AND linked_until_ms IS NULL",
            {**owner(tenant), "visitor": visitor, "said_ms": said_ms},
        )

    def close_link(self, tenant: Tenant, visitor: int, until_ms: int) -> None:
        self._db.run(
            f"UPDATE links SET linked_until_ms = :until WHERE {TENANT}"
            " AND visitor = :visitor AND linked_until_ms IS NULL",
            {**owner(tenant), "visitor": visitor, "until": until_ms},
        )
