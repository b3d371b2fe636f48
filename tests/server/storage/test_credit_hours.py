"""What is counted of credits beforehand is what the credits say, whatever happens."""

import random
import sqlite3
from collections import Counter
from contextlib import closing

import pytest

from mbuzz.server.attribution.models import PRESETS
from mbuzz.server.storage.credit_hours_sql import (
    ANEW_CREDITS,
    WRONG_CREDITS,
    WRONG_DAYS,
)
from mbuzz.server.storage.schema import migrate, migrations
from mbuzz.server.storage.sqlite import SqliteStorage
from tests.server.privacy.people import START, Backend

HOUR = 3_600_000
HUGE = 10**12 * 10**6  # the most that a conversion may earn, in millionths


@pytest.fixture(scope="module")
def shop():
    """Return a shop of some days, with late visits, refunds and voids."""
    storage = SqliteStorage(":memory:")
    shop = Backend(storage).shop()
    chance = random.Random(5)
    for number in range(150):
        visitor = f"v{chance.randrange(40)}"
        name = chance.choice(["-", "newsletter", "google", "G"])
        shop.visit(visitor, chance.randrange(4 * 24 * 60) + chance.random(), name)
        if number % 3 == 0:
            minute = chance.randrange(4 * 24 * 60) + chance.random()
            shop.convert(minute, visitor, revenue=chance.randrange(10**6))
    yield shop
    storage.close()


def test_hours_follow_whatever_becomes_of_credits(shop):
    assert shop.rows("SELECT COUNT(*) FROM credit_hours WHERE $tenant") > [(100,)]
    assert shop.storage.read(lambda s: s.tracking._db.rows(WRONG_CREDITS, {})) == []


