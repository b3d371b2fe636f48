"""One request and its response: what is recorded, which cookies go out."""

import asyncio
import re

import pytest

from mbuzz import api
from mbuzz.client import Client
from mbuzz.clock import iso
from mbuzz.config import Config
from mbuzz.context import serving
from mbuzz.travel import carrier
from mbuzz.web.pacing import Pacing
from mbuzz.web.request import EnvironRequest
from mbuzz.web.site import Site, is_served
from tests.web.visits import (
    BOTH,
    FETCH,
    HTML,
    JSON,
    KEY,
    NAVIGATION,
    OLD_BROWSER,
    PUBLIC,
    RETURNING,
    SESSION,
    SID,
    VID,
    VISITOR,
    begin,
    environ,
    names,
    values,
)

# -- what is recorded, and which cookies go out --


def test_landing_is_announced_before_the_response(site, events):
    exchange = begin(site, query="utm_source=x", headers={**NAVIGATION, "Referer": "r"})

    view = events.assert_tracked("page_view")

    assert view["properties"] == {
        "url": "https://shop.example/?utm_source=x",
        "referrer": "r",
        "user_agent": NAVIGATION["User-Agent"],
    }
    assert values(exchange.respond(200, HTML)) == {
        "_mbuzz_vid": view["visitor_id"],
        "_mbuzz_sid": view["session_id"],
    }
    assert len(events) == 1


def test_next_page_slides_the_session_only(site, events):
    exchange = begin(site, cookie=RETURNING)
    before = len(events)

    cookies = exchange.respond(200, HTML)

    assert before == 0
    view = events.assert_tracked("page_view", visitor_id=VISITOR)
    assert view["session_id"] == SESSION
    assert [(c.name, c.value, c.max_age) for c in cookies] == [
        ("_mbuzz_sid", SESSION, 1_800)
    ]


def test_returning_visitor_begins_a_session(site, events):
    cookies = begin(site, cookie=f"_mbuzz_vid={VISITOR}").respond(200, HTML)

    view = events.assert_tracked("page_view", visitor_id=VISITOR)
    assert [(c.name, c.value, c.max_age) for c in cookies] == [
        ("_mbuzz_vid", VISITOR, 31_536_000),
        ("_mbuzz_sid", view["session_id"], 1_800),
    ]


def test_session_without_its_visitor_is_a_leftover(site, events):
    cookies = values(begin(site, cookie=f"_mbuzz_sid={SESSION}").respond(200, HTML))

    assert len(cookies) == 2
    assert cookies["_mbuzz_sid"] != SESSION


# headers, cookie, query, status, response headers: views, cookies
CASES = {
    "weak, new": (OLD_BROWSER, "", "", 200, HTML, 1, BOTH),
    "weak, new, no page": (OLD_BROWSER, "", "", 200, JSON, 0, []),
    "weak, new, error": (OLD_BROWSER, "", "", 404, HTML, 0, []),
    "weak, returning": (OLD_BROWSER, RETURNING, "", 200, HTML, 1, SID),
    "strong, new, error": (NAVIGATION, "", "", 404, HTML, 1, BOTH),
    "strong, new, 204": (NAVIGATION, "", "", 204, [], 0, []),
    "strong, new, public": (NAVIGATION, "", "", 200, PUBLIC, 0, []),
    "strong, new, file": (NAVIGATION, "", "", 200, JSON, 0, []),
    "strong, returning, error": (NAVIGATION, RETURNING, "", 500, HTML, 0, []),
    "strong, returning, file": (NAVIGATION, RETURNING, "", 200, JSON, 0, []),
    "new, redirected": (NAVIGATION, "", "", 302, [], 1, BOTH),
    "weak, redirected": (OLD_BROWSER, "", "", 302, [], 1, BOTH),
    "returning, redirected": (NAVIGATION, RETURNING, "", 302, [], 0, []),
    "campaign, redirected": (NAVIGATION, RETURNING, "gclid=1", 302, [], 1, SID),
    "returning, not modified": (NAVIGATION, RETURNING, "", 304, [], 1, []),
    "returning, public": (NAVIGATION, RETURNING, "", 200, PUBLIC, 1, []),
    "weak, new, public": (OLD_BROWSER, "", "", 200, PUBLIC, 0, []),
    "weak, new, not modified": (OLD_BROWSER, "", "", 304, [], 0, []),
    "fetch": (FETCH, "", "", 200, HTML, 0, []),
    "prefetch": ({**NAVIGATION, "Sec-Purpose": "prefetch"}, "", "", 200, HTML, 0, []),
    "boosted": ({**FETCH, "X-PJAX": "1"}, "", "", 200, HTML, 1, BOTH),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_exchange_records_and_answers(events, case):
    headers, cookie, query, status, answer, views, expected = case
    exchange = begin(Site(), headers, cookie=cookie, query=query)

    cookies = exchange.respond(status, answer)

    assert (len(events.page_views()), names(cookies)) == (views, expected)


def test_replaced_response_is_recorded_once_and_has_the_same_cookies(site, events):
    exchange = begin(site, OLD_BROWSER)

    first = exchange.respond(200, HTML)
    second = exchange.respond(500, HTML)

    assert first == second
    assert len(events) == 1


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", JSON, VID),
        ("GET", [*JSON, PUBLIC[-1]], []),
        ("POST", [*JSON, PUBLIC[-1]], VID),  # no cache answers a form
    ],
)
def test_visitor_that_code_spoke_for_is_told_to_the_browser(
    site, events, method, headers, expected
):
    exchange = begin(site, FETCH, method=method)
    with serving(exchange.context):
        api.track("Signup")

    cookies = exchange.respond(200, headers)

    event = events.assert_tracked("Signup")
    assert names(cookies) == expected
    assert {c.value for c in cookies} <= {event["visitor_id"]}


