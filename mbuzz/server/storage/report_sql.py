"""SQL of the reports: sums over a period, counted in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import Connection, Params
from mbuzz.server.storage.port import ChannelSum, Totals
from mbuzz.server.storage.quality_sql import SqlQualityStore

_TENANT = "account_id = :account_id AND live = :live"
_CONVERTED = f"{_TENANT} AND converted_at_ms >= :from_ms AND converted_at_ms < :to_ms"


def _period(tenant: Tenant, from_ms: int, to_ms: int) -> dict[str, object]:
    return {
        "account_id": tenant.account_id,
        "live": int(tenant.live),
        "from_ms": from_ms,
        "to_ms": to_ms,
    }


class SqlReportStore(SqlQualityStore):
    """`ReportStore` in SQL."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._db = connection

    def channel_sums(
        self, tenant: Tenant, from_ms: int, to_ms: int, currency: str
    ) -> Sequence[ChannelSum]:
        # Whole units apart from millionths: together they could overflow 64 bits.
        rows = self._db.rows(
            "SELECT model, channel, SUM(credit), COALESCE(SUM(revenue / 1000000), 0),"
            " COALESCE(SUM(revenue % 1000000), 0)"
            f" FROM credits WHERE {_CONVERTED} AND currency = :currency"
            " GROUP BY model, channel ORDER BY model, channel",
            {**_period(tenant, from_ms, to_ms), "currency": currency},
        )
        return [
            ChannelSum(
                model=row[0],
                channel=row[1],
                credit=row[2],
                revenue=row[3] * 1_000_000 + row[4],
            )
            for row in rows
        ]

    def totals(self, tenant: Tenant, from_ms: int, to_ms: int, currency: str) -> Totals:
        period = _period(tenant, from_ms, to_ms)
        ((conversions, revenue),) = self._db.rows(
            "SELECT COUNT(*), COALESCE(SUM(revenue_minor), 0) FROM conversions"
            f" WHERE {_CONVERTED} AND currency = :currency",
            {**period, "currency": currency},
        )
        visits = self._db.rows(
            f"SELECT channel, COUNT(*) FROM sessions WHERE {_TENANT}"
            " AND started_at_ms >= :from_ms AND started_at_ms < :to_ms"
            " GROUP BY channel",
            period,
        )
        return Totals(
            conversions=conversions,
            revenue_minor=revenue,
            visits=dict(visits),
            visitors=self._count("COUNT(DISTINCT visitor)", period),
            page_views=self._count("COALESCE(SUM(page_view_count), 0)", period),
        )

    def _count(self, expression: str, period: Params) -> int:
        ((count,),) = self._db.rows(
            f"SELECT {expression} FROM sessions WHERE {_TENANT}"
            " AND started_at_ms >= :from_ms AND started_at_ms < :to_ms",
            period,
        )
        return int(count)

    def currencies(self, tenant: Tenant, from_ms: int, to_ms: int) -> Mapping[str, int]:
        rows = self._db.rows(
            f"SELECT currency, COUNT(*) FROM conversions WHERE {_CONVERTED}"
            " GROUP BY currency ORDER BY COUNT(*) DESC, currency",
            _period(tenant, from_ms, to_ms),
        )
        return dict(rows)

    def has_events(self, tenant: Tenant) -> bool:
        rows = self._db.rows(
            f"SELECT 1 FROM events WHERE {_TENANT} LIMIT 1", _period(tenant, 0, 0)
        )
        return bool(rows)
