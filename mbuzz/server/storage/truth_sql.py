"""What must hold in a database, beyond what SQLite checks: sums, ends and owners."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final, NamedTuple

from mbuzz.server import money
from mbuzz.server.storage.credit_hours_sql import WRONG_CREDITS, WRONG_DAYS
from mbuzz.server.storage.visits_sql import (
    WRONG_HOURS,
    WRONG_PREVIOUS,
    WRONG_RETURNS,
)

_WHOLE: Final = 10**9  # the credit of one conversion under one model
_DECIMALS: Final = 6  # revenue is credited in millionths

# Stands for the sessions whose events are all there: those of a sealed one are gone.
_WHOLE_SESSIONS: Final = "whole_sessions"

# Stands for the conversions that have credits: others are void, or not counted.
_COUNTED: Final = "counted_conversions"

# What a session's events say of it: pages seen by people. Other events only visit.
_TOLD: Final = """
    SELECT account_id, live, session, count(*) AS events,
        sum(event_type = 'page_view') AS page_views,
        min(occurred_at_ms) AS began, max(occurred_at_ms) AS ended
    FROM events
    WHERE session IS NOT NULL AND url IS NOT NULL AND bot_reason IS NULL
    GROUP BY account_id, live, session
"""
_SESSIONS_AND_EVENTS: Final = f"""
    FROM {_WHOLE_SESSIONS} s LEFT JOIN ({_TOLD}) t
    ON t.account_id = s.account_id AND t.live = s.live AND t.session = s.id
