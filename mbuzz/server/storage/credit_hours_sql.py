"""SQL that compares what credits come to by the hour with the credits, for operators.

Triggers of the schema keep `credit_hours`, and by these `credit_days`; reports read
both.
"""

from __future__ import annotations

from typing import Final

_TOLD: Final = """
    SELECT account_id, live, model, converted_at_ms / 3600000 AS hour, currency,
        channel, COUNT(*) AS credits, SUM(credit) AS credit,
        SUM(COALESCE(revenue, 0) / 1000000) AS units,
        SUM(COALESCE(revenue, 0) % 1000000) AS millionths
    FROM credits GROUP BY 1, 2, 3, 4, 5, 6
"""

# Hours that are not what their credits are: number, model, channel, then credits and
# billionths of both.
WRONG_CREDITS: Final = f"""
    SELECT hour, model, channel, SUM(kept), SUM(kept_credit), SUM(told),
        SUM(told_credit)
    FROM (SELECT account_id, live, hour, model, currency, channel, credits AS kept,
            credit AS kept_credit, units AS kept_units, millionths AS kept_rest,
            0 AS told, 0 AS told_credit, 0 AS told_units, 0 AS told_rest
        FROM credit_hours
        UNION ALL
        SELECT account_id, live, hour, model, currency, channel, 0, 0, 0, 0, credits,
            credit, units, millionths
        FROM ({_TOLD}))
    GROUP BY account_id, live, hour, model, currency, channel
    HAVING SUM(told) = 0 OR SUM(kept) <> SUM(told) OR SUM(kept_credit)
        <> SUM(told_credit) OR SUM(kept_units) <> SUM(told_units)
        OR SUM(kept_rest) <> SUM(told_rest)
"""

_DAYS: Final = """
    SELECT account_id, live, model, hour / 24 AS day, currency, channel,
        SUM(credits) AS credits, SUM(credit) AS credit, SUM(units) AS units,
        SUM(millionths) AS millionths
    FROM credit_hours GROUP BY 1, 2, 3, 4, 5, 6
"""
# Days that are not what their hours are, or that have none: number, model, channel.
WRONG_DAYS: Final = f"""
    SELECT DISTINCT day, model, channel FROM (
        SELECT * FROM (SELECT * FROM credit_days EXCEPT {_DAYS})
        UNION ALL SELECT * FROM ({_DAYS} EXCEPT SELECT * FROM credit_days))
"""

# What makes them anew, in this order.
ANEW_CREDITS: Final = (
    "DELETE FROM credit_hours",
    "DELETE FROM credit_days",
    f"""INSERT INTO credit_hours (account_id, live, model, hour, currency, channel,
        credits, credit, units, millionths) {_TOLD}""",
)
