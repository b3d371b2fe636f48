"""Batches in few statements, each by an index: what a busy writer depends on.

SQLite's driver lets the interpreter's lock go at every step; a thread that computes
then keeps it for a while. One statement for each row made a writer some hundred times
slower (`executemany` did that, too), so how many there are is a property to hold.
"""

import random
import re
from itertools import groupby

import pytest

from mbuzz.server.model import ConversionCall, Tenant, TrackCall
from mbuzz.server.policy import DEFAULT
from mbuzz.server.tracking.intake import Batch, Intake

NOW = 1_795_000_000_000
TENANT = Tenant(1, live=True)


def batch(first, count, *, at_ms=NOW, random_ids=False):
    """Return page views of visitors with four pages each."""
    chance = random.Random(first)
    return [
        TrackCall(
            event_id=f"{chance.randbytes(16).hex()}" if random_ids else f"evt_{n:012}",
            event_type="page_view",
            visitor_id=f"v{n // 4}",
            user_id=None,
            session_id=None,
            occurred_at_ms=at_ms + n % 4,
            received_at_ms=NOW,
            said_ms=at_ms + n % 4,
            url=f"https://shop.example/{n}",
            user_agent="Firefox",
        )
        for n in range(first, first + count)
    ]


def sale(number):
    """Return a conversion after all page views, of another visitor each."""
    return ConversionCall(
        conversion_id=f"conv_{number:08}",
        dedupe_key=None,
        conversion_type="purchase",
        visitor_id=f"v{number}",
        user_id=None,
        event_id=None,
        revenue_minor=100,
        currency=None,
        converted_at_ms=NOW + 3_600_000,
        received_at_ms=NOW,
    )


def take(storage, calls):
    payload = Batch(TENANT, DEFAULT, calls)
    return storage.outcome(storage.submit(Intake().record, payload))


def traced(storage, calls):
    """Take *calls* and return the statements that it took."""
    said = []
    storage._writer.set_trace_callback(said.append)
    recorded = take(storage, calls)
    storage._writer.set_trace_callback(None)
    return stepped(said), recorded


def stepped(said):
    """Return statements without those of their triggers, which are told as the same."""
    return [sql for sql, _ in groupby(said)]


def test_batch_of_500_takes_few_statements(storage):
    statements, _ = traced(storage, batch(0, 500))
    returning, _ = traced(storage, batch(0, 500, at_ms=NOW + 60_000))
    again, recorded = traced(storage, batch(0, 500, at_ms=NOW + 60_000))

    assert len(statements) <= 40
    assert len(returning) <= 40
    assert len(again) <= 20
    assert all(one.duplicate for one in recorded)


def test_requests_that_wait_together_share_the_statements(storage):
    storage.write(lambda _stores: None)
    said = []

    def hold(_stores):
        for n in range(40):
            payload = Batch(TENANT, DEFAULT, batch(n * 4, 4))
            waiting.append(storage.submit(intake.record, payload))
        storage._writer.set_trace_callback(said.append)

    waiting, intake = [], Intake()
    storage.write(hold)
    answers = [storage.outcome(future) for future in waiting]
    storage._writer.set_trace_callback(None)

    assert [len(answer) for answer in answers] == [4] * 40
    assert len(stepped(said)) <= 40


def test_every_question_of_a_batch_is_answered_by_an_index(storage):
    take(storage, [call._replace(user_id="u") for call in batch(0, 20)])
    take(storage, [sale(n) for n in range(20)])
    asked = []
    for minute in (1, 2):
        later = batch(0, 500, at_ms=NOW + minute * 60_000)
        known = [
            call._replace(user_id="u" if n < 20 else None)
            for n, call in enumerate(later)
        ]
        asked += traced(storage, known)[0]
    questions = [
        sql
        for sql in asked
        if re.match(r"\s*(SELECT|WITH|UPDATE|INSERT INTO links)", sql)
    ]

    plans = [
        row[3]
        for sql in questions
        for row in storage._writer.execute(f"EXPLAIN QUERY PLAN {sql}")
    ]

    # Nor is it the index that only parts the tenants from each other.
    wide = [line for line in plans if line.endswith("(account_id=? AND live=?)")]
    wide = [line for line in wide if "suppressions" not in line]  # is there any?
    tables = "accounts|visitors|identities|links|sessions|events|conversions|[cefilgs]"
    assert len(questions) >= 6
    assert any("CROSS JOIN conversions" in sql for sql in questions)
    assert wide == []
    assert [
        line for line in plans if re.fullmatch(f"SCAN ({tables})( .*)?", line)
    ] == []


def test_events_with_random_ids_are_looked_for_in_their_hour_only(storage):
    """A repeat says the same time: no index has to be in the order of random ids."""
    for hour in range(3):
        take(
            storage,
            batch(hour * 1000, 100, at_ms=NOW + hour * 3_600_000, random_ids=True),
        )

    (plan,) = [
        row[3]
        for row in storage._writer.execute(
            "EXPLAIN QUERY PLAN SELECT 1 FROM events WHERE account_id = 1 AND live = 1"
            " AND id_hour = 1 AND event_id = 'x'"
        )
    ]
    again = take(storage, batch(2000, 100, at_ms=NOW + 2 * 3_600_000, random_ids=True))

    assert "account_id=? AND live=? AND id_hour=? AND event_id=?" in plan
    assert all(one.duplicate for one in again)


def test_repeat_without_a_time_is_found_within_the_hour_and_the_next(storage):
    (call,) = batch(0, 1)
    silent = call._replace(said_ms=None)
    take(storage, [silent])

    later = silent._replace(received_at_ms=NOW + 3_600_000)
    much_later = silent._replace(received_at_ms=NOW + 2 * 3_600_000)

    assert take(storage, [later])[0].duplicate
    assert not take(storage, [much_later])[0].duplicate


def test_batch_that_cannot_be_taken_costs_no_other_batch_its_events(storage):
    good, other = batch(0, 8), batch(8, 8)
    poisoned = [batch(100, 1)[0]._replace(occurred_at_ms=2**70)]  # no row can hold it
    futures = []

    def hold(_stores):
        futures.extend(
            storage.submit(Intake().record, Batch(TENANT, DEFAULT, calls))
            for calls in (good, poisoned, other)
        )

    storage.write(hold)

    assert len(storage.outcome(futures[0])) == 8
    assert len(storage.outcome(futures[2])) == 8
    with pytest.raises(OverflowError):
        storage.outcome(futures[1])
    stored = storage.read(
        lambda stores: stores.tracking._db.rows(
            "SELECT COUNT(*) FROM events WHERE account_id = 1 AND live = 1", {}
        )
    )
    assert stored == [(16,)]
