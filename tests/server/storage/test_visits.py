"""What is counted of visits beforehand is what their rows say, whatever happens."""

import random
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing

import pytest

from mbuzz.server.model import Tenant
from mbuzz.server.policy import DEFAULT, Policy
from mbuzz.server.privacy import retention
from mbuzz.server.storage.connection import owner
from mbuzz.server.storage.schema import migrate, migrations
from mbuzz.server.storage.sqlite import SqliteStorage
from mbuzz.server.tracking import reclassify
from mbuzz.server.tracking.channel_rules import ChannelRule, Condition
from mbuzz.server.tracking.intake import Intake
from tests.server.privacy.people import DAY_MS, START, Backend
from tests.server.tracking.test_intake import POLICIES, Beside, at_once, happen, plan

HOUR = 3_600_000
NEWS = Policy(
    channel_rules=(ChannelRule("newsletter", (Condition("source", "is", "news"),)),)
)
LISTS = (
    DEFAULT,
    NEWS,
    Policy(excluded_referrers=frozenset({"bing.com", "google.com"})),
    Policy(own_domains=frozenset({"google.com"}), session_timeout_ms=600_000),
)
COLUMNS = (
    "account_id, live, visitor, public_id, started_at_ms, last_event_at_ms,"
    " first_event, last_event, page_view_count, channel, initial_utm, click_ids,"
    " landing_url, flags, list_version"
)


@pytest.fixture(scope="module")
def backend():
    storage = SqliteStorage(":memory:")
    yield Backend(storage)
    storage.close()


def kept(rows):
    """Return what is counted beforehand; *rows* runs a query."""
    hours = rows(
        "SELECT account_id, live, hour, channel, sessions, page_views"
        " FROM session_hours"
    )
    previous = rows("SELECT id, previous_ms FROM sessions")
    returns = rows("SELECT account_id, live, hour, sessions FROM return_hours")
    return (
        {row[:4]: row[4:] for row in hours},
        dict(previous),
        {row[:3]: row[3] for row in returns},
    )