"""
_EARLIER: Final = """
    SELECT public_id, started_at_ms, max(last_event_at_ms) OVER (
        PARTITION BY account_id, live, visitor ORDER BY started_at_ms, last_event_at_ms
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM sessions
"""
_SHARES: Final = """
    SELECT account_id, live, conversion, model, sum(credit) AS credit,
        sum(revenue) AS revenue, count(revenue) AS with_revenue
    FROM credits GROUP BY account_id, live, conversion, model
"""
_CONVERSIONS_AND_SHARES: Final = f"""
    FROM ({_SHARES}) t JOIN conversions c
    ON c.account_id = t.account_id AND c.live = t.live AND c.id = t.conversion
"""


class Truth(NamedTuple):
    """Something that holds of every row; *broken* finds the rows it does not hold of.

    The sentence is filled with a row's values.
    """

    sentence: str
    broken: str
    table: str = "sessions"  # that it needs; an older database may be without


TRUTHS: Final = (
    Truth(
        "session {} counts {} page views, its events are {}",
        f"SELECT s.public_id, s.page_view_count, coalesce(t.page_views, 0)"
        f"{_SESSIONS_AND_EVENTS} WHERE s.page_view_count <> coalesce(t.page_views, 0)",
    ),
    Truth(
        "session {} is said to begin at {}, its first event was at {}",
        f"SELECT s.public_id, s.started_at_ms, t.began {_SESSIONS_AND_EVENTS}"
        " WHERE s.started_at_ms IS NOT t.began",
    ),
    Truth(
        "session {} is said to end at {}, its last event was at {}",
        f"SELECT s.public_id, s.last_event_at_ms, t.ended {_SESSIONS_AND_EVENTS}"
        " WHERE s.last_event_at_ms IS NOT t.ended",
    ),
    *(
        Truth(
            f"session {{}} has an event as its {which} that is another's, or none",
            f"SELECT s.public_id FROM {_WHOLE_SESSIONS} s LEFT JOIN events e"
            f" ON e.id = s.{which}_event AND e.account_id = s.account_id"
            " AND e.live = s.live AND e.session = s.id AND e.url IS NOT NULL"
            f" AND e.occurred_at_ms = s.{column} WHERE e.id IS NULL",
        )
        for which, column in (
            ("first", "started_at_ms"),
            ("last", "last_event_at_ms"),
        )
    ),
    Truth(
        "session {} begins at {}, before an earlier one of its visitor ends at {}",
        f"SELECT public_id, started_at_ms, before FROM ({_EARLIER})"
        " WHERE before > started_at_ms",
    ),
    Truth(
        "the hour number {} counts, of {}, {} visits of {} pages, its sessions are"
        " {} of {}; `mbuzz db repair` counts anew",
        WRONG_HOURS,
        "session_hours",
    ),
    Truth(
        "the hour number {} counts {} visitors who came back later, its sessions say"
        " {}; `mbuzz db repair` counts anew",
        WRONG_RETURNS,
        "return_hours",
    ),
    Truth(
        "session {} says that its visitor's previous one began at {}, that was {};"
        " `mbuzz db repair` looks anew",
        WRONG_PREVIOUS,
        "session_hours",
    ),
    Truth(
        "the hour number {} counts, under model {} for {}, {} credits of {} billionths,"
        " its credits are {} of {}; `mbuzz db repair` counts anew",
        WRONG_CREDITS,
        "credit_hours",
    ),
    Truth(
        "the day number {} does not count, under model {} for {}, what its hours do;"
        " `mbuzz db repair` counts anew",
        WRONG_DAYS,
        "credit_days",
    ),
    Truth(
        "event {} is in a session that is unknown or another visitor's",
        "SELECT e.event_id FROM events e LEFT JOIN sessions s ON s.id = e.session"
        " AND s.account_id = e.account_id AND s.live = e.live"
        " AND s.visitor = e.visitor WHERE e.session IS NOT NULL AND s.id IS NULL",
    ),
    Truth(
        "event {}, a page that a person saw, is in no session",
        "SELECT event_id FROM events WHERE session IS NULL AND url IS NOT NULL"
        " AND bot_reason IS NULL AND visitor IS NOT NULL",
    ),
    Truth(
        "event {} is of a visitor who is unknown or another account's",
        "SELECT e.event_id FROM events e LEFT JOIN visitors v ON v.id = e.visitor"
        " AND v.account_id = e.account_id AND v.live = e.live"
        " WHERE e.visitor IS NOT NULL AND v.id IS NULL",
    ),
    Truth(
        "event {} is of a user who is unknown or another account's",
        "SELECT e.event_id FROM events e LEFT JOIN identities i ON i.id = e.identity"
        " AND i.account_id = e.account_id AND i.live = e.live"
        " WHERE e.identity IS NOT NULL AND i.id IS NULL",
    ),
    Truth(
        "conversion {} has credits under model {} of {} billionths, not of a whole",
        f"SELECT c.public_id, t.model, t.credit {_CONVERSIONS_AND_SHARES}"
        f" WHERE t.credit <> {_WHOLE}",
    ),
    Truth(
        "conversion {} has revenue under model {} of {} millionths, not of {}",
        "SELECT c.public_id, t.model, t.revenue, c.revenue_minor * scale(c.currency)"
        f"{_CONVERSIONS_AND_SHARES}"
        " WHERE t.revenue IS NOT c.revenue_minor * scale(c.currency)",
    ),
    Truth(
        "conversion {} was attributed, but has no credits",
        f"SELECT c.public_id FROM {_COUNTED} c LEFT JOIN credits t"
        " ON t.account_id = c.account_id AND t.live = c.live AND t.conversion = c.id"
        " WHERE c.attributed_version > 0 AND t.conversion IS NULL",
    ),
    Truth(
        "conversion {} is void or not counted, but has credits",
        "SELECT DISTINCT c.public_id FROM conversions c JOIN credits t"
        " ON t.account_id = c.account_id AND t.live = c.live AND t.conversion = c.id"
        " WHERE c.counted = 0 OR c.voided_at_ms IS NOT NULL",
        "refunds",
    ),
    Truth(
        "conversion {} is said to have {} refunded of {}, its refunds are {}",
        "SELECT c.public_id, c.refunded_minor, c.revenue_minor, coalesce(t.amount, 0)"
        " FROM conversions c LEFT JOIN (SELECT account_id, live, conversion,"
        " sum(amount_minor) AS amount FROM refunds"
        " GROUP BY account_id, live, conversion) t"
        " ON t.account_id = c.account_id AND t.live = c.live AND t.conversion = c.id"
        " WHERE c.refunded_minor <> coalesce(t.amount, 0)"
        " OR c.refunded_minor > coalesce(c.revenue_minor, 0)",
        "refunds",
    ),
    Truth(
        "refund {} takes {} millionths back under model {}, not {}",
        "SELECT r.public_id, -t.revenue, t.model, r.amount_minor * scale(c.currency)"
        " FROM (SELECT account_id, live, refund, model, sum(revenue) AS revenue"
        " FROM refund_credits GROUP BY account_id, live, refund, model) t"
        " JOIN refunds r ON r.account_id = t.account_id AND r.live = t.live"
        " AND r.id = t.refund JOIN conversions c ON c.account_id = r.account_id"
        " AND c.live = r.live AND c.id = r.conversion"
        " WHERE -t.revenue <> r.amount_minor * scale(c.currency)",
        "refunds",
    ),
    Truth(
        "credits of conversion number {} are of no conversion of that account",
        "SELECT DISTINCT t.conversion FROM credits t LEFT JOIN conversions c"
        " ON c.account_id = t.account_id AND c.live = t.live AND c.id = t.conversion"
        " WHERE c.id IS NULL",
    ),
    Truth(
        "conversion number {} has a credit under model {} for an unknown session",
        "SELECT t.conversion, t.model FROM credits t LEFT JOIN sessions s"
        " ON s.id = t.session AND s.account_id = t.account_id AND s.live = t.live"
        " WHERE t.session IS NOT NULL AND s.id IS NULL",
    ),
)


def broken_truths(
    raw: sqlite3.Connection, most: int
) -> Iterator[tuple[list[str], int]]:
    """Yield, for each truth that does not hold, sentences and how many rows it breaks.

    At most *most* sentences of each.
    """
    raw.create_function("scale", 1, _scale, deterministic=True)
    tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master")}
    sessions = _where(raw, "sessions", "sealed", "sealed = 0")
    counted = _where(raw, "conversions", "counted", "counted = 1")
    for truth in TRUTHS:
        if truth.table not in tables:
            continue
        sql = truth.broken.replace(_WHOLE_SESSIONS, sessions)
        rows = raw.execute(sql.replace(_COUNTED, counted))
        examples = rows.fetchmany(most)
        if examples:
            others = sum(1 for _ in rows)
            sentences = [truth.sentence.format(*row) for row in examples]
            yield sentences, len(examples) + others


def _where(raw: sqlite3.Connection, table: str, column: str, condition: str) -> str:
    """Return the rows of *table* with that condition, if it has the column yet."""
    columns = {name for _, name, *_ in raw.execute(f"PRAGMA table_info({table})")}
    return f"(SELECT * FROM {table} WHERE {condition})" if column in columns else table


def _scale(currency: object) -> int:
    """Return how many millionths the smallest unit of *currency* has."""
    return int(10 ** (_DECIMALS - money.exponent(str(currency))))
