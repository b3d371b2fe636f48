"""SQL of the reports: sums over a period, counted in the database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import TENANT, Connection, owner
from mbuzz.server.storage.quality_sql import SqlQualityStore
from mbuzz.server.storage.rows.reports import ChannelSum, Totals
from mbuzz.server.storage.visits_sql import visits, whole_hours

_CONVERTED = f"{TENANT} AND converted_at_ms >= :from_ms AND converted_at_ms < :to_ms"
_REFUNDED = f"{TENANT} AND refunded_at_ms >= :from_ms AND refunded_at_ms < :to_ms"
_OF_MODELS = "currency = :currency AND model IN (SELECT value FROM json_each(:models))"
_REVENUE = "COALESCE(SUM(revenue / 1000000), 0), COALESCE(SUM(revenue % 1000000), 0)"

# A look for each model: the index has them by model first, and there are few.
_MODELS = (
    f"WITH RECURSIVE models (model) AS (SELECT MIN(model) FROM credit_hours"
    f" WHERE {TENANT} UNION ALL SELECT (SELECT MIN(c.model) FROM credit_hours c"
    " WHERE c.account_id = :account_id AND c.live = :live AND c.model > models.model)"
    " FROM models WHERE models.model IS NOT NULL)"
    " SELECT model FROM models WHERE model IS NOT NULL"
)
_EDGE = (
    " UNION ALL SELECT model, channel, credit, COALESCE(revenue, 0) / 1000000,"
    " COALESCE(revenue, 0) % 1000000 FROM credits INDEXED BY credits_by_time"
    f" WHERE {TENANT} AND {_OF_MODELS}"
)
_COUNTED = "SELECT model, channel, credit, units, millionths FROM"
_IN_HOURS = f" UNION ALL {_COUNTED} credit_hours WHERE {TENANT} AND {_OF_MODELS}"
# Whole days and hours are counted beforehand, what is before and after them is not.
_CREDITED = (
    "SELECT model, channel, SUM(credit), SUM(units), SUM(millionths) FROM ("
    f"{_COUNTED} credit_days WHERE {TENANT} AND {_OF_MODELS}"
    " AND day >= :first_day AND day < :end_day"
    f"{_IN_HOURS} AND hour >= :first_hour AND hour < :whole_hour"
    f"{_IN_HOURS} AND hour >= :rest_hour AND hour < :end_hour"
    f"{_EDGE} AND converted_at_ms >= :from_ms AND converted_at_ms < :whole_ms"
    f"{_EDGE} AND converted_at_ms >= :rest_ms AND converted_at_ms < :to_ms"
    ") GROUP BY model, channel"
)


def _period(tenant: Tenant, from_ms: int, to_ms: int) -> dict[str, object]:
    return {**owner(tenant), "from_ms": from_ms, "to_ms": to_ms}


def _whole_days(tenant: Tenant, from_ms: int, to_ms: int) -> dict[str, int]:
    """Return the parameters of `whole_hours`, and of the whole days among them.

    Those are from `first_day` until `end_day`; what is before them ends at
    `whole_hour`, what is after them begins at `rest_hour`.
    """
    period = whole_hours(tenant, from_ms, to_ms)
    first_day, end_day = -(-period["first_hour"] // 24), period["end_hour"] // 24
    whole_hour = min(first_day * 24, period["end_hour"])
    return {
        **period,
        "first_day": first_day,
        "end_day": end_day,
        "whole_hour": whole_hour,
        "rest_hour": max(end_day * 24, whole_hour),
    }


class SqlReportStore(SqlQualityStore):
    """`ReportStore` in SQL."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._db = connection

    def credited_models(self, tenant: Tenant) -> Sequence[str]:
        """Return the models under which any conversion has credits."""
        return [row[0] for row in self._db.rows(_MODELS, owner(tenant))]

    def crediting(self, tenant: Tenant) -> Sequence[str]:
        """Return the models whose credit is being given anew."""
        rows = self._db.rows(
            f"SELECT model FROM recredits WHERE {TENANT} AND finished_at_ms IS NULL",
            owner(tenant),
        )
        return [row[0] for row in rows]

    def channel_sums(
        self,
        tenant: Tenant,
        from_ms: int,
        to_ms: int,
        currency: str,
        models: Sequence[str],
        *,
        by_refund: bool = False,
    ) -> Sequence[ChannelSum]:
        # Whole units apart from millionths: together they could overflow 64 bits.
        params = {
            **_whole_days(tenant, from_ms, to_ms),
            "currency": currency,
            "models": json.dumps(list(models)),
        }
        found = {
            (row[0], row[1]): ChannelSum(
                model=row[0],
                channel=row[1],
                credit=row[2],
                revenue=row[3] * 1_000_000 + row[4],
            )
            for row in self._db.rows(_CREDITED, params)
        }
        when = _REFUNDED if by_refund else _CONVERTED
        for model, channel, units, rest in self._db.rows(
            f"SELECT model, channel, {_REVENUE} FROM refund_credits"
            f" WHERE {when} AND {_OF_MODELS} GROUP BY model, channel",
            params,
        ):
            earned = found.get(
                (model, channel),
                ChannelSum(model=model, channel=channel, credit=0, revenue=0),
            )
            refunds = units * 1_000_000 + rest
            found[model, channel] = replace(earned, refunds=refunds)
        return [found[key] for key in sorted(found)]

    def totals(
        self,
        tenant: Tenant,
        from_ms: int,
        to_ms: int,
        currency: str,
        *,
        by_refund: bool = False,
    ) -> Totals:
        period = _period(tenant, from_ms, to_ms)
        ((conversions, revenue, refunds),) = self._db.rows(
            "SELECT COUNT(*), COALESCE(SUM(revenue_minor), 0),"
            " COALESCE(SUM(refunded_minor), 0) FROM conversions"
            f" WHERE {_CONVERTED} AND currency = :currency AND counted = 1",
            {**period, "currency": currency},
        )
        if by_refund:
            # The order of the join is the planner's no more: refunds are the fewer.
            ((refunds,),) = self._db.rows(
                "SELECT COALESCE(SUM(r.amount_minor), 0) FROM refunds r"
                " CROSS JOIN conversions c ON c.id = r.conversion"
                " WHERE c.account_id = :account_id AND c.live = :live"
                " AND r.account_id = :account_id AND r.live = :live"
                " AND r.refunded_at_ms >= :from_ms AND r.refunded_at_ms < :to_ms"
                " AND c.currency = :currency AND c.counted = 1",
                {**period, "currency": currency},
            )
        seen = visits(self._db, tenant, from_ms, to_ms)
        return Totals(
            conversions=conversions,
            revenue_minor=revenue,
            refunds_minor=-refunds,
            visits=seen.by_channel,
            visitors=seen.visitors,
            page_views=seen.page_views,
        )

    def currencies(self, tenant: Tenant, from_ms: int, to_ms: int) -> Mapping[str, int]:
        rows = self._db.rows(
            f"SELECT currency, COUNT(*) FROM conversions WHERE {_CONVERTED}"
            " AND counted = 1 GROUP BY currency ORDER BY COUNT(*) DESC, currency",
            _period(tenant, from_ms, to_ms),
        )
        return dict(rows)

    def has_events(self, tenant: Tenant) -> bool:
        rows = self._db.rows(
            f"SELECT 1 FROM events WHERE {TENANT} LIMIT 1", owner(tenant)
        )
        return bool(rows)
