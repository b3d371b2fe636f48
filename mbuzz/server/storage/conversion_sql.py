"""SQL of conversions, the journeys before them, and their credits."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence

from mbuzz.server.model import Credit, Tenant, Touchpoint
from mbuzz.server.storage.connection import (
    TENANT,
    Connection,
    Row,
    dump,
    first,
    in_list,
    owner,
)
from mbuzz.server.storage.rows.conversions import ConversionRow, NewConversion, Standing

_COLUMNS = (
    "SELECT c.id, c.public_id, c.conversion_type, c.visitor, v.visitor_id, c.identity,"
    " i.user_id, c.revenue_minor, c.currency, c.converted_at_ms, c.is_acquisition,"
    " c.inherits, c.lookback_days, c.counting, c.funnel, c.refunded_minor,"
    " c.voided_at_ms, c.void_reason, c.counted, c.acquires, c.inherited_from, c.flags,"
    " c.attributed_version, c.frozen"
)
_OTHERS = (
    " LEFT JOIN visitors v ON v.id = c.visitor"
    " LEFT JOIN identities i ON i.id = c.identity"
    " WHERE c.account_id = :account_id AND c.live = :live"
)
CONVERSION = f"{_COLUMNS} FROM conversions c{_OTHERS}"
_OF_PEOPLE = (
    f"{_COLUMNS} FROM (SELECT k.id FROM json_each(:identities) j"
    " CROSS JOIN conversions k ON k.identity = j.value"
    " WHERE k.account_id = :account_id AND k.live = :live"
    " UNION SELECT k.id FROM json_each(:visitors) j"
    " CROSS JOIN conversions k ON k.visitor = j.value"
    " WHERE k.account_id = :account_id AND k.live = :live) t"
    f" CROSS JOIN conversions c ON c.id = t.id{_OTHERS}"
)
_TOUCHPOINT = "s.id, s.public_id, s.channel, s.started_at_ms, s.initial_utm"
# Of one visitor what ended first was first, as the fold has it.
_IN_ORDER = f"{_TOUCHPOINT}, v.visitor_id, s.last_event_at_ms, s.landing_url"
_CREDIT = (
    *("account_id", "live", "conversion", "currency", "converted_at_ms", "model"),
    *("position", "session", "channel", "credit", "revenue", "length", "before_ms"),
    *("role", "weight", "version"),
)


def conversion_of(row: Row) -> ConversionRow:
    """Return the conversion that a row of `CONVERSION` is."""
    return ConversionRow(
        id=row[0],
        public_id=row[1],
        conversion_type=row[2],
        visitor=row[3],
        visitor_id=row[4],
        identity=row[5],
        user_id=row[6],
        revenue_minor=row[7],
        currency=row[8],
        converted_at_ms=row[9],
        is_acquisition=bool(row[10]),
        inherits=bool(row[11]),
        lookback_days=row[12],
        counting=row[13],
        funnel=row[14],
        refunded_minor=row[15],
        voided_at_ms=row[16],
        void_reason=row[17],
        standing=Standing(bool(row[18]), bool(row[19]), row[20]),
        flags=frozenset(row[21].split()),
        attributed_version=row[22],
        frozen=bool(row[23]),
    )


def _touchpoint(row: Row) -> Touchpoint:
    return Touchpoint(
        session_id=row[0],
        public_id=row[1],
        channel=row[2],
        started_at_ms=row[3],
        utm=json.loads(row[4]),
        order=(row[5], row[6], row[7]) if len(row) > 5 else ("", 0, ""),
    )


def _people(identities: Iterable[int], visitors: Iterable[int]) -> dict[str, object]:
    """Return the parameters of `_OF_PEOPLE`."""
    return {
        "identities": json.dumps(list(identities)),
        "visitors": json.dumps(list(visitors)),
    }


class SqlConversionStore:
    """The part of `TrackingStore` about conversions."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def insert_conversion(
        self, tenant: Tenant, conversion: NewConversion
    ) -> int | None:
        values = {
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
            "inherits": int(conversion.inherits),
            "lookback_days": conversion.lookback_days,
            "counting": conversion.counting,
            "funnel": conversion.funnel,
            "correlation": (
                dump(dict(conversion.correlation)) if conversion.correlation else None
            ),
            "flags": " ".join(sorted(conversion.flags)),
            "properties": dump(dict(conversion.properties)),
        }
        marks = ", ".join(f":{name}" for name in values)
        row = first(
            self._db.rows(
                f"INSERT INTO conversions ({', '.join(values)}) VALUES ({marks})"
                " ON CONFLICT DO NOTHING RETURNING id",
                values,
            )
        )
        return int(row[0]) if row else None

    def conversion(self, tenant: Tenant, row: int) -> ConversionRow:
        (found,) = self._db.rows(
            f"{CONVERSION} AND c.id = :id", {**owner(tenant), "id": row}
        )
        return conversion_of(found)

    def kept_conversion(self, tenant: Tenant, row: int) -> ConversionRow | None:
        found = first(
            self._db.rows(f"{CONVERSION} AND c.id = :id", {**owner(tenant), "id": row})
        )
        return conversion_of(found) if found else None

    def find_conversion(
        self, tenant: Tenant, public_id: str, dedupe_key: str | None
    ) -> ConversionRow | None:
        row = first(
            self._db.rows(
                f"{CONVERSION}"
                " AND (c.public_id = :public_id OR c.dedupe_key = :dedupe_key)"
                " ORDER BY c.id LIMIT 1",
                {
                    **owner(tenant),
                    "public_id": public_id,
                    "dedupe_key": dedupe_key,
                },
            )
        )
        return conversion_of(row) if row else None

    def conversion_details(
        self, tenant: Tenant, row: int
    ) -> tuple[dict[str, object], dict[str, object]]:
        ((properties, correlation),) = self._db.rows(
            f"SELECT properties, correlation FROM conversions WHERE {TENANT}"
            " AND id = :id",
            {**owner(tenant), "id": row},
        )
        return json.loads(properties), json.loads(correlation or "{}")

    def flag_conversion(self, tenant: Tenant, row: int, flag: str) -> None:
        self._db.run(
            "UPDATE conversions SET flags = trim(flags || ' ' || :flag)"
            f" WHERE {TENANT} AND id = :id"
            " AND instr(' ' || flags || ' ', ' ' || :flag || ' ') = 0",
            {**owner(tenant), "id": row, "flag": flag},
        )

    def void_conversion(
        self, tenant: Tenant, row: int, at_ms: int, reason: str | None
    ) -> None:
        self._db.run(
            "UPDATE conversions SET voided_at_ms = :at, void_reason = :reason"
            f" WHERE {TENANT} AND id = :id",
            {**owner(tenant), "id": row, "at": at_ms, "reason": reason},
        )

    def conversions_of(
        self,
        tenant: Tenant,
        identities: Iterable[int],
        visitors: Iterable[int],
        from_ms: int,
    ) -> Sequence[ConversionRow]:
        rows = self._db.rows(  # but the frozen: what they were credited to is gone
            f"{_OF_PEOPLE} AND c.converted_at_ms >= :from_ms AND c.frozen = 0",
            {**owner(tenant), **_people(identities, visitors), "from_ms": from_ms},
        )
        return [conversion_of(row) for row in rows]

    def valid_conversions_until(
        self,
        tenant: Tenant,
        identities: Iterable[int],
        visitors: Iterable[int],
        until_ms: int,
        conversion_type: str | None,
    ) -> Sequence[ConversionRow]:
        """Return what was not voided, the oldest first.

        Those of a type, or without one those that say they made a customer.
        """
        which = "c.is_acquisition = 1"
        if conversion_type is not None:
            which = "c.conversion_type = :conversion_type"
        rows = self._db.rows(
            f"{_OF_PEOPLE} AND c.converted_at_ms <= :until AND {which}"
            " AND c.voided_at_ms IS NULL ORDER BY c.converted_at_ms, c.id",
            {
                **owner(tenant),
                **_people(identities, visitors),
                "until": until_ms,
                "conversion_type": conversion_type,
            },
        )
        return [conversion_of(row) for row in rows]

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
        self, tenant: Tenant, identities: Iterable[int], from_ms: int, until_ms: int
    ) -> Sequence[Touchpoint]:
        rows = self._db.rows(
            f"SELECT {_IN_ORDER} FROM links l JOIN sessions s"
            " ON s.account_id = l.account_id AND s.live = l.live"
            " AND s.visitor = l.visitor AND s.started_at_ms >= l.linked_from_ms"
            " AND (l.linked_until_ms IS NULL OR s.started_at_ms < l.linked_until_ms)"
            " JOIN visitors v ON v.id = s.visitor"
            " WHERE l.account_id = :account_id AND l.live = :live"
            f" AND l.identity IN ({in_list(list(identities))})"
            " AND s.started_at_ms BETWEEN :from_ms AND :until",
            {**owner(tenant), "from_ms": from_ms, "until": until_ms},
        )
        return [_touchpoint(row) for row in rows]

    def touchpoints_of_visitor(
        self, tenant: Tenant, visitor: int, from_ms: int, until_ms: int
    ) -> Sequence[Touchpoint]:
        rows = self._db.rows(
            f"SELECT {_IN_ORDER} FROM sessions s JOIN visitors v ON v.id = s.visitor"
            " WHERE s.account_id = :account_id AND s.live = :live"
            " AND s.visitor = :visitor AND s.started_at_ms BETWEEN :from_ms AND :until",
            {
                **owner(tenant),
                "visitor": visitor,
                "from_ms": from_ms,
                "until": until_ms,
            },
        )
        return [_touchpoint(row) for row in rows]

    def replace_credits(
        self,
        tenant: Tenant,
        conversion: ConversionRow,
        standing: Standing,
        credits_: Collection[Credit],
    ) -> None:
        whose = {**owner(tenant), "conversion": conversion.id}
        if conversion.attributed_version:
            self._db.run(
                f"DELETE FROM credits WHERE {TENANT} AND conversion = :conversion",
                whose,
            )
        self._db.insert("credits", _CREDIT, _credit_rows(tenant, conversion, credits_))
        self._db.run(
            "UPDATE conversions SET attributed_version = attributed_version + 1,"
            " counted = :counted, acquires = :acquires,"
            " inherited_from = :inherited_from"
            f" WHERE {TENANT} AND id = :conversion",
            {
                **whose,
                "counted": int(standing.counted),
                "acquires": int(standing.acquires),
                "inherited_from": standing.inherited_from,
            },
        )

    def replace_credits_of(
        self,
        tenant: Tenant,
        conversion: ConversionRow,
        models: Collection[str],
        credits_: Collection[Credit],
    ) -> None:
        """Replace a conversion's credits under some models."""
        for model in models:
            self._db.run(
                f"DELETE FROM credits WHERE {TENANT} AND conversion = :conversion"
                " AND model = :model",
                {**owner(tenant), "conversion": conversion.id, "model": model},
            )
        self._db.insert("credits", _CREDIT, _credit_rows(tenant, conversion, credits_))

    def credits(self, tenant: Tenant, conversion: int) -> Sequence[Credit]:
        """Return a conversion's credits; of visits no longer kept with empty ids."""
        rows = self._db.rows(
            "SELECT c.model, c.position, c.credit, c.revenue, c.length, c.weight,"
            " c.version, c.role, c.channel, c.converted_at_ms - c.before_ms,"
            f" {_TOUCHPOINT} FROM credits c LEFT JOIN sessions s ON s.id = c.session"
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
                length=row[4],
                weight=row[5],
                version=row[6],
                role=row[7],
                touchpoint=_credited(row[8], row[9], row[10:]),
            )
            for row in rows
        ]


def _credited(channel: str, started_at_ms: int | None, row: Row) -> Touchpoint | None:
    if row[0] is not None:
        return _touchpoint(row)
    if started_at_ms is None:
        return None
    return Touchpoint(
        session_id=0, public_id="", channel=channel, started_at_ms=started_at_ms
    )


def _credit_rows(
    tenant: Tenant, conversion: ConversionRow, credits_: Iterable[Credit]
) -> Sequence[Sequence[object]]:
    """Return credits as rows of `_CREDIT`."""
    at_ms = conversion.converted_at_ms
    currency = conversion.currency
    whose = tenant.account_id, int(tenant.live), conversion.id, currency, at_ms
    rows = []
    for credit in credits_:
        visit = credit.touchpoint
        rows.append(
            (
                *whose,
                credit.model,
                credit.position,
                (visit.session_id or None) if visit else None,
                credit.channel,
                credit.credit,
                credit.revenue,
                credit.length,
                at_ms - visit.started_at_ms if visit else None,
                credit.role,
                credit.weight,
                credit.version,
            )
        )
    return rows
