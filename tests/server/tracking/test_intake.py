"""Batches that are taken in one go leave what the same calls leave one by one."""

import random
from contextlib import suppress
from dataclasses import replace
from itertools import count, groupby
from typing import NamedTuple

import pytest

from mbuzz.server.conversion_settings import ONCE_PER_IDENTITY, ONCE_PER_SESSION
from mbuzz.server.model import (
    AliasCall,
    ConversionCall,
    GroupCall,
    IdentifyCall,
    RefundCall,
    Tenant,
    TrackCall,
)
from mbuzz.server.policy import DEFAULT, Policy
from mbuzz.server.storage.errors import StorageBusyError
from mbuzz.server.storage.sqlite import SqliteStorage
from mbuzz.server.tracking import memory as remembering
from mbuzz.server.tracking import plain, processor
from mbuzz.server.tracking.identity import RefusedError
from mbuzz.server.tracking.intake import Batch, Intake
from mbuzz.server.tracking.memory import Memory
from mbuzz.server.tracking.open_sessions import KnownVisitor
from mbuzz.server.tracking.processor import process
from mbuzz.server.tracking.recorded import GroupRecorded
from mbuzz.server.tracking.refunds import refund, void

START = 1_750_000_000_000
MINUTE = 60_000
RECEIVED = START + 1000 * MINUTE
REFUSED = ((),) * 16 + (("analytics",), ("ads",), ("gpc",))
PAGES = (
    ("https://shop.example/", None),
    ("https://shop.example/a", "https://shop.example/"),
    ("https://shop.example/?utm_source=google&utm_medium=cpc", "https://google.com/"),
    ("https://shop.example/b?utm_source=news&utm_medium=email", None),
    ("https://shop.example/?utm_source=own", "https://shop.example/a"),
    ("https://shop.example/", "https://www.bing.com/"),
    (None, None),
)
SHOP = "https://shop.example/"
POLICIES = (
    DEFAULT,
    Policy(strict_visitors=True),
    Policy(auto_link=False),
    Policy(refused_consent="keep", respect_gpc=False),
    Policy(session_timeout_ms=10 * MINUTE, split_on_referrer="any"),
    Policy(split_on_campaign=False, split_on_referrer="none", store_ip="full"),
    Policy(
        spam_referrers=frozenset({"bing.com"}), own_domains=frozenset({"google.com"})
    ),
    Policy(counting={"purchase": ONCE_PER_IDENTITY}, lookback_days=0),
    Policy(counting={"purchase": ONCE_PER_SESSION}, strict_visitors=True),
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
    kind = chance.choice(["track"] * 12 + ["identify", "alias", "conversion", "group"])
    if kind == "group":
        return GroupCall(
            call_id=None,
            group_id="g",
            user_id=chance.choice([user, None]),
            visitor_id=visitor,
            traits={},
            at_ms=at_ms,
        )
    if kind == "identify":
        return IdentifyCall(user_id=user, visitor_id=visitor, traits={}, at_ms=at_ms)
    if kind == "alias":
        previous = chance.choice(["u1", "v3", "v4", "u3"])
        return AliasCall(user_id="u2", previous_id=previous, at_ms=at_ms)
    if kind == "conversion":
        return ConversionCall(
            conversion_id=f"conv_{number:08}",
            dedupe_key=chance.choice([None, None, "order"]),
            conversion_type="purchase",
            visitor_id=visitor if number % 3 else None,
            user_id=chance.choice([user, None]) if number % 3 else user,
            event_id=f"e{number - 2}" if chance.random() < 0.1 else None,
            revenue_minor=1000,
            currency=None,
            converted_at_ms=at_ms,
            received_at_ms=RECEIVED,
            is_acquisition=chance.random() < 0.3,
            inherits=chance.random() < 0.3,
        )
    url, referrer = chance.choice(PAGES)
    return TrackCall(
        event_id=f"e{number}",
        event_type="page_view" if url else "Paid",
        visitor_id=visitor if number % 10 else None,
        user_id=user if chance.random() < 0.3 or not number % 10 else None,
        session_id=chance.choice([None, None, None, "s1", "s2"]),
        occurred_at_ms=at_ms,
        received_at_ms=RECEIVED,
        said_ms=at_ms if chance.random() < 0.95 else None,
        url=url,
        referrer=referrer,
        user_agent=chance.choice(["Firefox"] * 9 + ["curl/8"]),
        webdriver=chance.random() < 0.02,
        ignore_referrer=chance.random() < 0.05,
        refused=frozenset(chance.choice(REFUSED)),
        properties={"n": number, "ip": "192.0.2.7"},
    )


class Request(NamedTuple):
    """A batch: whose environment, under which settings, and its calls."""

    live: bool
    policy: Policy
    calls: list


class Beside(NamedTuple):
    """What the server does between batches; `what` is forget, refund or void."""

    what: str
    at_ms: int


def call_again(chance, call):
    """Return *call* once more: the same, or from somebody else's browser."""
    if not isinstance(call, TrackCall) or chance.random() < 0.6:
        return call
    return call._replace(
        visitor_id=chance.choice(["v1", "v2", "v5"]),
        refused=frozenset(chance.choice(REFUSED)),
        said_ms=chance.choice([call.said_ms, None]),
        url=chance.choice([call.url, None]),
    )


def plan(seed, policies=(DEFAULT,), environments=(True,), beside=()):
    """Return batches of calls: mostly in order, some late, some again."""
    chance = random.Random(seed)
    policy = chance.choice(policies)
    steps, calls, minute = [], [], 0
    for number in range(chance.randint(2, 24)):
        if not steps or chance.random() < 0.4:
            if chance.random() < 0.1:
                policy = chance.choice(policies)
            if beside and chance.random() < 0.15:
                at_ms = START + round((minute - chance.choice([0, 30, 60])) * MINUTE)
                steps.append(Beside(chance.choice(beside), at_ms))
            steps.append(Request(chance.choice(environments), policy, []))
        minute += chance.choice([0, 0.001, 1, 5, 12, 29, 30, 31])
        late = chance.choice([0, 0, 0, 0, 0, 0, 1, 10, 29.999, 30, 45, 100])
        if calls and chance.random() < 0.1:
            call = call_again(chance, chance.choice(calls))
        else:
            call = call_of(chance, number, minute - late)
        calls.append(call)
        steps[-1].calls.append(call)
    return steps


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
            " s.initial_utm, s.landing_url, s.referrer, s.flags, s.sealed,"
            " CASE s.sealed WHEN 0 THEN f.event_id END,"
            " CASE s.sealed WHEN 0 THEN l.event_id END"
            " FROM sessions s JOIN visitors v ON v.id = s.visitor"
            " LEFT JOIN events f ON f.id = s.first_event"
            " LEFT JOIN events l ON l.id = s.last_event",
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
            " s.started_at_ms, c.length, c.before_ms, c.weight FROM credits c"
            " JOIN conversions n ON n.id = c.conversion"
            " LEFT JOIN sessions s ON s.id = c.session",
            "c",
        ),
        "conversions": rows(
            "SELECT n.public_id, v.visitor_id, i.user_id, n.counted, n.acquires,"
            " n.flags, a.public_id, n.counting, n.refunded_minor,"
            " n.voided_at_ms, n.frozen"
            " FROM conversions n LEFT JOIN visitors v ON v.id = n.visitor"
            " LEFT JOIN identities i ON i.id = n.identity"
            " LEFT JOIN conversions a ON a.id = n.inherited_from",
            "n",
        ),
        "refunds": rows(
            "SELECT n.public_id, r.model, r.position, r.channel, r.revenue,"
            " r.refunded_at_ms FROM refund_credits r"
            " JOIN conversions n ON n.id = r.conversion",
            "r",
        ),
        "members": rows(
            "SELECT v.visitor_id, i.user_id, m.since_ms FROM memberships m"
            " LEFT JOIN visitors v ON v.id = m.visitor"
            " LEFT JOIN identities i ON i.id = m.identity",
            "m",
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


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_nothing_that_an_account_may_set_changes_that(memory, first):
    for seed in range(first, first + 100):
        check_same(memory, plan(seed, POLICIES), merged=seed % 4 > 0)


@pytest.mark.parametrize("first", range(0, 200, 100))
def test_what_is_forgotten_or_given_back_meanwhile_is_the_same(memory, first):
    for seed in range(first, first + 100):
        steps = plan(seed, POLICIES[-3:], (True, False), ("forget", "refund", "void"))
        check_same(memory, steps, merged=True)


@pytest.mark.parametrize("first", range(0, 200, 100))
def test_visitors_as_fast_as_programs_are_the_same(memory, first, monkeypatch):
    monkeypatch.setattr(plain, "_MANY_VIEWS", 3)
    monkeypatch.setattr(processor, "MOST_A_MINUTE", 3)
    for seed in range(first, first + 100):
        check_same(memory, hasty(plan(seed, POLICIES[:1])), merged=seed % 2 > 0)


@pytest.mark.parametrize("first", range(0, 200, 100))
def test_calls_about_the_erased_are_the_same(memory, first):
    erased = [("visitor", "v1"), ("user", "u2"), ("event", "e3")]
    for seed in range(first, first + 100):
        which = random.Random(seed).sample(erased, 2)
        check_same(memory, plan(seed, POLICIES), merged=True, erased=which)


def page(number, visitor="v1", minute=0, **fields):
    """Return a plain page view."""
    at_ms = START + round(minute * MINUTE)
    return TrackCall(
        **{
            "event_id": f"e{number}",
            "event_type": "page_view",
            "visitor_id": visitor,
            "user_id": None,
            "session_id": None,
            "occurred_at_ms": at_ms,
            "received_at_ms": at_ms,
            "said_ms": at_ms,
            "url": "https://shop.example/",
            **fields,
        }
    )


def test_accounts_that_wait_together_are_all_taken_in_one_go(memory):
    tenants = [Tenant(next(accounts), live=live) for live in (True, True, False)]
    batches = [
        Batch(tenant, DEFAULT, [page(number, f"v{number % 2}", number)])
        for number, tenant in enumerate(tenants * 3)
    ]
    call = IdentifyCall(user_id="u", visitor_id="v0", traits={}, at_ms=START)
    batches.insert(5, Batch(tenants[0], DEFAULT, [call]))

    recorded = memory.write(lambda stores: Intake().record(stores, batches))

    assert [one.event_id for (one,) in recorded if hasattr(one, "event_id")] == [
        f"e{number}" for number in range(9)
    ]
    for tenant in tenants:
        assert len(memory.read(lambda s, t=tenant: left(s, t))["events"]) == 3


def test_event_that_was_not_kept_is_no_repeat_of_itself(memory):
    tenant = Tenant(next(accounts), live=True)
    refused = page(1, refused=frozenset({"analytics"}))

    recorded = memory.write(
        lambda s: Intake().record(s, [Batch(tenant, DEFAULT, [refused, page(1)])])
    )

    assert [one.dropped for one in recorded[0]] == [True, False]
    assert [one.duplicate for one in recorded[0]] == [False, False]
    assert len(memory.read(lambda s: left(s, tenant))["events"]) == 1


def test_repeat_without_a_time_makes_no_repeat_of_another_hours_event(memory):
    hour = MINUTE * 60
    before, now = START - START % hour - 1, START
    known = page(1, occurred_at_ms=before, said_ms=before)
    again = page(1, said_ms=None, refused=frozenset({"gpc"}))
    steps = [Request(True, DEFAULT, calls) for calls in ([known], [again, page(1)])]

    check_same(memory, steps, merged=False)
    tenant = Tenant(next(accounts) - 2, live=True)
    events = memory.read(lambda s: left(s, tenant))["events"]

    assert sorted(event[5] for event in events) == [before, now]


def test_repeat_without_consent_tells_nobody_who_it_was(memory):
    tenant = Tenant(next(accounts), live=True)
    refused = page(1, refused=frozenset({"analytics"}))

    recorded = memory.write(
        lambda s: Intake().record(s, [Batch(tenant, DEFAULT, [page(1), refused])])
    )

    assert recorded[0][1].dropped
    assert recorded[0][1].visitor_id is None


@pytest.mark.parametrize("merged", [True, False])
def test_settings_count_from_the_request_on_that_came_under_them(memory, merged):
    before, after = DEFAULT, Policy(excluded_referrers=frozenset({"google.com"}))
    google, bing = "https://www.google.com/", "https://www.bing.com/"
    steps = [
        Request(True, before, [page(1, referrer=google)]),
        Request(True, after, [page(2, minute=1, referrer=bing)]),
    ]

    check_same(memory, steps, merged)
    tenant = Tenant(next(accounts) - 2, live=True)

    # Google's is no source any more, so Bing's begins a visit.
    assert len(memory.read(lambda s: left(s, tenant))["sessions"]) == 2


CONVERSION = ConversionCall(
    conversion_id="conv_00000001",
    dedupe_key=None,
    conversion_type="purchase",
    visitor_id="v1",
    user_id=None,
    event_id=None,
    revenue_minor=1000,
    currency=None,
    converted_at_ms=START + 90 * MINUTE,
    received_at_ms=RECEIVED,
)


def test_visit_goes_on_from_the_last_of_those_that_began_at_once(memory):
    begun = [page(1, url=f"{SHOP}?utm_source=b"), page(2, url=f"{SHOP}?utm_source=a")]
    steps = [
        Request(True, DEFAULT, calls)
        for calls in (*([one] for one in begun), [page(3, minute=1)])
    ]

    check_same(memory, steps, merged=False)


def test_visit_of_a_person_counts_who_gets_a_conversion_in_the_same_batch(memory):
    before = [page(1, "v2", user_id="u1"), page(2, "v1"), CONVERSION]
    linked = page(3, "v1", minute=10, user_id="u1")
    visit = page(4, "v2", minute=60, url=f"{SHOP}?utm_source=news")
    steps = [Request(True, DEFAULT, calls) for calls in (before, [linked, visit])]

    check_same(memory, steps, merged=False)
    tenant = Tenant(next(accounts) - 2, live=True)

    credits_ = memory.read(lambda s: left(s, tenant))["credits"]
    assert START + 60 * MINUTE in {row[6] for row in credits_}


def test_visit_whose_pages_are_forgotten_keeps_its_source(memory):
    late = page(2, minute=5, url=f"{SHOP}?utm_source=news")
    steps = [
        Request(True, DEFAULT, [page(1)]),
        Beside("forget", START + MINUTE),
        Request(True, DEFAULT, [late]),
    ]

    check_same(memory, steps, merged=False)


def test_late_visit_is_credited_with_a_conversion_that_was_here_before(memory):
    late = page(2, minute=60, url=f"{SHOP}?utm_source=news")
    steps = [Request(True, DEFAULT, calls) for calls in ([page(1), CONVERSION], [late])]

    check_same(memory, steps, merged=False)
    tenant = Tenant(next(accounts) - 2, live=True)

    credits_ = memory.read(lambda s: left(s, tenant))["credits"]
    assert {row[6] for row in credits_} == {START, START + 60 * MINUTE}


@pytest.mark.parametrize(
    ("visitor", "user"), [("v1", None), (None, "u1")], ids=["other browser", "person"]
)
def test_late_visit_is_credited_with_a_conversion_of_the_same_person(
    memory, visitor, user
):
    bought = replace(CONVERSION, visitor_id=visitor, user_id=user)
    known = [
        IdentifyCall(user_id="u1", visitor_id=name, traits={}, at_ms=START)
        for name in ("v1", "v2")
    ]
    late = page(4, "v2", minute=60, url=f"{SHOP}?utm_source=news")
    first = [page(1, "v1"), page(2, "v2"), *known, bought, page(3, "v3")]
    steps = [Request(True, DEFAULT, calls) for calls in (first, [late])]

    check_same(memory, steps, merged=False)
    tenant = Tenant(next(accounts) - 2, live=True)

    credits_ = memory.read(lambda s: left(s, tenant))["credits"]
    assert START + 60 * MINUTE in {row[6] for row in credits_}


# -- what is remembered of visitors --


def test_visitor_who_came_a_moment_ago_costs_no_question(memory):
    tenant, intake, said = Tenant(next(accounts), live=True), Intake(), []
    for number in range(3):
        batch = Batch(tenant, DEFAULT, [page(number, minute=number)])
        memory._writer.set_trace_callback(said.append if number == 2 else None)
        memory.write(lambda s, b=batch: intake.record(s, [b]))
    memory._writer.set_trace_callback(None)

    assert any("INSERT INTO events" in sql for sql in said)
    (asked,) = [sql for sql in said if sql.startswith("SELECT")]
    assert "e.event_id = j.value" in asked  # whether it was stored before
    (session,) = memory.read(lambda s: left(s, tenant))["sessions"]
    assert session[4] == 3  # page views


def test_conversion_that_came_beside_the_batches_is_credited_anew(memory):
    tenant, intake = Tenant(next(accounts), live=True), Intake()
    late = page(2, minute=60, url=f"{SHOP}?utm_source=news")

    def convert(stores):
        process(stores.tracking, tenant, DEFAULT, CONVERSION)

    memory.write(lambda s: intake.record(s, [Batch(tenant, DEFAULT, [page(1)])]))
    memory.write(convert)
    memory.write(lambda s: intake.record(s, [Batch(tenant, DEFAULT, [late])]))

    credits_ = memory.read(lambda s: left(s, tenant))["credits"]
    assert {row[6] for row in credits_} == {START, START + 60 * MINUTE}


def test_what_another_process_stores_is_seen(tmp_path):
    path, tenant, intake = str(tmp_path / "mbuzz.db"), Tenant(1, live=True), Intake()
    late = page(2, minute=60, url=f"{SHOP}?utm_source=news")
    ours, theirs = SqliteStorage(path), SqliteStorage(path)

    ours.write(lambda s: intake.record(s, [Batch(tenant, DEFAULT, [page(1)])]))
    theirs.write(lambda s: process(s.tracking, tenant, DEFAULT, CONVERSION))
    ours.write(lambda s: intake.record(s, [Batch(tenant, DEFAULT, [late])]))

    credits_ = ours.read(lambda s: left(s, tenant))["credits"]
    for storage in (ours, theirs):
        storage.close()
    assert {row[6] for row in credits_} == {START, START + 60 * MINUTE}


def test_rows_that_another_process_has_taken_are_taken(tmp_path):
    path, tenant = str(tmp_path / "mbuzz.db"), Tenant(1, live=True)
    storages = [SqliteStorage(path), SqliteStorage(path)]
    intakes = [Intake(), Intake()]

    for number in range(6):
        call = page(number, f"v{number % 4}", minute=number)
        batch, intake = Batch(tenant, DEFAULT, [call]), intakes[number % 2]
        storages[number % 2].write(lambda s, i=intake, b=batch: i.record(s, [b]))

    sessions = storages[0].read(lambda s: left(s, tenant))["sessions"]
    for storage in storages:
        storage.close()
    assert [(row[0], row[4]) for row in sessions] == [
        *[("v0", 2), ("v1", 2), ("v2", 1), ("v3", 1)]
    ]


def test_somebody_erased_between_two_batches_is_not_kept(memory):
    tenant, intake = Tenant(next(accounts), live=True), Intake()

    def take(stores, number, visitor):
        batch = Batch(tenant, DEFAULT, [page(number, visitor, minute=number)])
        return intake.record(stores, [batch])

    def erase(stores):
        stores.privacy.set_secret(tenant, "secret")
        stores.privacy.suppress(tenant, [("visitor", "v2")], 2**60)

    memory.write(lambda stores: take(stores, 1, "v1"))
    memory.write(erase)
    memory.write(lambda stores: take(stores, 2, "v2"))

    sessions = memory.read(lambda s: left(s, tenant))["sessions"]
    assert [session[0] for session in sessions] == ["v1"]


@pytest.mark.parametrize("fails", ["the work", "the commit"])
def test_visit_that_was_not_stored_after_all_is_not_remembered(memory, fails):
    tenant, intake = Tenant(next(accounts), live=True), Intake()

    def take(stores, visitor, number):
        batch = Batch(tenant, DEFAULT, [page(number, visitor, minute=number)])
        return intake.record(stores, [batch])

    def fail(stores):
        take(stores, "v2", 2)
        if fails == "the work":
            raise LookupError
        stores.tracking._db.run("PRAGMA defer_foreign_keys = ON", {})
        stores.tracking.add_link(tenant, 10**9, 10**9, 0, 0)

    memory.write(lambda stores: take(stores, "v1", 1))
    with pytest.raises((LookupError, StorageBusyError)):
        memory.write(fail)
    memory.write(lambda stores: take(stores, "v2", 3))

    sessions = memory.read(lambda s: left(s, tenant))["sessions"]
    assert [(session[0], session[4]) for session in sessions] == [("v1", 1), ("v2", 1)]


def test_no_more_visitors_are_remembered_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(remembering, "_MOST", 2)
    memory, tenant = Memory(), Tenant(1, live=True)
    for number in range(3):
        visitor = KnownVisitor(0)
        visitor.new = False
        memory.recall(tenant, DEFAULT)
        memory.keep(tenant, {f"v{number}": visitor})
        memory.end(number)
        remembered = len(memory.recall(tenant, DEFAULT).visitors)

        assert remembered == (number + 1) % 3


def test_page_before_all_that_is_remembered_is_placed_by_what_is_stored(memory):
    server_event = page(1, url=None, event_type="Paid", minute=50)
    forgets = IdentifyCall(user_id="u", visitor_id="v2", traits={}, at_ms=START)
    program = page(2, minute=100, user_agent="curl/8")
    steps = [
        Request(True, DEFAULT, [call])
        for call in (server_event, forgets, program, page(3, minute=40))
    ]

    check_same(memory, steps, merged=False)


def test_remembered_visitor_who_becomes_a_buyer_counts_at_once(memory):
    news = page(4, "v2", minute=60, url=f"{SHOP}?utm_source=news")
    steps = [
        Request(True, DEFAULT, calls)
        for calls in (
            [
                page(1, "v1"),
                IdentifyCall(user_id="u2", visitor_id="v1", traits={}, at_ms=START),
                CONVERSION,
            ],
            [page(2, "v2", user_id="u1")],
            [page(3, "v2", minute=10, user_id="u1")],
            [AliasCall(user_id="u2", previous_id="u1", at_ms=START), news],
        )
    ]

    check_same(memory, steps, merged=False)
    tenant = Tenant(next(accounts) - 2, live=True)

    credits_ = memory.read(lambda s: left(s, tenant))["credits"]
    assert START + 60 * MINUTE in {row[6] for row in credits_}


def test_program_is_one_in_its_next_visit_too(memory):
    slow = [page(n, minute=n) for n in range(60)]
    slow += [page(60 + n, minute=60 + n / 1000) for n in range(60)]
    newer = [page(120, minute=60.1, url="https://shop.example/?utm_source=news")]
    fast = [page(121 + n, minute=60.2 + n / 1000) for n in range(80)]
    steps = [Request(True, DEFAULT, calls) for calls in (slow, newer, fast)]

    check_same(memory, steps, merged=False)


def test_group_of_somebody_erased_is_kept_by_strict_accounts_too(memory):
    tenant = Tenant(next(accounts), live=True)
    call = GroupCall(
        call_id=None,
        group_id="g",
        user_id=None,
        visitor_id="v1",
        traits={"plan": "pro"},
        at_ms=START,
    )

    def done(stores):
        stores.tracking.set_secret(tenant, "secret")
        stores.tracking.suppress(tenant, [("visitor", "v1")], RECEIVED)
        return process(stores.tracking, tenant, Policy(strict_visitors=True), call)

    assert isinstance(memory.write(done), GroupRecorded)


def hasty(steps):
    """Return *steps* within a few minutes."""
    return [
        step._replace(
            calls=[
                call._replace(
                    occurred_at_ms=START + (call.occurred_at_ms - START) // 20
                )
                for call in step.calls
                if isinstance(call, TrackCall)
            ]
        )
        for step in steps
    ]


def check_same(memory, steps, merged, erased=()):
    account = next(accounts), next(accounts)
    one, other = (
        {live: Tenant(number, live=live) for live in (True, False)}
        for number in account
    )

    def forget_people(stores):
        for tenant in (*one.values(), *other.values()):
            stores.tracking.set_secret(tenant, "secret")
            stores.tracking.suppress(tenant, erased, RECEIVED + 1)

    if erased:
        memory.write(forget_people)
    groups = [
        (beside, list(group))
        for beside, group in groupby(steps, key=lambda step: isinstance(step, Beside))
    ]
    answers, expected, intake = [], [], Intake()
    for tenants in (one, other):  # in turn, or what is remembered would be forgotten
        for beside, group in groups:
            if beside:
                for step in group:
                    memory.write(lambda s, w=(tenants, step): happen(s, *w))
            elif tenants is other:
                expected += memory.write(lambda s, g=group: one_by_one(s, other, g))
            else:
                for part in [group] if merged else [[request] for request in group]:
                    answers += memory.write(
                        lambda s, p=part: at_once(s, intake, one, p)
                    )

    assert [said(batch) for batch in answers] == [said(batch) for batch in expected]
    for live in (True, False):
        mine, theirs = (
            memory.read(lambda s, t=tenants[live]: left(s, t))
            for tenants in (one, other)
        )
        assert mine == theirs


def at_once(stores, intake, tenants, requests):
    batches = [Batch(tenants[r.live], r.policy, r.calls) for r in requests]
    return intake.record(stores, batches)


def one_by_one(stores, tenants, requests):
    return [
        [process(stores.tracking, tenants[r.live], r.policy, call) for call in r.calls]
        for r in requests
    ]


def happen(stores, tenants, step):
    """Do what happens beside the batches."""
    for tenant in tenants.values():
        if step.what == "forget":
            stores.privacy.forget_events(tenant, step.at_ms, 1_000)
            continue
        owner = {"account_id": tenant.account_id, "live": int(tenant.live)}
        rows = stores.tracking._db.rows(
            "SELECT MIN(id) FROM conversions"
            " WHERE account_id = :account_id AND live = :live",
            owner,
        )
        if rows[0][0] is None:
            continue
        conversion = stores.tracking.conversion(tenant, rows[0][0])
        if step.what == "void":
            void(stores.tracking, tenant, DEFAULT, conversion, step.at_ms, None)
            continue
        call = RefundCall(
            refund_id=f"r{step.at_ms}",
            amount="1.23",
            reason=None,
            refunded_at_ms=step.at_ms,
            received_at_ms=RECEIVED,
        )
        with suppress(RefusedError):
            refund(stores.tracking, tenant, DEFAULT, conversion, call)