def counted(rows):
    """Return the same, counted here."""
    hours, visits = defaultdict(lambda: (0, 0)), defaultdict(list)
    previous, returns = {}, Counter()
    for row, account, live, visitor, at_ms, channel, pages in rows(
        "SELECT id, account_id, live, visitor, started_at_ms, channel, page_view_count"
        " FROM sessions"
    ):
        hour = account, live, at_ms // HOUR, channel
        hours[hour] = hours[hour][0] + 1, hours[hour][1] + pages
        visits[account, live, visitor].append((at_ms, row))
    for (account, live, _), of_one in visits.items():
        before = None
        for at_ms, row in sorted(of_one):
            if before is not None:
                returns[account, live, before // HOUR] += 1
            previous[row], before = before, at_ms
    return dict(hours), previous, dict(returns)


def rows_of(storage):
    """Return what runs a query of a test's own, on every row there is."""
    return lambda sql: storage._writer.execute(sql).fetchall()


# -- through the pipeline --


def live_through(backend, seed):
    """Let a shop live: yield after each thing that happens to it."""
    chance = random.Random(seed)
    shop = backend.shop(retention={"events_days": 40, "sessions_days": 40})
    tenants = {live: Tenant(shop.tenant.account_id, live) for live in (True, False)}
    beside = ("forget", "refund", "void")
    intake = Intake()
    for step in plan(seed, POLICIES, (True, True, False), beside):
        if isinstance(step, Beside):
            shop.write(lambda stores, s=step: happen(stores, tenants, s))
        else:
            shop.write(lambda stores, s=step: at_once(stores, intake, tenants, [s]))
        yield "calls"
        if chance.random() < 0.2:
            policy = chance.choice(LISTS)
            reclassify.run(shop.storage, tenants[True], policy, 0)
            yield "reclassified"
        if chance.random() < 0.1:
            name = chance.choice(["v1", "v2", "v3"])
            shop.erase(visitor=name)
            yield f"erased {name}"
    if chance.random() < 0.5:
        shop.erase(user=chance.choice(["u1", "u2"]))
        yield "erased a user"
    for minutes in sorted(chance.sample(range(400), 2)):
        old_ms = START + 40 * DAY_MS + minutes * 60_000
        backend.clock.advance((old_ms - backend.clock.now_ms()) / 1000)
        for _ in retention.retain(backend.storage, backend.clock):
            pass
        yield f"kept 40 days, {minutes} minutes after the first"


@pytest.mark.parametrize("first", range(0, 120, 40))
def test_late_repeated_erased_and_reclassified_visits_are_counted_as_they_are(first):
    seen = Counter()
    for seed in range(first, first + 40):
        storage = SqliteStorage(":memory:")
        with closing(storage):
            rows = rows_of(storage)
            for what in live_through(Backend(storage), seed):
                assert kept(rows) == counted(rows), (seed, what)
                seen[what.partition(" ")[0]] += 1

    assert seen.keys() == {"calls", "reclassified", "erased", "kept"}


def test_account_that_is_gone_leaves_no_counts(backend):
    shop = backend.shop()
    shop.visit("v", 0)
    rows = rows_of(backend.storage)
    assert [key[0] for key in kept(rows)[0]].count(shop.tenant.account_id) == 1
    backend.sql(
        "UPDATE accounts SET deleted_at_ms = 0 WHERE id = :id",
        id=shop.tenant.account_id,
    )

    for _ in retention.erase_accounts(backend.storage, backend.clock):
        pass

    assert shop.tenant.account_id not in {key[0] for key in kept(rows)[0]}


# -- whatever is done to the rows --


def new_session(chance, number):
    channel = chance.choice(["direct", "email", "newsletter"])
    at_ms = START + chance.choice([0, 1, HOUR, HOUR + 1, 2 * HOUR - 1])
    owners = chance.choice([1, 1, 2]), chance.choice([1, 1, 0]), chance.randint(1, 2)
    return (
        *(*owners, f"s{number}", at_ms, at_ms, 1, 1, chance.randint(0, 3), channel),
        *("{}", "{}", "", "", ""),
    )


@pytest.mark.parametrize("seed", range(12))
def test_no_change_of_the_rows_is_missed(seed):
    chance = random.Random(seed)
    marks = ",".join("?" * len(COLUMNS.split(", ")))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
        migrate(raw, ":memory:")

        def rows(sql):
            return raw.execute(sql).fetchall()

        for number in range(120):
            some = chance.choice(["id % 3 = 0", "id % 3 = 1", "visitor = 1", "1"])
            new = dict(
                zip(COLUMNS.split(", "), new_session(chance, number), strict=True)
            )
            names = ["account_id", "live", "visitor", "started_at_ms", "channel"]
            changed = chance.sample([*names, "page_view_count"], chance.randint(1, 3))
            done = chance.choice(["insert"] * 4 + ["update"] * 3 + ["delete"])
            if done == "insert":
                raw.execute(
                    f"INSERT INTO sessions ({COLUMNS}) VALUES ({marks}), ({marks})",
                    [*new.values(), *new_session(chance, number + 1000)],
                )
            elif done == "update":
                settings = ", ".join(f"{name} = :{name}" for name in changed)
                raw.execute(f"UPDATE sessions SET {settings} WHERE {some}", new)
            elif some != "1" or chance.random() < 0.2:
                raw.execute(f"DELETE FROM sessions WHERE {some}")
            assert kept(rows) == counted(rows), (number, done, some, changed)


def test_migration_counts_what_is_there_already():
    chance = random.Random(1)
    marks = ",".join("?" * len(COLUMNS.split(", ")))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
        for number, script in migrations():
            if number < 10:
                raw.executescript(f"{script}; PRAGMA user_version = {number};")
        for number in range(60):
            raw.execute(
                f"INSERT INTO sessions ({COLUMNS}) VALUES ({marks})",
                new_session(chance, number),
            )

        migrate(raw, ":memory:")

        def rows(sql):
            return raw.execute(sql).fetchall()

        assert kept(rows)[0]
        assert kept(rows) == counted(rows)


# -- reports --


@pytest.fixture(scope="module")
def busy(backend):
    """Return a shop of some days, with many who came back."""
    chance = random.Random(3)
    shop = backend.shop()
    minutes = sorted(chance.randrange(4 * 24 * 60) for _ in range(300))
    for minute in minutes:
        name = chance.choice(["-", "newsletter", "google"])
        shop.visit(f"v{chance.randrange(60)}", minute + chance.random(), name)
    return shop


def totals(shop, from_ms, to_ms):
    found = shop.storage.read(
        lambda stores: stores.reports.totals(shop.tenant, from_ms, to_ms, "USD")
    )
    return dict(found.visits), found.page_views, found.visitors


def totals_of_rows(rows, from_ms, to_ms):
    inside = [row for row in rows if from_ms <= row[0] < to_ms]
    visits = Counter(channel for _, channel, _, _ in inside)
    return (
        dict(visits),
        sum(pages for *_, pages in inside),
        len({visitor for _, _, visitor, _ in inside}),
    )


def test_any_period_is_counted_to_the_millisecond(busy):
    chance = random.Random(4)
    rows = busy.rows(
        "SELECT started_at_ms, channel, visitor, page_view_count FROM sessions"
        " WHERE $tenant"
    )
    assert len(rows) > 200
    begin = START - START % HOUR
    edges = [row[0] for row in rows] + [
        begin + half * HOUR // 2 + quarter * HOUR // 4
        for half in range(-2, 4 * 48)
        for quarter in (0, 1)
    ]
    periods = [sorted(chance.sample(edges, 2)) for _ in range(400)]
    periods += [(0, 2**60), (begin, begin), (begin, begin + 1), (begin + 5, begin + 9)]
    periods += [(edge, edge + HOUR) for edge in edges[::7]]
    periods += [(edge, 2**60) for edge in edges[::3]]

    for from_ms, to_ms in periods:
        for moved in (0, 1):
            period = from_ms + moved, to_ms + moved
            assert totals(busy, *period) == totals_of_rows(rows, *period), period


def test_period_that_ends_before_it_begins_is_empty(busy):
    assert totals(busy, START + 5 * HOUR, START + HOUR) == ({}, 0, 0)


def test_sums_of_long_periods_are_read_from_indexes_alone(busy):
    from mbuzz.server.storage import visits_sql

    values = {**owner(busy.tenant), "from_ms": 0, "to_ms": 0, "first_hour": 0}
    values |= {"end_hour": 0, "whole_ms": 0, "rest_ms": 0}
    for sql, needed in (
        (visits_sql._VISITS, "SEARCH session_hours USING PRIMARY KEY"),
        (visits_sql._CAME_BACK, "USING COVERING INDEX sessions_of_returning"),
        (visits_sql._CAME_BACK_TILL_NOW, "SEARCH return_hours USING PRIMARY KEY"),
        (visits_sql._CAME_BACK_TILL_NOW, "COVERING INDEX sessions_of_returning"),
        (visits_sql._ANY_LATER, "COVERING INDEX sessions_by_time"),
    ):
        steps = [
            row[3]
            for row in busy.storage._writer.execute(f"EXPLAIN QUERY PLAN {sql}", values)
        ]
        assert any(needed in step for step in steps), steps
        assert not any("SCAN sessions" in step for step in steps), steps
