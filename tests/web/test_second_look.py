"""What a review found: identities at the edges of a response, and bounds."""

import asyncio
import threading

import pytest

from mbuzz import api
from mbuzz.context import context_scope, serving
from mbuzz.web.pageview import Rules, is_bot
from mbuzz.web.site import Site
from mbuzz.web_options import WebOptions
from tests.web.visits import (
    BOTH,
    FETCH,
    HTML,
    JSON,
    KEY,
    NAVIGATION,
    PUBLIC,
    RETURNING,
    SESSION,
    VISITOR,
    begin,
    names,
    values,
)


@pytest.mark.parametrize("part_with", [api.forget, api.reset])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_log_out_and_refusal_by_script_reach_the_browser(events, part_with, method):
    exchange = begin(Site(), FETCH, method=method, cookie=RETURNING)
    with serving(exchange.context):
        part_with()

    cookies = exchange.respond(204, [])

    assert [(cookie.name, cookie.max_age) for cookie in cookies] == [
        (name, 0) for name in BOTH
    ]


def test_refusal_holds_in_a_block_about_somebody(events):
    api.configure(api_key=KEY, consent=lambda request: False)
    exchange = begin(Site())
    with serving(exchange.context), context_scope(user_id="7"):
        refused = api.track("Seen")

    assert (refused.error, events) == ("no_consent", [])


def test_who_is_not_asked_may_be_spoken_of_by_name(events):
    api.configure(api_key=KEY, consent=lambda request: None)
    webhook = begin(Site(), {}, method="POST")
    with serving(webhook.context):
        nobody = api.track("Paid", user_id="7")
        with context_scope(user_id="7"):
            api.track("Paid")

    assert nobody.error == "no_consent"
    events.assert_tracked("Paid", user_id="7")


def test_refusal_in_a_block_about_somebody_is_the_browsers(events):
    exchange = begin(Site(), cookie=RETURNING)
    with serving(exchange.context), context_scope(user_id="7"):
        assert api.forget()

    cookies = exchange.respond(200, HTML)

    assert (names(cookies), events) == (BOTH, [])


def test_body_after_a_log_out_on_an_announced_landing_makes_nobody(site, events):
    exchange = begin(site)
    with serving(exchange.context):
        api.reset()
        exchange.respond(200, HTML)
        late = api.track("Streamed")

    assert late.error == "missing_identity"


def test_second_response_has_no_cookie_without_an_id(events):
    exchange = begin(Site())
    exchange.respond(200, PUBLIC)

    assert not exchange.respond(500, HTML)


@pytest.mark.parametrize(
    ("headers", "method", "status", "answer", "marked"),
    [
        (FETCH, "POST", 200, HTML, True),  # a form, shown again
        (NAVIGATION, "GET", 404, HTML, True),
        ({**NAVIGATION, "Sec-Fetch-Dest": "iframe"}, "GET", 200, HTML, True),
        (NAVIGATION, "GET", 200, PUBLIC, False),
        ({**NAVIGATION, "Sec-Purpose": "prefetch"}, "GET", 200, HTML, False),
    ],
    ids=["form", "error", "iframe", "public", "prefetch"],
)
def test_script_keeps_still_where_the_server_has_decided(
    events, headers, method, status, answer, marked
):
    api.configure(api_key=KEY, session_endpoint=True)
    exchange = begin(Site(), headers, method=method, cookie=RETURNING)

    exchange.respond(status, answer)

    assert bool(exchange.marks) is marked


def test_user_who_has_logged_out_is_not_the_new_visitors(events):
    exchange = begin(Site(), cookie=RETURNING)
    with serving(exchange.context):
        api.reset()

    exchange.respond(200, HTML, user=lambda: 7)

    assert "user_id" not in events.page_views()[0]


def test_log_out_by_a_link_is_no_landing(events):
    exchange = begin(Site(), cookie=RETURNING)
    with serving(exchange.context):
        api.reset()

    cookies = exchange.respond(302, [("Location", "/")])

    assert ([cookie.max_age for cookie in cookies], events) == ([0, 0], [])


def test_session_that_an_event_names_is_the_browsers(events):
    exchange = begin(Site(), cookie=f"_mbuzz_vid={VISITOR}")
    with serving(exchange.context):
        api.track("Exported")

    cookies = values(exchange.respond(200, JSON))

    session = events.assert_tracked("Exported")["session_id"]
    assert cookies["_mbuzz_sid"] == session != SESSION


def test_prefetch_makes_no_visitor(events):
    exchange = begin(Site(), {**NAVIGATION, "Sec-Purpose": "prefetch"})
    with serving(exchange.context):
        assert api.visitor_id() is None

    assert exchange.respond(200, HTML) == ()


def test_page_that_sync_delivery_holds_up_holds_up_nobody_else(events, monkeypatch):
    api.configure(api_key=KEY, delivery="sync")
    threads = []
    track = api.current_client().track
    monkeypatch.setattr(
        api.current_client(),
        "track",
        lambda *args, **options: (
            threads.append(threading.current_thread()) or track(*args, **options)
        ),
    )

    asyncio.run(begin(Site(), cookie=RETURNING).arespond(200, HTML))

    assert len(events.page_views()) == 1
    assert threading.main_thread() not in threads