def test_visitor_that_code_has_read_is_told_to_the_browser(site, events):
    exchange = begin(site, FETCH)
    with serving(exchange.context):
        visitor = api.visitor_id()

    assert values(exchange.respond(200, JSON)) == {"_mbuzz_vid": visitor}


def test_known_visitor_is_told_nothing(site, events):
    exchange = begin(site, FETCH, cookie=RETURNING)
    with serving(exchange.context):
        api.track("Signup")

    assert exchange.respond(200, JSON) == ()
    assert events.assert_tracked("Signup", visitor_id=VISITOR)["session_id"] == SESSION


def test_foreign_host_is_not_tracked_but_served(site, events):
    exchange = begin(site, host="evil/host")

    assert exchange.respond(200, HTML) == ()
    assert events == []


def test_request_id_ties_the_events_together(site, events):
    begin(site, {**NAVIGATION, "X-Request-ID": "r-1"})

    assert events.page_views()[0]["correlation"] == {"request_id": "r-1"}


@pytest.mark.parametrize("sent", [None, "", "a b", "x" * 129])
def test_request_without_a_sane_id_gets_one_of_its_own(site, events, sent):
    headers = NAVIGATION if sent is None else {**NAVIGATION, "X-Request-ID": sent}

    made = [begin(site, headers).context.request_id for _ in range(2)]

    assert all(re.fullmatch("req_[0-9a-f]{32}", name) for name in made)
    assert made[0] != made[1]


def test_request_is_part_of_the_trace_that_its_header_names(site, events):
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    headers = {**NAVIGATION, "traceparent": f"00-{trace}-{span}-01"}

    traced, plain_one = begin(site, headers), begin(site)

    assert (traced.context.trace_id, plain_one.context.trace_id) == (trace, None)


def test_visitor_of_a_job_is_known_to_the_browser(site, events):
    exchange = begin(site, headers=FETCH)
    with serving(exchange.context):
        carried = carrier()

    cookies = values(exchange.respond(200, JSON))

    assert cookies == {"_mbuzz_vid": carried["visitor_id"]}


def test_site_leaves_out_paths(site, events):
    api.configure(api_key=KEY, skip_paths=["/admin"])

    assert begin(site, path="/admin/x").respond(200, HTML) == ()
    assert events == []


@pytest.mark.parametrize(
    ("option", "scheme", "forwarded", "secure"),
    [
        ("auto", "http", "", False),
        ("auto", "https", "", True),
        ("auto", "http", "https", True),
        (True, "http", "", True),
        (False, "https", "", False),
    ],
)
def test_cookie_is_secure_where_the_browser_is(
    site, events, option, scheme, forwarded, secure
):
    api.configure(api_key=KEY, cookie_secure=option)
    headers = {**NAVIGATION, "X-Forwarded-Proto": forwarded}

    cookies = begin(site, headers, scheme=scheme).respond(200, HTML)

    assert [cookie.secure for cookie in cookies] == [secure, secure]


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("shop.example", ".shop.example"),
        ("www.shop.example:8000", ".shop.example"),
        ("webshop.example", None),
        ("localhost:8000", None),
        ("127.0.0.1", None),
    ],
)
def test_domain_is_left_out_where_the_browser_would_refuse_it(
    site, events, host, domain
):
    api.configure(api_key=KEY, cookie_domain=".shop.example")

    cookies = begin(site, host=host).respond(200, HTML)

    assert [cookie.domain for cookie in cookies] == [domain, domain]


