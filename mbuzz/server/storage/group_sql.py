"""SQL of groups, their traits and their members."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import TENANT, Connection, dump, first, owner


class SqlGroupStore:
    """The part of `TrackingStore` about groups."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def claim_group_call(self, tenant: Tenant, call_id: str) -> bool:
        """Tell whether *call_id* was free; it is no longer."""
        added = self._db.run(
            "INSERT INTO group_calls (account_id, live, call_id)"
            " VALUES (:account_id, :live, :call_id) ON CONFLICT DO NOTHING",
            {**owner(tenant), "call_id": call_id},
        )
        return added > 0

    def ensure_group(self, tenant: Tenant, group_id: str, now_ms: int) -> int:
        row = first(
            self._db.rows(
                f"SELECT id FROM groups WHERE {TENANT} AND group_id = :group_id",
                {**owner(tenant), "group_id": group_id},
            )
        )
        if row is not None:
            return int(row[0])
        rows = self._db.rows(
            "INSERT INTO groups (account_id, live, group_id, traits, said, said_ms)"
            " VALUES (:account_id, :live, :group_id, '{}', '{}', :now) RETURNING id",
            {**owner(tenant), "group_id": group_id, "now": now_ms},
        )
        return int(rows[0][0])

    def merge_group_traits(
        self, tenant: Tenant, group: int, traits: Mapping[str, object], said_ms: int
    ) -> None:
        """Keep of each trait what was said last; at one time, what came last."""
        ((kept, said, latest_ms),) = self._db.rows(
            f"SELECT traits, said, said_ms FROM groups WHERE {TENANT} AND id = :id",
            {**owner(tenant), "id": group},
        )
        values, times = json.loads(kept), json.loads(said)
        for name, value in traits.items():
            if said_ms >= times.get(name, said_ms):
                values[name], times[name] = value, said_ms
        self._db.run(
            "UPDATE groups SET traits = :traits, said = :said, said_ms = :said_ms"
            f" WHERE {TENANT} AND id = :id",
            {
                **owner(tenant),
                "id": group,
                "traits": dump(values),
                "said": dump(times),
                "said_ms": max(latest_ms, said_ms),
            },
        )

    def add_member(
        self,
        tenant: Tenant,
        group: int,
        identity: int | None,
        visitor: int | None,
        since_ms: int,
    ) -> None:
        """Put an identity or else a visitor into *group*; the earliest time counts."""
        member = "visitor" if identity is None else "identity"
        self._db.run(
            f"INSERT INTO memberships (account_id, live, member_of, {member}, since_ms)"
            " VALUES (:account_id, :live, :group, :member, :since_ms)"
            f" ON CONFLICT (account_id, live, member_of, {member})"
            " DO UPDATE SET since_ms = excluded.since_ms"
            " WHERE excluded.since_ms < memberships.since_ms",
            {
                **owner(tenant),
                "group": group,
                "member": visitor if identity is None else identity,
                "since_ms": since_ms,
            },
        )
