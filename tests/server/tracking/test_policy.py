"""What an account's settings do to its events."""

import pytest

from mbuzz.server.policy import DEFAULT, Policy
from mbuzz.server.storage.sqlite import SqliteStorage
from mbuzz.server.tracking.landing import read_landing
from mbuzz.server.tracking.processor import process
from mbuzz.server.tracking.recorded import Refused
from tests.server.tracking.test_intake import check_same, plan

SITE = "https://www.acme.example/"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5) Version/17.5 Mobile/1 Safari/604.1"


@pytest.fixture(params=["one by one", "in a batch"])
def track(shop, request):
    """Return a function that tracks an event under a policy, on either way."""

    def one(visitor, minute, policy=DEFAULT, name="-", **fields):
        call = shop.event(visitor, minute, name, **fields)
        return shop.take(call, policy, request.param)

    return one


def events(shop, columns="event_type"):
    return shop.column(columns, "events")


# -- referrers and tags --


def test_R8_own_list_of_excluded_referrers():
    policy = Policy(
        excluded_referrers=frozenset({"psp.test", "pay.google.com"}),
        counted_referrers=frozenset({"paypal.com", "shop.psp.test"}),
    )

    def channel(referrer):
        return read_landing(SITE, referrer, policy=policy).channel

    assert channel("https://acs.psp.test/x") == "direct"
    assert channel("https://shop.psp.test/x") == "referral"  # the longer entry wins
    assert channel("https://www.paypal.com/") == "referral"
    assert channel("https://checkout.stripe.com/") == "direct"
    assert channel("https://www.google.com/") == "organic_search"


@pytest.mark.parametrize(
    ("query", "utm"),
    [
        ("ref=Blog", {"utm_source": "blog"}),
        ("source=blog", {"utm_source": "blog"}),
        ("via=blog", {"utm_source": "blog"}),
        ("utm_medium=email&ref=blog", {"utm_medium": "email"}),
        (
            "mtm_source=a&mtm_medium=b&mtm_campaign=c&mtm_kwd=D&mtm_content=E&mtm_cid=F",
            {
                "utm_source": "a",
                "utm_medium": "b",
                "utm_campaign": "c",
                "utm_term": "D",
                "utm_content": "E",
                "utm_id": "F",
            },
        ),
        ("pk_campaign=c&pk_kwd=k", {"utm_campaign": "c", "utm_term": "k"}),
        ("utm_source=&ref=blog", {"utm_source": "blog"}),
    ],
)
def test_U1_other_tools_names_count_if_switched_on(query, utm):
    on = read_landing(f"{SITE}?{query}", None, policy=Policy(source_aliases=True))
    off = read_landing(f"{SITE}?{query}", None)

    assert dict(on.utm) == utm
    assert set(off.utm) <= {"utm_medium"}


def test_U10_account_says_which_parameters_are_kept(shop, track):
    policy = Policy(
        kept_parameters=frozenset({"state"}), dropped_parameters=frozenset({"sid"})
    )

    track("v1", 0, policy, url=SITE + "?state=ny&code=1&SID=7&page=2")

    assert events(shop, "url") == [SITE + "?state=ny&page=2"]


# -- bots --


def test_B1_apps_are_people_if_allowed(shop, track):
    track("v1", 0, user_agent="okhttp/4.12")
    track("v1", 1, Policy(allow_apps=True), user_agent="okhttp/4.12")
    track("v1", 2, Policy(allow_apps=True), user_agent="okhttp/4 Googlebot/2")

    assert events(shop, "bot_reason") == ["user_agent", None, "user_agent"]


def test_R9_B3_referrer_spam_is_a_bot(shop, track):
    policy = Policy(spam_referrers=frozenset({"semalt.test"}))

    track("v1", 0, policy, referrer="https://www.semalt.test/x")
    track("v1", 1, policy, referrer="https://notsemalt.test/")
    track("v1", 2, policy)

    assert events(shop, "bot_reason") == ["referrer_spam", None, None]
    assert shop.sessions() == ["referral"]


def test_B3_browser_that_a_program_steers_is_a_bot(shop, track):
    recorded = track("v1", 0, webdriver=True)

    assert recorded.bot
    assert events(shop, "bot_reason") == ["webdriver"]


def test_B3_nobody_reads_121_pages_in_a_minute(shop, track):
    for number in range(125):
        track("fast", number / 125)
        track("slow", number)  # one a minute
    track("fast", 10)  # people may come back

    flood = shop.rows(
        "SELECT COUNT(*) FROM events WHERE $tenant AND bot_reason = 'flood'"
    )
    assert flood == [(5,)]
    assert shop.rows(
        "SELECT page_view_count FROM sessions WHERE $tenant ORDER BY id"
    ) == [(121,), (125,)]


def test_B3_flood_of_one_moment_is_seen_as_well(shop, track):
    for _ in range(123):
        track("fast", 0)

    assert events(shop, "bot_reason").count("flood") == 3


def test_B4_server_event_is_never_a_bot(shop, track):
    policy = Policy(spam_referrers=frozenset({"semalt.test"}))

    recorded = track("v1", 0, policy, "server", user_agent="curl/8", webdriver=True)

    assert not recorded.bot


def test_B5_bot_is_stored_without_a_session(shop, track):
    recorded = track("v1", 0, user_agent="curl/8")

    assert recorded.bot
    assert recorded.session_id is None
    assert events(shop, "bot_reason, session") == [("user_agent", None)]
    assert shop.sessions() == []


def test_B7_visit_without_any_signals_counts(shop, track):
    track("v1", 0)

    assert shop.sessions() == ["direct"]


