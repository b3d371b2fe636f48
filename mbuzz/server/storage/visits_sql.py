"""SQL of a period's visits: counted by the hour beforehand, its edges from the rows.

Triggers of the schema keep `session_hours`, `sessions.previous_ms` and `return_hours`;
here they are read, compared with the sessions they follow from, and made anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import TENANT, Connection

_HOUR_MS: Final = 3_600_000

_EDGE: Final = f"SELECT channel, 1, page_view_count FROM sessions WHERE {TENANT}"
# An hour is whole wherever the period begins and ends; days of some time zones do so in
# the middle of one.
_VISITS: Final = (
    "SELECT channel, SUM(sessions), SUM(page_views) FROM ("
    f"SELECT channel, sessions, page_views FROM session_hours WHERE {TENANT}"
    " AND hour >= :first_hour AND hour < :end_hour"
    f" UNION ALL {_EDGE} AND started_at_ms >= :from_ms AND started_at_ms < :whole_ms"
    f" UNION ALL {_EDGE} AND started_at_ms >= :rest_ms AND started_at_ms < :to_ms"
    ") GROUP BY channel"
)
_ANY_LATER: Final = (
    f"SELECT 1 FROM sessions WHERE {TENANT} AND started_at_ms >= :to_ms LIMIT 1"
)
# Sessions whose previous one is in the period: where it goes on until now, by hours.
_RETURNS: Final = f"SELECT COUNT(*) FROM sessions WHERE {TENANT}"
_CAME_BACK: Final = (
    f"{_RETURNS} AND previous_ms >= :from_ms AND previous_ms < :to_ms"
    " AND started_at_ms < :to_ms"
)
_CAME_BACK_TILL_NOW: Final = (
    "SELECT COALESCE(SUM(sessions), 0)"
    f" + ({_RETURNS} AND previous_ms >= :from_ms AND previous_ms < :whole_ms)"
    f" FROM return_hours WHERE {TENANT} AND hour >= :first_hour"
)


class Visits(NamedTuple):
    """What a period's sessions come to."""

    by_channel: Mapping[str, int]
    page_views: int
    visitors: int


def whole_hours(tenant: Tenant, from_ms: int, to_ms: int) -> dict[str, int]:
    """Return the parameters of a period whose whole hours were counted beforehand.

    Those are from `first_hour` until `end_hour`; what is before them ends at
    `whole_ms`, what is after them begins at `rest_ms`.
    """
    first_hour, end_hour = -(-from_ms // _HOUR_MS), to_ms // _HOUR_MS
    whole_ms = min(first_hour * _HOUR_MS, to_ms)
    return {
        "account_id": tenant.account_id,
        "live": int(tenant.live),
        "from_ms": from_ms,
        "to_ms": to_ms,
        "first_hour": first_hour,
        "end_hour": end_hour,
        "whole_ms": whole_ms,
        "rest_ms": max(end_hour * _HOUR_MS, whole_ms),
    }


def visits(db: Connection, tenant: Tenant, from_ms: int, to_ms: int) -> Visits:
    """Count the sessions that began in a period, their pages and their visitors."""
    period = whole_hours(tenant, from_ms, to_ms)
    rows = db.rows(_VISITS, period)
    by_channel = {channel: sessions for channel, sessions, _ in rows}
    # A visitor's first session of a period is the one whose previous is not in it.
    later = db.rows(_ANY_LATER, period)
    ((came_back,),) = db.rows(_CAME_BACK if later else _CAME_BACK_TILL_NOW, period)
    return Visits(
        by_channel=by_channel,
        page_views=sum(pages for _, _, pages in rows),
        visitors=sum(by_channel.values()) - came_back,
    )


# -- of whole databases, for `mbuzz db` --

_HOURS: Final = f"""
    SELECT account_id, live, started_at_ms / {_HOUR_MS} AS hour, channel,
        COUNT(*) AS sessions, SUM(page_view_count) AS page_views
    FROM sessions GROUP BY 1, 2, 3, 4
"""
_PREVIOUS: Final = """
    SELECT id, public_id, previous_ms AS kept, LAG(started_at_ms) OVER (
        PARTITION BY account_id, live, visitor ORDER BY started_at_ms, id) AS told
    FROM sessions
"""
_RETURN_HOURS: Final = f"""
    SELECT account_id, live, previous_ms / {_HOUR_MS} AS hour, COUNT(*) AS sessions
    FROM sessions WHERE previous_ms IS NOT NULL GROUP BY 1, 2, 3
"""

# Hours that are not what their sessions are: number, channel, sessions, pages, of both.
WRONG_HOURS: Final = f"""
    SELECT hour, channel, SUM(kept), SUM(kept_pages), SUM(told), SUM(told_pages)
    FROM (SELECT account_id, live, hour, channel, sessions AS kept,
            page_views AS kept_pages, 0 AS told, 0 AS told_pages FROM session_hours
        UNION ALL
        SELECT account_id, live, hour, channel, 0, 0, sessions, page_views
        FROM ({_HOURS}))
    GROUP BY account_id, live, hour, channel
    HAVING SUM(told) = 0 OR SUM(kept) <> SUM(told)
        OR SUM(kept_pages) <> SUM(told_pages)
"""
# Hours that more or fewer visitors were in before a session than are said to be.
WRONG_RETURNS: Final = f"""
    SELECT hour, SUM(kept), SUM(told) FROM (
        SELECT account_id, live, hour, sessions AS kept, 0 AS told FROM return_hours
        UNION ALL SELECT account_id, live, hour, 0, sessions FROM ({_RETURN_HOURS}))
    GROUP BY account_id, live, hour HAVING SUM(told) = 0 OR SUM(kept) <> SUM(told)
"""
# Sessions that name another time for their visitor's previous one than that was at.
WRONG_PREVIOUS: Final = (
    f"SELECT public_id, kept, told FROM ({_PREVIOUS}) WHERE kept IS NOT told"
)
WRONG: Final = (WRONG_HOURS, WRONG_RETURNS, WRONG_PREVIOUS)

# What makes all of it anew, in this order.
ANEW: Final = (
    "DELETE FROM session_hours",
    f"""INSERT INTO session_hours
        (account_id, live, hour, channel, sessions, page_views) {_HOURS}""",
    f"""UPDATE sessions SET previous_ms = w.told
        FROM ({_PREVIOUS}) w WHERE w.kept IS NOT w.told AND sessions.id = w.id""",
    "DELETE FROM return_hours",
    f"""INSERT INTO return_hours (account_id, live, hour, sessions)
        {_RETURN_HOURS}""",
)