def test_log_out_parts_a_browser_with_cookies_from_before_the_domain(site, events):
    api.configure(api_key=KEY, cookie_domain="shop.example")
    held = {("_mbuzz_vid", None): VISITOR, ("_mbuzz_sid", None): SESSION}
    exchange = begin(site, cookie=RETURNING)
    with serving(exchange.context):
        api.reset()

    for cookie in exchange.respond(200, HTML):
        held.pop((cookie.name, cookie.domain), None)
        if cookie.max_age > 0:
            held[cookie.name, cookie.domain] = cookie.value

    sent = "; ".join(f"{name}={value}" for (name, _), value in held.items())
    begin(site, cookie=sent).respond(200, HTML)
    logged_out, later = events.page_views()
    assert logged_out["visitor_id"] == later["visitor_id"] != VISITOR


# -- who is announced while the page is made --


def test_first_visitor_of_a_page_is_recorded_with_the_response(events):
    exchange = begin(Site())
    before = len(events)

    exchange.respond(200, HTML)

    assert (before, len(events)) == (0, 1)


def test_next_visitor_of_a_page_is_announced_at_once(events):
    site = Site()
    begin(site).respond(200, HTML)

    begin(site, query="utm_source=x")

    assert len(events) == 2


@pytest.mark.parametrize(
    ("status", "headers"),
    [(200, PUBLIC), (200, JSON), (204, []), (304, []), (404, JSON)],
    ids=["public", "data", "empty", "not modified", "error of an API"],
)
def test_nobody_is_announced_where_no_cookie_goes_out(events, status, headers):
    site = Site()
    begin(site).respond(200, HTML)
    begin(site).respond(status, headers)  # it has changed: this one was announced
    announced = len(events)

    begin(site).respond(status, headers)

    assert len(events) == announced == 2


@pytest.mark.parametrize(
    "options", [{"session_endpoint": True}, {"delivery": "sync"}], ids=str
)
def test_nobody_is_announced_where_a_script_may_count_or_a_view_would_wait(
    site, events, options
):
    api.configure(api_key=KEY, **options)

    begin(site)

    assert events == []


def test_nobody_is_announced_while_too_many_come(site, events, clock):
    site.pacing = Pacing(clock)
    while site.pacing.may_ask():
        pass

    begin(site)

    assert events == []


def test_visitor_of_a_public_page_is_counted_as_left_out(events):
    begin(Site()).respond(200, PUBLIC)

    assert api.stats().left_out == {"public_page": 1}


def test_known_visitor_begins_no_session_that_the_browser_does_not_know(events):
    begin(Site(), cookie=f"_mbuzz_vid={VISITOR}").respond(200, PUBLIC)

    assert "session_id" not in events.assert_tracked("page_view", visitor_id=VISITOR)


def test_many_paths_are_not_kept_for_ever(site, events):
    for number in range(5_000):
        site.landed(f"/{number}", got_cookies=True)

    assert site.welcomes("/4999")
    assert len(site._landings) < 5_000


# -- when the browser can be told nothing any more --


@pytest.mark.parametrize(
    ("headers", "status", "answer"),
    [(FETCH, 200, JSON), (NAVIGATION, 200, PUBLIC), (NAVIGATION, 204, [])],
    ids=["fetch", "public page", "empty"],
)
@pytest.mark.parametrize("read_before", [False, True])
def test_body_makes_no_visitor_whom_the_browser_does_not_know(
    events, headers, status, answer, read_before
):
    exchange = begin(Site(), headers)
    if read_before:
        assert exchange.context.visitor_id
    exchange.respond(status, answer)

    with serving(exchange.context):
        late = api.track("Streamed")

    assert (late.error, events) == ("missing_identity", [])


@pytest.mark.parametrize("cookie", ["", RETURNING])
def test_body_speaks_for_a_visitor_with_cookies(events, cookie):
    exchange = begin(Site(), cookie=cookie)
    exchange.respond(200, HTML)

    with serving(exchange.context):
        api.track("Streamed")

    view, streamed = events
    assert view["visitor_id"] == streamed["visitor_id"]