# -- privacy --


def test_P4_who_sends_gpc_leaves_no_click_ids(shop, track):
    url = SITE + "?utm_source=google&utm_medium=organic&gclid=SECRET&x=1"

    track("v1", 0, url=url, refused=frozenset({"gpc"}))

    stored = shop.rows(
        "SELECT e.url, e.landing, s.click_ids, s.landing_url, s.channel FROM events e"
        " JOIN sessions s ON s.id = e.session WHERE e.account_id = :account_id"
        " AND e.live = :live"
    )
    assert "SECRET" not in str(stored)
    assert stored[0][0] == SITE + "?utm_source=google&utm_medium=organic&x=1"
    assert stored[0][4] == "paid_search"  # the visit still counts as what it was


def test_P4_gpc_can_be_left_aside_and_ads_cannot(shop, track):
    lax = Policy(respect_gpc=False)
    url = SITE + "?gclid=CLICK"

    track("v1", 0, lax, url=url, refused=frozenset({"gpc"}))
    track("v2", 0, lax, url=url, refused=frozenset({"ads"}))

    kept = shop.rows("SELECT click_ids, channel FROM sessions WHERE $tenant")
    assert sorted(kept) == [
        ('{"gclid":""}', "paid_search"),
        ('{"gclid":"CLICK"}', "paid_search"),
    ]


def test_P4_late_event_folds_visits_without_click_ids_the_same(shop, track):
    url = SITE + "?gclid=SECRET"
    track("v1", 0, url=url, refused=frozenset({"gpc"}))
    track("v1", 10)

    track("v1", 5)

    assert shop.sessions() == ["paid_search"]


def test_P6_user_agents_are_stored_in_short(shop, track):
    track("v1", 0, user_agent=IPHONE)
    track("v1", 1, Policy(store_user_agent="none"), user_agent=IPHONE)
    track("v1", 2)
    track("v1", 3, name="server", user_agent="Firefox/1")

    assert events(shop, "user_agent") == [
        "Safari 17 / iOS / phone",
        None,
        None,
        "Firefox 1 / other / other",
    ]


def test_G9_without_consent_nothing_is_stored(shop, track):
    refused = frozenset({"analytics"})

    recorded = track("v1", 0, user_id="u1", refused=refused)

    assert (recorded.dropped, recorded.visitor_id, recorded.session_id) == (
        True,
        None,
        None,
    )
    for table in ("events", "visitors", "identities", "sessions"):
        assert shop.rows(f"SELECT COUNT(*) FROM {table} WHERE $tenant") == [(0,)]


def test_G9_account_may_keep_them(shop, track):
    keep = Policy(refused_consent="keep")

    recorded = track("v1", 0, keep, refused=frozenset({"analytics"}))

    assert not recorded.dropped
    assert shop.sessions() == ["direct"]


# -- who --


def test_strict_account_refuses_visitors_that_no_page_has_made(shop, track):
    strict = Policy(strict_visitors=True)

    refused = track("v1", 0, strict, "server")
    track("v1", 1, strict)
    taken = track("v1", 2, strict, "server")

    assert refused == Refused(error="Visitor not found")
    assert taken.event_type == "job_done"
    assert len(events(shop)) == 2


def test_strict_account_refuses_them_in_other_calls(shop):
    strict = Policy(strict_visitors=True)
    conversion = shop.conversion(0, "v1")

    def do(call):
        return shop.write(
            lambda stores: process(stores.tracking, shop.tenant, strict, call)
        )

    assert do(conversion) == Refused(error="Visitor not found")
    assert shop.rows("SELECT COUNT(*) FROM visitors WHERE $tenant") == [(0,)]


def test_auto_link_can_be_switched_off(shop, track):
    track("v1", 0, Policy(auto_link=False), user_id="u1")
    track("v2", 0, user_id="u2")

    linked = shop.rows(
        "SELECT v.visitor_id FROM links l JOIN visitors v ON v.id = l.visitor"
        " WHERE l.account_id = :account_id AND l.live = :live"
    )
    assert linked == [("v2",)]
    assert len(events(shop)) == 2


# -- flags --


def test_flags_of_a_page_are_kept_with_its_event(shop, track):
    track("v1", 0, url=SITE + "?utm_source=x")
    track("v1", 1, url=SITE + "?utm_source=google&utm_campaign={{name}}&utm_id=1")
    track("v1", 2, url="https://?x=1", flags=frozenset({"clock_future"}))

    assert events(shop, "flags") == [
        "unassigned_channel",
        "unexpanded_template",
        "bad_url clock_future missing_host",
    ]


# -- both ways are one --


@pytest.mark.parametrize(
    "policy",
    [
        Policy(strict_visitors=True),
        Policy(auto_link=False),
        Policy(store_user_agent="full", store_ip="full"),
        Policy(refused_consent="keep", split_on_referrer="any"),
    ],
)
def test_batches_leave_what_single_calls_leave_under_any_policy(policy):
    storage = SqliteStorage(":memory:")
    try:
        for seed in range(40):
            check_same(storage, plan(seed, (policy,)), merged=True)
    finally:
        storage.close()


def test_S10_covered_for_as_long_as_the_account_says(shop, track):
    patient = Policy(session_timeout_ms=60 * 60_000)
    track("v1", 0, patient)
    track("v1", 45, patient, url=None, event_type="paid")
    track("v1", 61, patient, url=None, event_type="late")

    assert [session is not None for session in events(shop, "session")] == [
        True,
        True,
        False,
    ]
