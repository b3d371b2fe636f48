"""SQL of refunds, and of what each takes back from whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mbuzz.server.model import Credit, Tenant
from mbuzz.server.storage.connection import TENANT, Connection, Row, owner
from mbuzz.server.storage.rows.conversions import ConversionRow, NewRefund, RefundRow

_REFUND = (
    "SELECT id, public_id, refund_id, amount_minor, reason, refunded_at_ms"
    f" FROM refunds WHERE {TENANT} AND conversion = :conversion"
)

_CREDIT = (
    *("account_id", "live", "conversion", "refund", "model", "position", "session"),
    *("channel", "revenue", "currency", "converted_at_ms", "refunded_at_ms"),
)


def _refund(row: Row) -> RefundRow:
    return RefundRow(
        id=row[0],
        public_id=row[1],
        refund_id=row[2],
        amount_minor=row[3],
        reason=row[4],
        refunded_at_ms=row[5],
    )


class SqlRefundStore:
    """The part of `TrackingStore` about refunds."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def insert_refund(self, tenant: Tenant, refund: NewRefund) -> None:
        whose = {**owner(tenant), "conversion": refund.conversion}
        self._db.run(
            "INSERT INTO refunds (account_id, live, public_id, conversion, refund_id,"
            " amount_minor, reason, refunded_at_ms, received_at_ms) VALUES"
            " (:account_id, :live, :public_id, :conversion, :refund_id, :amount,"
            " :reason, :refunded_at_ms, :received_at_ms)",
            {
                **whose,
                "public_id": refund.public_id,
                "refund_id": refund.refund_id,
                "amount": refund.amount_minor,
                "reason": refund.reason,
                "refunded_at_ms": refund.refunded_at_ms,
                "received_at_ms": refund.received_at_ms,
            },
        )
        self._db.run(
            "UPDATE conversions SET refunded_minor = refunded_minor + :amount"
            f" WHERE {TENANT} AND id = :conversion",
            {**whose, "amount": refund.amount_minor},
        )

    def refunds(self, tenant: Tenant, conversion: int) -> Sequence[RefundRow]:
        """Return a conversion's refunds in the order in which they came."""
        rows = self._db.rows(
            f"{_REFUND} ORDER BY id", {**owner(tenant), "conversion": conversion}
        )
        return [_refund(row) for row in rows]

    def replace_refund_credits(
        self,
        tenant: Tenant,
        conversion: ConversionRow,
        taken: Iterable[tuple[RefundRow, Sequence[Credit]]],
    ) -> None:
        whose = {**owner(tenant), "conversion": conversion.id}
        self._db.run(
            f"DELETE FROM refund_credits WHERE {TENANT} AND conversion = :conversion",
            whose,
        )
        rows = [
            (
                *(tenant.account_id, int(tenant.live), conversion.id, refund.id),
                credit.model,
                credit.position,
                (credit.touchpoint.session_id or None) if credit.touchpoint else None,
                credit.channel,
                credit.revenue,
                conversion.currency,
                conversion.converted_at_ms,
                refund.refunded_at_ms,
            )
            for refund, credits_ in taken
            for credit in credits_
        ]
        self._db.insert("refund_credits", _CREDIT, rows)

    def refund_credits(
        self, tenant: Tenant, conversion: int
    ) -> Sequence[tuple[int, str, int, str, int]]:
        """Return refund, model, position, channel and revenue of each."""
        rows = self._db.rows(
            "SELECT refund, model, position, channel, revenue FROM refund_credits"
            f" WHERE {TENANT} AND conversion = :conversion"
            " ORDER BY refund, model, position",
            {**owner(tenant), "conversion": conversion},
        )
        return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]
