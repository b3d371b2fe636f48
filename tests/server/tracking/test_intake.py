"""Batches that are taken in one go leave what the same calls leave one by one."""

import random
from itertools import count

import pytest

from mbuzz.server.model import (
    AliasCall,
    ConversionCall,
    IdentifyCall,
    Tenant,
    TrackCall,
)
from mbuzz.server.policy import DEFAULT
from mbuzz.server.storage.sqlite import SqliteStorage
from mbuzz.server.tracking.intake import Batch, record
from mbuzz.server.tracking.processor import process

START = 1_750_000_000_000
MINUTE = 60_000
PAGES = (
    ("https://shop.example/", None),
    ("https://shop.example/a", "https://shop.example/"),
    ("https://shop.example/?utm_source=google&utm_medium=cpc", "https://google.com/"),
    ("https://shop.example/b?utm_source=news&utm_medium=email", None),
    ("https://shop.example/?utm_source=own", "https://shop.example/a"),
    ("https://shop.example/", "https://www.bing.com/"),
    (None, None),
)
accounts = count(1)


@pytest.fixture(scope="module")
def memory():
    storage = SqliteStorage(":memory:")
    yield storage
    storage.close()


def call_of(chance, number, minute):
    at_ms = START + round(minute * MINUTE)
    visitor = chance.choice(["v1", "v2", "v3"])
    user = chance.choice(["u1", "u2"])
    kind = chance.choice(["track"] * 12 + ["identify", "alias", "conversion"])
    if kind == "identify":
        return IdentifyCall(user_id=user, visitor_id=visitor, traits={}, at_ms=at_ms)
    if kind == "alias":
        previous = chance.choice(["u1", "v3"])
        return AliasCall(user_id="u2", previous_id=previous, at_ms=at_ms)
    if kind == "conversion":
        return ConversionCall(
            conversion_id=f"conv_{number:08}",
            dedupe_key=None,
            conversion_type="purchase",
            visitor_id=visitor if number % 3 else None,
            user_id=chance.choice([user, None]) if number % 3 else user,
            event_id=None,
            revenue_minor=1000,
            currency=None,
            converted_at_ms=at_ms,
            received_at_ms=START + 1000 * MINUTE,
        )
    url, referrer = chance.choice(PAGES)
    return TrackCall(
        event_id=f"e{number}",
        event_type="page_view" if url else "Paid",
        visitor_id=visitor if number % 10 else None,
        user_id=user if chance.random() < 0.3 or not number % 10 else None,
        session_id=chance.choice([None, None, None, "s1", "s2"]),
        occurred_at_ms=at_ms,
        received_at_ms=START + 1000 * MINUTE,
        said_ms=at_ms,
        url=url,
        referrer=referrer,
        user_agent=chance.choice(["Firefox"] * 9 + ["curl/8"]),
        properties={"n": number},
    )


def plan(seed):
    """Return batches of calls: mostly in order, some late, some again."""
    chance = random.Random(seed)
    batches, calls, minute = [[]], [], 0
    for number in range(chance.randint(2, 24)):
        if chance.random() < 0.4:
            batches.append([])
        minute += chance.choice([0, 0.001, 1, 5, 12, 29, 30, 31])
        late = chance.choice([0, 0, 0, 0, 0, 0, 1, 10, 29.999, 30, 45, 100])
        if calls and chance.random() < 0.1:
            call = chance.choice(calls)
        else:
            call = call_of(chance, number, minute - late)
        calls.append(call)
        batches[-1].append(call)
    return [batch for batch in batches if batch]


def left(stores, tenant):
    """Return what is stored, without row numbers and random ids."""
    owner = {"account_id": tenant.account_id, "live": int(tenant.live)}
    mine = "WHERE {0}.account_id = :account_id AND {0}.live = :live"

    def rows(sql, alias):
        found = stores.tracking._db.rows(f"{sql} {mine.format(alias)}", owner)
        return sorted(found, key=repr)

    return {
        "sessions": rows(
            "SELECT v.visitor_id, s.client_session_id, s.started_at_ms,"
            " s.last_event_at_ms, s.page_view_count, s.channel, s.source, s.medium,"
            " s.initial_utm, s.landing_url, s.referrer, s.flags, f.event_id, l.event_id"
            " FROM sessions s JOIN visitors v ON v.id = s.visitor"
            " JOIN events f ON f.id = s.first_event"
            " JOIN events l ON l.id = s.last_event",
            "s",
        ),
        "events": rows(
            "SELECT e.event_id, e.event_type, v.visitor_id, i.user_id, e.id_hour,"
            " e.occurred_at_ms, e.received_at_ms, e.said_at_ms, e.url, e.referrer,"
            " e.landing, e.user_agent, e.bot_reason, e.flags, e.properties,"
            " e.client_session_id,"
            " s.started_at_ms, s.landing_url"
            " FROM events e LEFT JOIN visitors v ON v.id = e.visitor"
            " LEFT JOIN identities i ON i.id = e.identity"
            " LEFT JOIN sessions s ON s.id = e.session",
            "e",
        ),
        "links": rows(
            "SELECT v.visitor_id, i.user_id, l.linked_from_ms, l.linked_until_ms,"
            " l.said_ms FROM links l JOIN visitors v ON v.id = l.visitor"
            " JOIN identities i ON i.id = l.identity",
            "l",
        ),
        "credits": rows(
            "SELECT n.public_id, c.model, c.position, c.channel, c.credit, c.revenue,"
            " s.started_at_ms FROM credits c JOIN conversions n ON n.id = c.conversion"
            " LEFT JOIN sessions s ON s.id = c.session",
            "c",
        ),
        "visitors": rows("SELECT v.visitor_id, v.first_seen_ms FROM visitors v", "v"),
    }


def said(recorded):
    """Return what the caller is told, without the server's own session ids."""
    return [
        (type(one).__name__, getattr(one, "event_id", None), getattr(one, "bot", None),
         getattr(one, "duplicate", None), getattr(one, "visitor_id", None))
        for one in recorded
    ]  # fmt: skip


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("first", range(0, 400, 100))
def test_batches_leave_what_single_calls_leave(memory, first, merged):
    for seed in range(first, first + 100):
        check_same(memory, plan(seed), merged)


def check_same(memory, batches, merged, policy=DEFAULT):
    one, other = (Tenant(next(accounts), live=True) for _ in range(2))

    def at_once(stores):
        if merged:  # requests that wait together are taken together
            return record(stores, [Batch(one, policy, batch) for batch in batches])
        return [record(stores, [Batch(one, policy, batch)])[0] for batch in batches]

    def one_by_one(stores):
        return [
            [process(stores.tracking, other, policy, call) for call in batch]
            for batch in batches
        ]

    answers = memory.write(at_once)
    expected = memory.write(one_by_one)

    assert [said(batch) for batch in answers] == [said(batch) for batch in expected]
    assert memory.read(lambda s: left(s, one)) == memory.read(lambda s: left(s, other))