def test_log_out_on_a_landing_that_is_announced_makes_no_second_visitor(site, events):
    exchange = begin(site)
    with serving(exchange.context):
        api.reset()

    cookies = exchange.respond(200, HTML)

    assert (len(events), cookies) == (1, ())


# -- what options add --


def test_pages_of_caches_are_left_to_their_script(events):
    api.configure(api_key=KEY, session_endpoint=True)
    site = Site()

    new, known = begin(site), begin(site, cookie=RETURNING)
    answers = [exchange.respond(200, PUBLIC) for exchange in (new, known)]

    assert (answers, events) == ([(), ()], [])
    assert (new.marks, known.marks) == ((), ())


def test_counted_page_says_so_to_its_script(events):
    api.configure(api_key=KEY, session_endpoint=True)
    exchange = begin(Site(), cookie=RETURNING)

    exchange.respond(200, HTML)

    assert exchange.marks == (("Server-Timing", "mbuzz"),)


@pytest.mark.parametrize(
    ("proxies", "network"), [((), "192.0.2.0"), (("192.0.2.0/24",), "203.0.113.0")]
)
def test_address_is_sent_as_its_network(events, proxies, network):
    # "off", for no look for personal data must be what shortens it
    api.configure(api_key=KEY, send_ip=True, pii="off", trusted_proxies=proxies)
    headers = {**NAVIGATION, "X-Forwarded-For": "198.51.100.7, 203.0.113.9"}
    given = {**environ(headers, cookie=RETURNING), "REMOTE_ADDR": "192.0.2.1"}

    Site().begin(EnvironRequest, given, {}).respond(200, HTML)

    assert events.page_views()[0]["properties"]["ip"] == network


@pytest.mark.parametrize(
    ("option", "user", "known"),
    [(True, 7, "7"), (True, None, None), (False, 7, None)],
)
def test_user_whom_the_framework_knows_is_said(events, option, user, known):
    api.configure(api_key=KEY, detect_user=option)

    begin(Site(), cookie=RETURNING).respond(200, HTML, user=lambda: user)

    assert events.page_views()[0].get("user_id") == known


def test_user_whom_the_site_names_itself_is_said_instead(events):
    exchange = begin(Site(), cookie=RETURNING)
    with serving(exchange.context):
        api.identify("42")

    exchange.respond(200, HTML, user=lambda: "7")

    assert events.assert_tracked("page_view")["user_id"] == "42"


def test_slow_page_is_of_the_time_when_it_was_asked_for(events):
    exchange = begin(Site(), cookie=RETURNING)
    exchange.context.started_at_ms -= 60_000

    exchange.respond(200, HTML)

    at = exchange.context.started_at_ms
    assert events.assert_tracked("page_view")["timestamp"] == iso(at)


def test_user_who_cannot_be_found_out_costs_nothing(events):
    def broken():
        raise ZeroDivisionError

    begin(Site(), cookie=RETURNING).respond(200, HTML, user=broken)

    assert "user_id" not in events.page_views()[0]


def test_other_options_hold_from_the_next_request_on(site, events):
    api.configure(api_key=KEY)
    begin(site, path="/a").respond(200, HTML)
    api.configure(api_key=KEY, skip_paths=["/a"])

    begin(site, path="/a").respond(200, HTML)

    assert len(events) == 1


# -- without a client, and with bugs --


@pytest.mark.parametrize("client", [None, Client(Config(enabled=False))])
def test_without_a_client_nothing_is_known_and_nothing_sent(site, client):
    api.swap(client)

    assert begin(site) is None


def test_request_that_cannot_be_read_is_served(site, events, caplog):
    def broken(*_):
        raise ZeroDivisionError

    assert site.begin(broken, {}, {}) is None
    assert events == []
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_bug_in_the_response_costs_the_cookies_only(site, events, caplog):
    headers_of_another_kind = [("one",)]

    first = begin(site).respond(200, headers_of_another_kind)
    second = asyncio.run(begin(site).arespond(200, headers_of_another_kind))

    assert (first, second) == ((), ())
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_request_is_known_as_served_while_it_is(site, events):
    around = {}
    exchange = site.begin(EnvironRequest, environ(NAVIGATION), around)

    with serving(exchange.context):
        inside = is_served(around)
        another = is_served({})

    assert (inside, another, is_served(around)) == (True, False, False)
