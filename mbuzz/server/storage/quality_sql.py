"""SQL of the data-quality panel: counts over a period, none of them unbounded."""

from __future__ import annotations

from typing import Final

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import TENANT, Connection, owner
from mbuzz.server.storage.rows.reports import QualityRows

_MOST_EVENTS: Final = 200_000  # looked at; the oldest of the period
_MOST_NAMES: Final = 1_000  # sources and referrers, the most common
_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000

_STARTED: Final = f"{TENANT} AND started_at_ms >= :from_ms AND started_at_ms < :to_ms"
# The index of ids is in the order of hours, of the client's clock: a day more on either
# side finds those that were corrected.
_HAPPENED: Final = (
    f"{TENANT} AND id_hour BETWEEN :from_hour AND :to_hour"
    " AND occurred_at_ms >= :from_ms AND occurred_at_ms < :to_ms"
)
_CONVERTED: Final = (
    f"{TENANT} AND converted_at_ms >= :from_ms AND converted_at_ms < :to_ms"
    " AND voided_at_ms IS NULL"
)
# What was wished for a conversion and could not be.
_ACQUIRED: Final = "is_acquisition AND NOT acquires"
_NO_HEIR: Final = "inherits AND inherited_from IS NULL AND NOT acquires AND NOT frozen"
_CONVERSION_FLAGS: Final = (
    f"SELECT flags || IIF({_ACQUIRED}, ' already_acquired', '')"
    f" || IIF({_NO_HEIR}, ' no_acquisition', ''), COUNT(*)"
    f" FROM conversions WHERE {_CONVERTED} GROUP BY 1"
)
_VISITS: Final = (
    "SELECT COUNT(*), COALESCE(SUM(channel = 'direct'), 0),"
    " COALESCE(SUM(first_event = last_event), 0), COUNT(DISTINCT visitor),"
    f" COUNT(referrer) FROM sessions WHERE {_STARTED}"
)
_EVENTS: Final = (
    "SELECT COUNT(*), COUNT(url), COUNT(bot_reason) FROM"
    f" (SELECT url, bot_reason FROM events WHERE {_HAPPENED} LIMIT :most_events)"
)
_RELINKED: Final = (
    f"SELECT COUNT(*) FROM links WHERE {TENANT}"
    " AND linked_until_ms >= :from_ms AND linked_until_ms < :to_ms"
)
_FLAGS: Final = (
    f"SELECT flags, COUNT(*) FROM sessions WHERE {_STARTED}"
    " AND flags <> '' GROUP BY flags"
)
_EVENT_FLAGS: Final = (
    f"SELECT flags, COUNT(*) FROM (SELECT flags FROM events WHERE {_HAPPENED}"
    " LIMIT :most_events) WHERE flags <> '' GROUP BY flags"
)
_SOURCES: Final = (
    f"SELECT source, COUNT(*) FROM sessions WHERE {_STARTED}"
    " AND source IS NOT NULL GROUP BY source"
    " ORDER BY COUNT(*) DESC, source LIMIT :most_names"
)
_PASSED_THROUGH: Final = (
    "SELECT e.referrer, s.landing_url, COUNT(*) FROM"
    f" (SELECT id, session, referrer FROM events WHERE {_HAPPENED}"
    " LIMIT :most_events) e"
    " JOIN sessions s ON s.id = e.session AND s.first_event <> e.id"
    " WHERE e.referrer IS NOT NULL GROUP BY e.referrer, s.landing_url"
    " ORDER BY COUNT(*) DESC LIMIT :most_names"
)
_DAYS: Final = (
    "SELECT started_at_ms / :day_ms, COUNT(*), COUNT(DISTINCT visitor)"
    f" FROM sessions WHERE {_STARTED} GROUP BY 1 ORDER BY 1"
)


class SqlQualityStore:
    """The part of `ReportStore` about how good the data is."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def quality(self, tenant: Tenant, from_ms: int, to_ms: int) -> QualityRows:
        """Return the counts that the panel is made of."""
        period = {
            **owner(tenant),
            "from_ms": from_ms,
            "to_ms": to_ms,
            "from_hour": from_ms // _HOUR_MS - 24,
            "to_hour": to_ms // _HOUR_MS + 24,
            "most_events": _MOST_EVENTS,
            "most_names": _MOST_NAMES,
            "day_ms": _DAY_MS,
        }
        rows = self._db.rows
        ((visits, direct, short, visitors, referred),) = rows(_VISITS, period)
        ((events, pages, bots),) = rows(_EVENTS, period)
        ((relinked,),) = rows(_RELINKED, period)
        through = rows(_PASSED_THROUGH, period)
        return QualityRows(
            visits=visits,
            direct=direct,
            of_one_event=short,
            visitors=visitors,
            with_referrer=referred,
            events=events,
            pages=pages,
            bots=bots,
            relinked=relinked,
            flags=dict(rows(_FLAGS, period)),
            event_flags=dict(rows(_EVENT_FLAGS, period)),
            conversion_flags=dict(rows(_CONVERSION_FLAGS, period)),
            sources=dict(rows(_SOURCES, period)),
            passed_through={(row[0], row[1]): row[2] for row in through},
            days=[(row[0], row[1], row[2]) for row in rows(_DAYS, period)],
        )
