"""SQL of the orders to erase somebody, and of how far each is carried out."""

from __future__ import annotations

import json

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import (
    TENANT,
    Connection,
    Row,
    dump,
    first,
    owner,
)
from mbuzz.server.storage.privacy_port import Erasure, Person

_ERASURE = (
    "SELECT id, account_id, live, public_id, actor, status, scope, counts,"
    " created_at_ms, finished_at_ms FROM erasures"
)


def _erasure(row: Row) -> Erasure:
    scope = json.loads(row[6])
    return Erasure(
        id=row[0],
        tenant=Tenant(row[1], bool(row[2])),
        public_id=row[3],
        actor=row[4],
        status=row[5],
        person=Person(**{name: tuple(rows) for name, rows in scope.items()}),
        counts=json.loads(row[7]),
        created_at_ms=row[8],
        finished_at_ms=row[9],
    )


def _scope(person: Person) -> str:
    return dump(
        {
            "visitors": person.visitors,
            "shared": person.shared,
            "identities": person.identities,
        }
    )


class SqlErasureOrderStore:
    """The part of `PrivacyStore` about orders to erase."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add_erasure(
        self, tenant: Tenant, public_id: str, actor: str, person: Person, now_ms: int
    ) -> Erasure:
        rows = self._db.rows(
            "INSERT INTO erasures (account_id, live, public_id, actor, status, scope,"
            " counts, created_at_ms) VALUES (:account_id, :live, :public_id, :actor,"
            " 'pending', :scope, '{}', :now) RETURNING id",
            {
                **owner(tenant),
                "public_id": public_id,
                "actor": actor,
                "scope": _scope(person),
                "now": now_ms,
            },
        )
        return Erasure(
            id=rows[0][0],
            public_id=public_id,
            tenant=tenant,
            actor=actor,
            status="pending",
            person=person,
            counts={},
            created_at_ms=now_ms,
        )

    def save_erasure(self, tenant: Tenant, erasure: Erasure) -> None:
        self._db.run(
            "UPDATE erasures SET status = :status, scope = :scope, counts = :counts,"
            f" finished_at_ms = :finished WHERE {TENANT} AND id = :id",
            {
                **owner(tenant),
                "id": erasure.id,
                "status": erasure.status,
                "scope": _scope(erasure.person),
                "counts": dump(dict(erasure.counts)),
                "finished": erasure.finished_at_ms,
            },
        )

    def erasure(self, tenant: Tenant, public_id: str) -> Erasure | None:
        row = first(
            self._db.rows(
                f"{_ERASURE} WHERE {TENANT} AND public_id = :public_id",
                {**owner(tenant), "public_id": public_id},
            )
        )
        return _erasure(row) if row else None

    def open_erasure(self, tenant: Tenant, person: Person) -> Erasure | None:
        """Return the erasure of exactly this person that is not done yet."""
        row = first(
            self._db.rows(
                f"{_ERASURE} WHERE {TENANT} AND status IN ('pending', 'running')"
                " AND scope = :scope ORDER BY id LIMIT 1",
                {**owner(tenant), "scope": _scope(person)},
            )
        )
        return _erasure(row) if row else None

    def next_erasure(self) -> Erasure | None:
        """Return the oldest erasure that is not done, of any account."""
        row = first(
            self._db.rows(
                f"{_ERASURE} WHERE status IN ('pending', 'running')"
                " ORDER BY id LIMIT 1",
                {},
            )
        )
        return _erasure(row) if row else None

    def unscrubbed(self) -> bool:
        """Tell whether what was erased may still stand in the journal."""
        return bool(
            self._db.rows(
                "SELECT 1 FROM erasures WHERE status = 'done' AND scrubbed = 0 LIMIT 1",
                {},
            )
        )

    def set_scrubbed(self) -> None:
        self._db.run(
            "UPDATE erasures SET scrubbed = 1 WHERE status = 'done' AND scrubbed = 0",
            {},
        )
