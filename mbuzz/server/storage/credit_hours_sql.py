"""SQL that compares what credits come to by the hour with the credits, for operators.

Triggers of the schema keep `credit_hours`; reports read it.
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

# What makes them anew, in this order.
ANEW_CREDITS: Final = (
    "DELETE FROM credit_hours",
    f"""INSERT INTO credit_hours (account_id, live, model, hour, currency, channel,
        credits, credit, units, millionths) {_TOLD}""",
)
