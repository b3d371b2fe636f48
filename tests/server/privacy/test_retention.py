"""Keeping things no longer than the account wants, and what remains (G7, G8, E3)."""

import itertools

import pytest

from mbuzz.server.policy import Policy
from mbuzz.server.privacy import retention
from mbuzz.server.privacy.keeping import DEFAULT, check_retention, retention_of
from mbuzz.server.storage.truth_sql import broken_truths
from mbuzz.server.tracking.processor import process
from tests.server.privacy.people import DAY, DAY_MS, START, at
from tests.server.privacy.test_erasure import live_of
from tests.server.tracking.visits import VECTORS


def run(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.fixture
def night(backend):
    """Return what lets a number of days pass, and does the nightly job."""

    def pass_until(days, job=retention.retain):
        behind = START + days * DAY_MS - backend.clock.now_ms()
        backend.clock.advance(behind / 1000)
        return run(job(backend.storage, backend.clock))

    return pass_until


def count(shop, table, where="1"):
    ((number,),) = shop.rows(f"SELECT COUNT(*) FROM {table} WHERE $tenant AND {where}")
    return number


def sessions_of(shop):
    return shop.rows(
        "SELECT public_id, started_at_ms, last_event_at_ms, page_view_count, channel,"
        " landing_url, initial_utm, flags FROM sessions WHERE $tenant ORDER BY id"
    )


def test_events_go_after_their_time_and_sessions_and_credits_stay(backend, night):
    shop = backend.shop(retention={"events_days": 60})
    for number, (_, hits, _) in enumerate(VECTORS):
        for minute, *name in hits:
            shop.visit(f"v{number}", minute, *name)
        shop.convert(3 * DAY, f"v{number}")
    sessions, report = sessions_of(shop), shop.report()

    night(59)
    assert count(shop, "events") == sum(len(hits) for _, hits, _ in VECTORS)
    said = night(61 + 1)

    assert count(shop, "events") == 0
    assert sessions_of(shop) == sessions
    assert shop.report() == report
    assert "events" in said


def test_by_default_events_are_kept_for_fourteen_months(shop, night):
    shop.visit("v", 0)
    shop.visit("v", 0, user_agent="Googlebot/2.1")

    night(425)
    assert count(shop, "events") == 1  # the bot's went after 30 days
    night(427)

    assert count(shop, "events") == 0
    assert count(shop, "sessions") == 1


def forgotten(shop):
    """Return the entries of the audit log about what the night deleted."""
    entries = shop.storage.read(
        lambda stores: stores.accounts.audit_entries(shop.tenant.account_id, 100)
    )
    return [
        (entry.actor, dict(entry.details))
        for entry in entries
        if entry.action == "data.forget"
    ]


def test_G6_audit_says_what_a_night_deleted_and_nothing_of_quiet_nights(backend, night):
    shop, other = backend.shop(), backend.shop(retention={"bots_days": 0})
    for one in (shop, other):
        one.visit("v", 0)
        one.visit("v", 1, user_agent="Googlebot/2.1")

    night(20)
    assert forgotten(shop) == []
    night(40)
    night(41)

    environment = shop.tenant.environment
    assert forgotten(shop) == [
        ("job:retention", {"environment": environment, "events_of_bots": 1})
    ]
    assert forgotten(other) == []


def test_G6_audit_says_what_was_deleted_before_a_night_was_cut_short(
    backend, monkeypatch
):
    monkeypatch.setattr(retention, "MOST_ROWS", 2)
    shop = backend.shop(retention={"events_days": 31})
    for day in range(5):
        shop.visit("v", day * DAY)
    backend.clock.advance(60 * DAY * 60)

    steps = retention.retain(backend.storage, backend.clock)
    while not count(shop, "events") < 5:
        next(steps)
    steps.close()

    assert [details["events"] for _, details in forgotten(shop)] == [2]


def test_P3_salts_of_days_are_gone_two_days_later(shop, backend):
    until_ms = backend.clock.now_ms() + 2 * DAY_MS
    salt, again = (
        shop.write(
            lambda s, fresh=fresh: s.tracking.daily_salt(
                shop.tenant, "2026-11-18", fresh, until_ms
            )
        )
        for fresh in ("first", "second")
    )
    other = backend.shop()
    others = other.write(
        lambda s: s.tracking.daily_salt(
            other.tenant, "2026-11-18", "third", until_ms + DAY_MS
        )
    )
    backend.clock.advance(2 * DAY * 60 - 60)
    early = run(retention.forget_salts(backend.storage, backend.clock))
    backend.clock.advance(60)
    late = run(retention.forget_salts(backend.storage, backend.clock))

    assert (salt, again, others) == ("first", "first", "third")
    assert (early, late) == ("", "1 salts")
    assert (count(shop, "daily_salts"), count(other, "daily_salts")) == (0, 1)


def test_zero_days_is_for_ever(backend, night):
    keep = dict.fromkeys(["events_days", "sessions_days", "bots_days"], 0)
    shop = backend.shop(retention=keep)
    shop.visit("v", 0)
    shop.visit("v", 1, user_agent="Googlebot/2.1")

    night(20_000)

    assert (count(shop, "events"), count(shop, "sessions")) == (2, 1)


def test_events_of_a_session_go_together_once_all_are_old(backend, night):
    shop = backend.shop(retention={"events_days": 60})
    for minute in range(0, 120, 20):
        shop.visit("v", minute)

    night(60 + 1 / 24)  # in the middle of the visit
    assert count(shop, "events") == 6
    night(61)

    assert count(shop, "events") == 0


LATE = [-40, -10, 0, 10, 65, 80, 95, 200]


@pytest.mark.parametrize("minute", LATE)
@pytest.mark.parametrize("name", ["-", "G2", "server"])
def test_late_event_beside_forgotten_ones_damages_no_session(
    backend, night, minute, name
):
    shop = backend.shop(retention={"events_days": 31})
    for at_minute, hit in [(0, "G"), (20, "-"), (70, "newsletter"), (75, "-")]:
        shop.visit("v", at_minute, hit)
    bought = shop.convert(90, "v")
    before, credited = sessions_of(shop), shop.journey(bought)
    night(33)

    shop.visit("v", minute, name, received_at_ms=at(33 * DAY))

    def figures(row):
        public_id, started, _, _, channel, url, utm, _ = row
        return public_id, started, channel, url, utm

    kept = {row[0]: row for row in sessions_of(shop)}
    for row in before:
        now = kept[row[0]]
        assert figures(now) == figures(row)
        assert now[2] >= row[2]
        assert now[3] - row[3] in (0, 1)
    assert shop.journey(bought)[-len(credited) :] == credited
    pages = sum(row[3] for row in sessions_of(shop))
    assert pages == 4 + (name != "server")


@pytest.mark.parametrize("minute", [-10, 22, 27, 35, 70])
def test_late_events_leave_a_database_in_which_everything_holds(backend, night, minute):
    shop = backend.shop(retention={"events_days": 31})
    for at_minute, hit in [(0, "G"), (20, "-"), (25, "newsletter"), (30, "-")]:
        shop.visit("v", at_minute, hit)
    shop.convert(32, "v")
    shop.visit("v", 32 * DAY, "G")
    night(33)

    for more in (0, 1):
        shop.visit("v", minute + more, received_at_ms=at(33 * DAY))
        shop.visit("v", 32 * DAY + minute + more, received_at_ms=at(33 * DAY))

    assert list(broken_truths(shop.storage._writer, 5)) == []


def test_visitor_who_comes_back_after_the_events_are_gone_begins_a_session(
    backend, night
):
    shop = backend.shop(retention={"events_days": 31})
    shop.visit("v", 0, "G")
    night(33)

    shop.visit("v", 33 * DAY, "newsletter")
    shop.visit("v", 33 * DAY + 5, "own")

    assert shop.sessions() == ["paid_search", "email"]


@pytest.mark.parametrize("order", [*itertools.permutations([-20, -3, 3])])
def test_late_events_among_themselves_fold_in_any_order(backend, night, order):
    shop = backend.shop(retention={"events_days": 31})
    shop.visit("v", 0, "G")
    night(33)

    for minute in order:
        shop.visit("v", 3 * DAY + minute, received_at_ms=at(33 * DAY))

    assert [row[3] for row in sessions_of(shop)] == [1, 3]


def test_sessions_go_after_their_time_and_credits_stay_for_good(backend, night):
    shop = backend.shop(retention={"events_days": 31, "sessions_days": 200})
    shop.visit("v", 0, "G")
    shop.identify("u1", "v", 1)
    bought = shop.convert(10, "v")
    before = shop.report()

    night(199)
    assert count(shop, "sessions") == 1
    night(202)

    assert count(shop, "sessions") == 0
    assert shop.report() == before
    shop.visit("w", 201 * DAY, "newsletter")
    shop.identify("u1", "w", 201 * DAY)
    shop.alias("u2", "u1", 202 * DAY)
    assert shop.journey(bought) == ["paid_search"]


def test_session_that_a_young_conversion_refers_to_stays(backend, night):
    shop = backend.shop(retention={"events_days": 31, "sessions_days": 31})
    shop.visit("v", 0, "G")
    shop.convert(30 * DAY, "v")

    night(30 + 89)
    assert count(shop, "sessions") == 1
    night(30 + 91)

    assert count(shop, "sessions") == 0


def test_visitors_of_whom_nothing_is_left_go_with_their_links(backend, night):
    shop = backend.shop(retention={"events_days": 31, "sessions_days": 31})
    shop.visit("old", 0)
    shop.identify("u1", "old", 1)
    shop.visit("buyer", 0)
    shop.convert(5, "buyer")
    shop.visit("new", 50 * DAY)

    night(60)

    assert shop.rows("SELECT visitor_id FROM visitors WHERE $tenant") == [
        ("buyer",),
        ("new",),
    ]
    assert count(shop, "links") == 0
    assert count(shop, "identities") == 1


def test_conversions_go_only_where_the_account_says_so(backend, night):
    kept, gone = backend.shop(), backend.shop(retention={"conversions_days": 400})
    for shop in (kept, gone):
        shop.visit("v", 0, "G")
        shop.convert(1, "v")

    night(5_000)

    assert [count(shop, "conversions") for shop in (kept, gone)] == [1, 0]
    assert [bool(count(shop, "credits")) for shop in (kept, gone)] == [True, False]


def test_E3_replies_logins_suppressions_and_audit_have_their_ends(shop, backend, night):
    account = shop.tenant.account_id

    def fill(stores):
        stores.tracking.save_reply(shop.tenant, "k", "d", "{}", START)
        stores.accounts.audit(account, START, "somebody", "something", {})
        stores.privacy.set_secret(shop.tenant, "s")
        stores.privacy.suppress(shop.tenant, [("user", "u")], START + 30 * DAY_MS)
        (owner,) = [a for a in stores.accounts.accounts() if a.id == account]
        user = stores.accounts.create_user(owner, "user_1", "a@b.example", "x", START)
        stores.accounts.create_login(user, "digest", START, START + DAY_MS)

    shop.write(fill)
    tables = ["replies", "audit", "suppressions", "logins"]

    def left():
        rows = shop.dump()
        return [len(rows[table]) for table in tables]

    assert left() == [1, 1, 1, 1]
    night(41)
    assert left() == [0, 1, 0, 0]
    night(732)
    assert left() == [0, 0, 0, 0]


def test_old_rows_go_oldest_first_in_chunks_that_can_be_interrupted(
    backend, night, monkeypatch
):
    monkeypatch.setattr(retention, "MOST_ROWS", 3)
    shop = backend.shop(retention={"events_days": 31})
    for day in range(10):
        shop.visit("v", day * DAY)
    backend.clock.advance(60 * 86_400)

    steps = retention.retain(backend.storage, backend.clock)
    while count(shop, "events") == 10:
        next(steps)
    steps.close()
    ((oldest,),) = shop.rows("SELECT MIN(occurred_at_ms) FROM events WHERE $tenant")
    assert oldest == at(3 * DAY)
    run(retention.retain(backend.storage, backend.clock))

    assert count(shop, "events") == 0
    assert count(shop, "sessions") == 10


def test_accounts_keep_things_for_their_own_times(backend, night):
    short, long = backend.shop(retention={"events_days": 31}), backend.shop()
    for shop in (short, long):
        shop.visit("v", 0)

    night(40)

    assert [count(shop, "events") for shop in (short, long)] == [0, 1]


# -- what may be chosen


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([], "must be days by name"),
        ({"event_days": 5}, "has events_days, sessions_days"),
        ({"events_days": "90"}, "must be whole days"),
        ({"events_days": True}, "must be whole days"),
        ({"events_days": -1}, "must be whole days"),
        ({"events_days": 30}, "at least 31"),
        ({"events_days": 400, "sessions_days": 300}, "may not be less"),
        ({"events_days": 0}, "may not be less"),
    ],
)
def test_retention_that_cannot_work_is_refused(value, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_retention(value)


def test_unusable_setting_counts_as_none():
    assert retention_of('{"retention": {"events_days": 1}}') == DEFAULT
    assert retention_of("{}") == DEFAULT


# -- G8: accounts


def test_G8_account_goes_a_week_after_its_deletion_with_all_that_is_its(
    backend, night, monkeypatch
):
    monkeypatch.setattr(retention, "MOST_ROWS", 2)
    gone, kept = backend.shop(), backend.shop()
    live_of(gone)
    live_of(type(gone)(backend, gone.tenant._replace(live=False)))
    live_of(kept)
    gone.erase(user="kim-user")
    backend.sql(
        "UPDATE accounts SET deleted_at_ms = :now WHERE id = :id",
        now=START + 50 * DAY_MS,
        id=gone.tenant.account_id,
    )
    before = kept.dump()

    night(56, retention.erase_accounts)
    assert gone.dump()["events"]
    said = night(58, retention.erase_accounts)

    assert said == "1 accounts"
    assert not any(gone.dump().values())
    assert kept.dump() == before
    ids = [row["id"] for row in backend.dump()["accounts"]]
    assert ids == [kept.tenant.account_id]


def test_every_table_of_an_account_is_known_to_its_erasure(backend):
    from mbuzz.server.storage.retention_sql import OF_ACCOUNTS, OF_TENANTS

    tables = {
        name: [row[1] for row in backend.sql(f"PRAGMA table_info({name})")]
        for (name,) in backend.sql("SELECT name FROM sqlite_master WHERE type='table'")
    }
    tenants = {name for name, columns in tables.items() if "live" in columns}
    accounts = {name for name, columns in tables.items() if "account_id" in columns}

    assert set(OF_TENANTS) == tenants - set(OF_ACCOUNTS)
    assert set(OF_ACCOUNTS) | set(OF_TENANTS) == accounts


def test_restored_account_stays(backend, night):
    shop = backend.shop()
    shop.visit("v", 0)
    backend.sql("UPDATE accounts SET deleted_at_ms = NULL")

    night(100, retention.erase_accounts)

    assert count(shop, "sessions") == 1


def test_G7_visit_stays_a_year_for_a_conversion_that_looks_back_for_ever(
    backend, night
):
    shop = backend.shop(retention={"events_days": 31, "sessions_days": 31})
    shop.visit("v", 0, "G")
    shop.write(
        lambda stores: process(
            stores.tracking,
            shop.tenant,
            Policy(lookback_days=0),
            shop.conversion(1, "v"),
        )
    )

    night(364)
    assert count(shop, "sessions") == 1
    night(367)

    assert count(shop, "sessions") == 0


def test_account_restored_while_it_is_deleted_keeps_what_is_left(backend):
    shop = backend.shop()
    shop.visit("v", 0)
    shop.convert(1, "v")
    backend.sql("UPDATE accounts SET deleted_at_ms = 0")
    steps = retention.erase_accounts(backend.storage, backend.clock)

    next(steps)
    backend.sql("UPDATE accounts SET deleted_at_ms = NULL")
    run(steps)

    assert (count(shop, "sessions"), count(shop, "visitors")) == (1, 1)


def test_I6_alias_for_a_visitor_that_never_came_ends_after_30_days(shop, night):
    for visitor in ("came", "never", "said again", "only bought"):
        shop.alias("u1", visitor, 0)
    shop.visit("came", 2 * DAY, "newsletter")
    shop.identify("u1", "said again", 5)
    shop.convert(10, "only bought")

    night(30)
    assert (count(shop, "links"), count(shop, "pending_aliases")) == (4, 4)
    said = night(31)
    for visitor in ("never", "said again"):
        shop.visit(visitor, 31 * DAY, "G" if visitor == "never" else "google")

    assert "1 aliases" in said
    assert count(shop, "pending_aliases") == 0
    assert shop.journey(shop.convert(32 * DAY, user="u1")) == [
        "email",
        "organic_search",
    ]