def test_any_period_is_summed_to_the_millisecond(shop):
    chance = random.Random(6)
    rows = shop.rows(
        "SELECT converted_at_ms, model, channel, credit, revenue FROM credits"
        " WHERE $tenant"
    )
    begin = START - START % HOUR
    edges = [row[0] for row in rows] + [begin + n * HOUR // 4 for n in range(400)]
    for _ in range(150):
        from_ms, to_ms = sorted(chance.sample(edges, 2))
        credit, revenue = Counter(), Counter()
        for at_ms, model, channel, part, amount in rows:
            if from_ms <= at_ms < to_ms and model in ("linear", "u_shaped"):
                credit[model, channel] += part
                revenue[model, channel] += amount

        found = shop.storage.read(
            lambda stores, span=(from_ms, to_ms): stores.reports.channel_sums(
                shop.tenant, *span, "USD", ["linear", "u_shaped"]
            )
        )

        assert {(one.model, one.channel): one.credit for one in found} == credit
        assert {(one.model, one.channel): one.revenue for one in found} == revenue


def test_models_that_credit_are_known_without_reading_all_credits(shop):
    found = shop.storage.read(lambda s: s.reports.credited_models(shop.tenant))
    plan = [
        row[3]
        for row in shop.storage._writer.execute(
            "EXPLAIN QUERY PLAN SELECT MIN(model) FROM credit_hours"
            " WHERE account_id = 1 AND live = 1 AND model > 'x'"
        )
    ]

    assert found == sorted(PRESETS)
    assert plan == [
        "SEARCH credit_hours USING PRIMARY KEY (account_id=? AND live=? AND model>?)"
    ]


def empty():
    return closing(sqlite3.connect(":memory:", isolation_level=None))


def insert(raw, conversion, position, **fields):
    row = {
        "account_id": 1,
        "live": 1,
        "model": "linear",
        "conversion": conversion,
        "position": position,
        "channel": "email",
        "credit": 10,
        "revenue": 10,
        "currency": "USD",
        "converted_at_ms": conversion * HOUR // 2,
        **fields,
    }
    marks = ", ".join(f":{name}" for name in row)
    raw.execute(f"INSERT INTO credits ({', '.join(row)}) VALUES ({marks})", row)


def test_hours_follow_any_statement():
    chance = random.Random(7)
    with empty() as raw:
        migrate(raw, ":memory:")
        raw.execute("PRAGMA foreign_keys = OFF")
        for number in range(300):
            kind = chance.randrange(5)
            some = f"conversion % {chance.randrange(2, 9)} = 0"
            if kind < 3:
                insert(
                    raw,
                    chance.randrange(40),
                    number,
                    model=chance.choice("ab"),
                    channel=chance.choice(["email", "direct"]),
                    currency=chance.choice(["USD", "JPY"]),
                    revenue=chance.choice([None, 0, 7, -7, 10**6 + 1, HUGE]),
                )
            elif kind == 3:
                change = chance.choice(
                    [
                        "channel = 'x'",
                        "credit = credit + 1",
                        "revenue = NULL",
                        "converted_at_ms = converted_at_ms + 3600000",
                        "session = NULL",
                    ]
                )
                raw.execute(f"UPDATE credits SET {change} WHERE {some}")
            else:
                raw.execute(f"DELETE FROM credits WHERE {some}")

            assert raw.execute(WRONG_CREDITS).fetchall() == []
            assert raw.execute(WRONG_DAYS).fetchall() == []


def test_sums_of_the_largest_amounts_do_not_overflow():
    with empty() as raw:
        migrate(raw, ":memory:")
        raw.execute("PRAGMA foreign_keys = OFF")
        for number in range(1000):
            insert(raw, 5, number, revenue=HUGE - 1)

        ((units, rest),) = raw.execute("SELECT units, millionths FROM credit_hours")

    assert units * 10**6 + rest == 1000 * (HUGE - 1)


def test_wrong_hours_are_found_and_counted_anew():
    with empty() as raw:
        migrate(raw, ":memory:")
        raw.execute("PRAGMA foreign_keys = OFF")
        insert(raw, 2, 0)
        insert(raw, 9, 0, revenue=None)
        before = raw.execute("SELECT * FROM credit_hours").fetchall()
        for wrong in (
            "UPDATE credit_hours SET credit = credit + 1",
            "UPDATE credit_hours SET units = 5 WHERE hour = 1",
            "DELETE FROM credit_hours",
            "INSERT INTO credit_hours VALUES (1, 1, 'm', 3, 'USD', 'sms', 1, 1, 1, 1)",
        ):
            raw.execute(wrong)
            assert raw.execute(WRONG_CREDITS).fetchall()
            assert not raw.execute(WRONG_DAYS).fetchall()
            raw.execute("UPDATE credit_days SET millionths = millionths + 1")
            raw.execute(
                "INSERT INTO credit_days VALUES (1, 1, 'm', 9, 'X', 'x', 1, 1, 1, 1)"
            )
            assert raw.execute(WRONG_DAYS).fetchall()
            for statement in ANEW_CREDITS:
                raw.execute(statement)
            assert raw.execute("SELECT * FROM credit_hours").fetchall() == before
            assert not raw.execute(WRONG_DAYS).fetchall()


def test_migration_counts_credits_and_owes_the_new_models_to_all():
    with empty() as raw:
        for number, script in migrations():
            if number < 13:
                raw.executescript(f"{script}; PRAGMA user_version = {number};")
        raw.execute("PRAGMA foreign_keys = OFF")
        for row in (3, 7):
            raw.execute(
                "INSERT INTO conversions (id, account_id, live, public_id,"
                " conversion_type, currency, converted_at_ms, received_at_ms,"
                " is_acquisition, properties) VALUES (?, 1, 0, ?, 'p', 'USD', 5, 5, 0,"
                " '{}')",
                (row, f"conv_{row}"),
            )
        insert(raw, 3, 0, live=0, model="first_touch", session=4, revenue=2_500_000)

        migrate(raw, ":memory:")

        assert raw.execute("SELECT role FROM credits").fetchall() == [("first_touch",)]
        assert raw.execute("SELECT units, millionths FROM credit_hours").fetchall() == [
            (2, 500_000)
        ]
        assert raw.execute(WRONG_DAYS).fetchall() == []
        owed = raw.execute(
            "SELECT model, reached, last, live FROM recredits"
        ).fetchall()
        assert sorted(owed) == [
            (model, 0, 7, 0)
            for model in sorted(
                PRESETS.keys() - {"first_touch", "last_touch", "linear"}
            )
        ]
