"""SQL of credit that is given anew under a model: how far that is, and what is next."""

from __future__ import annotations

from collections.abc import Sequence

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import TENANT, owner
from mbuzz.server.storage.conversion_sql import CONVERSION, conversion_of
from mbuzz.server.storage.model_port import Recredit
from mbuzz.server.storage.rows.conversions import ConversionRow
from mbuzz.server.storage.training_sql import SqlTrainingStore


class SqlModelStore(SqlTrainingStore):
    """`ModelStore` in SQL; training is in the base."""

    def ask_recredit(self, tenant: Tenant, model: str, from_ms: int) -> None:
        """Have all conversions credited anew under a model, from that moment on."""
        self._db.run(
            "INSERT INTO recredits (account_id, live, model, reached, last,"
            " from_ms) SELECT :account_id, :live, :model, 0, COALESCE(MAX(id), 0),"
            f" :from_ms FROM conversions WHERE {TENANT}"
            " ON CONFLICT (account_id, live, model) DO UPDATE SET reached = 0,"
            " last = excluded.last, from_ms = excluded.from_ms,"
            " finished_at_ms = NULL",
            {**owner(tenant), "model": model, "from_ms": from_ms},
        )

    def recredits(self, tenant: Tenant) -> Sequence[Recredit]:
        rows = self._db.rows(
            "SELECT model, reached, last, from_ms, finished_at_ms FROM recredits"
            f" WHERE {TENANT} ORDER BY model",
            owner(tenant),
        )
        return [
            Recredit(
                model=row[0],
                reached=row[1],
                last=row[2],
                from_ms=row[3],
                finished_at_ms=row[4],
            )
            for row in rows
        ]

    def open_recredits(self) -> Sequence[Tenant]:
        """Return whose credit is still to be given anew, of all accounts."""
        rows = self._db.rows(
            "SELECT DISTINCT account_id, live FROM recredits"
            " WHERE finished_at_ms IS NULL ORDER BY account_id, live",
            {},
        )
        return [Tenant(row[0], bool(row[1])) for row in rows]

    def advance_recredit(
        self, tenant: Tenant, model: str, reached: int, finished_at_ms: int | None
    ) -> None:
        self._db.run(
            "UPDATE recredits SET reached = :reached, finished_at_ms = :finished"
            f" WHERE {TENANT} AND model = :model",
            {
                **owner(tenant),
                "model": model,
                "reached": reached,
                "finished": finished_at_ms,
            },
        )

    def conversions_after(
        self, tenant: Tenant, after: int, most: int
    ) -> Sequence[ConversionRow]:
        """Return conversions by their rows, from *after* on."""
        rows = self._db.rows(
            f"{CONVERSION} AND c.id > :after ORDER BY c.id LIMIT :most",
            {**owner(tenant), "after": after, "most": most},
        )
        return [conversion_of(row) for row in rows]

    def recent_conversions(
        self, tenant: Tenant, from_ms: int, to_ms: int, currency: str, most: int
    ) -> Sequence[ConversionRow]:
        """Return the latest conversions of a period that are in the totals."""
        rows = self._db.rows(
            f"{CONVERSION} AND c.converted_at_ms >= :from_ms"
            " AND c.converted_at_ms < :to_ms AND c.counted = 1"
            " AND c.currency = :currency"
            " ORDER BY c.converted_at_ms DESC, c.id DESC LIMIT :most",
            {
                **owner(tenant),
                "from_ms": from_ms,
                "to_ms": to_ms,
                "currency": currency,
                "most": most,
            },
        )
        return [conversion_of(row) for row in rows]
