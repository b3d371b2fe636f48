"""SQL of conversions, the journeys before them, and their credits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from mbuzz.server.model import Credit, Tenant, Touchpoint
from mbuzz.server.storage.connection import Connection, Row, first, in_list, owner
from mbuzz.server.storage.port import ConversionRow, NewConversion

_CONVERSION = (
    "SELECT c.id, c.public_id, c.conversion_type, c.visitor, v.visitor_id, c.identity,"
    " c.revenue_minor, c.currency, c.converted_at_ms FROM conversions c"
    " LEFT JOIN visitors v ON v.id = c.visitor"
    " WHERE c.account_id = :account_id AND c.live = :live"
)
_TOUCHPOINT = "s.id, s.public_id, s.channel, s.started_at_ms, s.initial_utm"


def _conversion(row: Row) -> ConversionRow:
    return ConversionRow(
        id=row[0],
        public_id=row[1],
        conversion_type=row[2],
        visitor=row[3],
        visitor_id=row[4],
        identity=row[5],
        revenue_minor=row[6],
        currency=row[7],
        converted_at_ms=row[8],
    )


def _touchpoint(row: Row) -> Touchpoint:
    return Touchpoint(
        session_id=row[0],
        public_id=row[1],
        channel=row[2],
        started_at_ms=row[3],
        utm=json.loads(row[4]),
    )


class SqlConversionStore:
    """The part of `TrackingStore` about conversions."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def insert_conversion(
        self, tenant: Tenant, conversion: NewConversion
    ) -> int | None:
        row = first(
            self._db.rows(
                "INSERT INTO conversions (account_id, live, public_id, dedupe_key,"
                " conversion_type, visitor, identity, event, revenue_minor, currency,"
                " converted_at_ms, received_at_ms, is_acquisition, properties) VALUES"
                " (:account_id, :live, :public_id, :dedupe_key, :conversion_type,"
                " :visitor, :identity, :event, :revenue_minor, :currency,"
                " :converted_at_ms, :received_at_ms, :is_acquisition, :properties)"
                " ON CONFLICT DO NOTHING RETURNING id",
                {
                    **owner(tenant),
                    "public_id": conversion.public_id,
                    "dedupe_key": conversion.dedupe_key,
                    "conversion_type": conversion.conversion_type,
                    "visitor": conversion.visitor,
                    "identity": conversion.identity,
                    "event": conversion.event,
                    "revenue_minor": conversion.revenue_minor,
                    "currency": conversion.currency,
                    "converted_at_ms": conversion.converted_at_ms,
                    "received_at_ms": conversion.received_at_ms,
                    "is_acquisition": int(conversion.is_acquisition),
                    "properties": json.dumps(
                        dict(conversion.properties), separators=(",", ":")
                    ),
                },
            )
        )
        return int(row[0]) if row else None

    def conversion(self, tenant: Tenant, row: int) -> ConversionRow:
        (found,) = self._db.rows(
            f"{_CONVERSION} AND c.id = :id", {**owner(tenant), "id": row}
        )
        return _conversion(found)

    def find_conversion(
        self, tenant: Tenant, public_id: str, dedupe_key: str | None
    ) -> ConversionRow | None:
        row = first(
            self._db.rows(
                f"{_CONVERSION}"
                " AND (c.public_id = :public_id OR c.dedupe_key = :dedupe_key)"
                " ORDER BY c.id LIMIT 1",
                {
                    **owner(tenant),
                    "public_id": public_id,
                    "dedupe_key": dedupe_key,
                },
            )
        )
        return _conversion(row) if row else None

    def conversions_of(
        self,
        tenant: Tenant,
        identities: Iterable[int],
        visitors: Iterable[int],
        from_ms: int,
    ) -> Sequence[ConversionRow]:
        rows = self._db.rows(  # but the frozen: what they were credited to is gone
            f"{_CONVERSION} AND c.converted_at_ms >= :from_ms AND c.frozen = 0"
            f" AND (c.identity IN ({in_list(list(identities))})"
            f" OR c.visitor IN ({in_list(list(visitors))}))",
            {**owner(tenant), "from_ms": from_ms},
        )
        return [_conversion(row) for row in rows]

    def linked_visitors(
        self, tenant: Tenant, identities: Iterable[int]
    ) -> Sequence[int]:
        rows = self._db.rows(
            "SELECT DISTINCT visitor FROM links"
            " WHERE account_id = :account_id AND live = :live"
            f" AND identity IN ({in_list(list(identities))})",
            owner(tenant),
        )
        return [row[0] for row in rows]

    def touchpoints_of_identities(
        self, tenant: Tenant, identities: Iterable[int], until_ms: int
    ) -> Sequence[Touchpoint]:
        rows = self._db.rows(
            f"SELECT {_TOUCHPOINT} FROM links l JOIN sessions s"
            " ON s.account_id = l.account_id AND s.live = l.live"
            " AND s.visitor = l.visitor AND s.started_at_ms >= l.linked_from_ms"
            " AND (l.linked_until_ms IS NULL OR s.started_at_ms < l.linked_until_ms)"
            " WHERE l.account_id = :account_id AND l.live = :live"
            f" AND l.identity IN ({in_list(list(identities))})"
            " AND s.started_at_ms <= :until",
            {**owner(tenant), "until": until_ms},
        )
        return [_touchpoint(row) for row in rows]

    def touchpoints_of_visitor(
        self, tenant: Tenant, visitor: int, until_ms: int
    ) -> Sequence[Touchpoint]:
        rows = self._db.rows(
            f"SELECT {_TOUCHPOINT} FROM sessions s"
            " WHERE s.account_id = :account_id AND s.live = :live"
            " AND s.visitor = :visitor AND s.started_at_ms <= :until",
            {**owner(tenant), "visitor": visitor, "until": until_ms},
        )
        return [_touchpoint(row) for row in rows]

    def replace_credits(
        self, tenant: Tenant, conversion: ConversionRow, credits_: Iterable[Credit]
    ) -> None:
        whose = {**owner(tenant), "conversion": conversion.id}
        self._db.run(
            "DELETE FROM credits WHERE account_id = :account_id AND live = :live"
            " AND conversion = :conversion",
            whose,
        )
        for credit in credits_:
            touchpoint = credit.touchpoint
            self._db.run(
                "INSERT INTO credits (account_id, live, model, conversion, position,"
                " session, channel, credit, revenue, currency, converted_at_ms) VALUES"
                " (:account_id, :live, :model, :conversion, :position, :session,"
                " :channel, :credit, :revenue, :currency, :converted_at_ms)",
                {
                    **whose,
                    "model": credit.model,
                    "position": credit.position,
                    "session": touchpoint.session_id if touchpoint else None,
                    "channel": credit.channel,
                    "credit": credit.credit,
                    "revenue": credit.revenue,
                    "currency": conversion.currency,
                    "converted_at_ms": conversion.converted_at_ms,
                },
            )
        self._db.run(
            "UPDATE conversions SET attributed_version = attributed_version + 1"
            " WHERE account_id = :account_id AND live = :live AND id = :conversion",
            whose,
        )

    def credits(self, tenant: Tenant, conversion: int) -> Sequence[Credit]:
        rows = self._db.rows(
            "SELECT c.model, c.position, c.credit, c.revenue,"
            f" {_TOUCHPOINT} FROM credits c"
            " LEFT JOIN sessions s ON s.id = c.session"
            " WHERE c.account_id = :account_id AND c.live = :live"
            " AND c.conversion = :conversion ORDER BY c.model, c.position",
            {**owner(tenant), "conversion": conversion},
        )
        return [
            Credit(
                model=row[0],
                position=row[1],
                credit=row[2],
                revenue=row[3],
                touchpoint=_touchpoint(row[4:]) if row[4] is not None else None,
            )
            for row in rows
        ]