def test_first_requests_at_once_obey_the_options(events):
    networks = tuple(f"10.{high}.{low}.0/24" for high in range(40) for low in range(99))
    api.configure(api_key=KEY, skip_paths=["/admin"], trusted_proxies=networks)
    site = Site()
    together = threading.Barrier(4)

    def visit():
        together.wait()
        begin(site, path="/admin/x", cookie=RETURNING).respond(200, HTML)

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert events == []


def test_what_clients_make_up_is_not_remembered():
    rules, site = Rules(WebOptions()), Site()
    long = "/" + "x" * 60_000

    assert not rules.skipped(long)
    assert rules.skipped(f"{long}.js")
    assert is_bot(f"curl {long}")
    site.landed(long, got_cookies=True)

    assert rules._known.cache_info().currsize == 0
    assert not site.welcomes(long)


def test_site_may_have_pages_where_others_have_files(events):
    usual, own = Rules(WebOptions()), Rules(WebOptions(skip_defaults=False))
    paths = ("/health/insurance", "/media/press/2026", "/a.pdf")

    assert [usual.skipped(path) for path in paths] == [True] * 3
    assert [own.skipped(path) for path in paths] == [False] * 3


@pytest.mark.parametrize(
    "said",
    [
        "public, max-age=0, s-maxage=3600",  # browsers ask again, the CDN keeps it
        "s-maxage=86400, max-age=0",
        "public, max-age=0, must-revalidate",
        "public;max-age=60",
    ],
)
def test_page_that_only_browsers_may_not_keep_carries_no_cookie(events, said):
    answer = [*HTML, ("Cache-Control", said)]

    assert begin(Site()).respond(200, answer) == ()


@pytest.mark.parametrize(
    ("name", "value", "carries"),
    [
        ("Netlify-CDN-Cache-Control", "max-age=60", False),
        ("akamai-cache-control", "max-age=60", False),
        ("Edge-Control", "max-age=60", False),
        ("X-Accel-Expires", "60", False),
        ("X-Accel-Expires", "0", True),
        ("Cloudflare-CDN-Cache-Control", "no-store", True),
    ],
)
def test_what_is_said_to_a_cdn_alone_counts(events, name, value, carries):
    cookies = begin(Site()).respond(200, [*HTML, (name, value)])

    assert bool(cookies) is carries


def test_options_that_cannot_work_leave_no_client_without_them(monkeypatch, caplog):
    monkeypatch.setenv("MBUZZ_API_KEY", KEY)

    api.configure(consent=lambda request: False, cookie_secure="maybe")

    assert begin(Site()) is None
    assert api.track("Seen", user_id="1").error == "not_configured"
    assert "nothing will be tracked" in caplog.text


def test_options_that_cannot_work_leave_those_before(events, caplog):
    api.configure(api_key=KEY, skip_paths=["/a"])

    api.configure(api_key=KEY, skip_paths="a")

    assert "the options before stay in force" in caplog.text
    assert api.current_client().config.skip_paths == ("/a",)


def test_settings_of_a_framework_keep_the_programs_consent(events):
    api.configure(api_key=KEY, consent=lambda request: False)

    assert api.configure_also({"skip_paths": ["/a"]})

    exchange = begin(Site(), cookie=RETURNING)
    assert [cookie.max_age for cookie in exchange.respond(200, HTML)] == [0, 0]
    assert events == []


def test_redirects_that_do_not_count_are_not_announced(site, events):
    api.configure(api_key=KEY, track_redirects=False)

    begin(site).respond(302, [("Location", "/en/")])

    assert events == []


def test_browser_that_asks_for_a_head_is_nobody_new(events):
    exchange = begin(Site(), method="HEAD")
    with serving(exchange.context):
        assert api.track("Seen").error == "missing_identity"


def test_log_out_of_somebody_who_has_not_agreed_yet(events):
    api.configure(api_key=KEY, consent=lambda request: None)
    exchange = begin(Site(), FETCH, method="POST", cookie=RETURNING)
    with serving(exchange.context):
        api.reset()

    assert [cookie.max_age for cookie in exchange.respond(204, [])] == [0, 0]


def test_refusal_reaches_cookies_from_before_the_domain_was_set(events):
    api.configure(api_key=KEY, cookie_domain="shop.example")
    exchange = begin(Site(), cookie=RETURNING)
    with serving(exchange.context):
        api.forget()

    gone = [(c.name, c.domain, c.max_age) for c in exchange.respond(200, HTML)]

    assert sorted(gone, key=str) == [
        (name, domain, 0) for name in sorted(BOTH) for domain in ("shop.example", None)
    ]


def test_asset_of_a_site_with_the_script_asks_nobody(events):
    asked = []
    api.configure(
        api_key=KEY, session_endpoint=True, consent=lambda request: asked.append(1)
    )
    exchange = begin(Site(), FETCH, path="/static/app.js", cookie=RETURNING)

    exchange.respond(200, [("Content-Type", "text/javascript")])

    assert (asked, exchange.marks) == ([], ())
