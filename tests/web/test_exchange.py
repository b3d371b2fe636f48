"""One request and its response: what is recorded, which cookies go out, what waits."""

import asyncio
import json
import logging
import re
import threading
import time
from contextlib import contextmanager

import pytest

from mbuzz import api, serialization
from mbuzz.client import Client
from mbuzz.config import Config
from mbuzz.context import serving
from mbuzz.testing import WSGITransport, capture
from mbuzz.travel import carrier
from mbuzz.web import exchange as exchanges
from mbuzz.web.exchange import Site, is_served, plain, status_code
from tests.web.visits import (
    FETCH,
    HTML,
    NAVIGATION,
    OLD_BROWSER,
    RETURNING,
    SESSION,
    VISITOR,
    a_request,
)

KEY = "sk_test_" + "0" * 32
JSON = [("Content-Type", "application/json")]
PUBLIC = [*HTML, ("Cache-Control", "public, max-age=60")]
PROMISED = 0.05  # seconds that a response may wait
PATIENCE = 5.0


@pytest.fixture
def events():
    with capture() as captured:
        yield captured


@pytest.fixture
def site():
    return Site()


def begin(site, headers=NAVIGATION, **parts):
    return site.begin({}, lambda: a_request(headers, **parts))


def names(cookies):
    return [cookie.name for cookie in cookies]


def values(cookies):
    return {cookie.name: cookie.value for cookie in cookies}


# -- what is recorded, and which cookies go out --


def test_landing_is_recorded_before_the_response(site, events):
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
BOTH = ["_mbuzz_vid", "_mbuzz_sid"]
VID, SID = BOTH[:1], BOTH[1:]
CASES = {
    "weak, new": (OLD_BROWSER, "", "", 200, HTML, 1, BOTH),
    "weak, new, no page": (OLD_BROWSER, "", "", 200, JSON, 0, []),
    "weak, new, error": (OLD_BROWSER, "", "", 404, HTML, 0, []),
    "weak, returning": (OLD_BROWSER, RETURNING, "", 200, HTML, 1, SID),
    "strong, new, error": (NAVIGATION, "", "", 404, HTML, 1, BOTH),
    "strong, new, 204": (NAVIGATION, "", "", 204, [], 1, []),
    "strong, new, public": (NAVIGATION, "", "", 200, PUBLIC, 1, []),
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
def test_exchange_records_and_answers(site, events, case):
    headers, cookie, query, status, answer, views, expected = case
    exchange = begin(site, headers, cookie=cookie, query=query)

    cookies = exchange.respond(status, answer)

    assert (len(events.page_views()), names(cookies)) == (views, expected)


def test_replaced_response_is_recorded_once_and_has_the_same_cookies(site, events):
    exchange = begin(site, OLD_BROWSER)

    first = exchange.respond(200, HTML)
    second = exchange.respond(500, HTML)

    assert first == second
    assert len(events) == 1


@pytest.mark.parametrize(
    ("headers", "expected"), [(JSON, VID), ([*JSON, PUBLIC[-1]], [])]
)
def test_visitor_that_code_spoke_for_is_told_to_the_browser(
    site, events, headers, expected
):
    exchange = begin(site, FETCH, method="POST")
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

    assert exchange.respond(200, JSON) == []
    assert events.assert_tracked("Signup", visitor_id=VISITOR)["session_id"] == SESSION


def test_foreign_host_is_not_tracked_but_served(site, events):
    exchange = begin(site, host="evil/host")

    assert exchange.respond(200, HTML) == []
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

    assert begin(site, path="/admin/x").respond(200, HTML) == []
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


# -- without a client, and with bugs --


@pytest.mark.parametrize("client", [None, Client(Config(enabled=False))])
def test_without_a_client_nothing_is_known_and_nothing_sent(site, client):
    api.swap(client)

    exchange = begin(site)

    assert exchange.respond(200, HTML) == []
    assert exchange.context.visitor_id is None


def test_request_that_cannot_be_read_is_served(site, events, caplog):
    def broken():
        raise ZeroDivisionError

    exchange = site.begin({}, broken)

    assert exchange.respond(200, HTML) == []
    assert (exchange.context.visitor_id, events) == (None, [])
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_bug_in_the_response_costs_the_cookies_only(site, events, caplog):
    headers_of_another_kind = [("one",)]

    first = begin(site).respond(200, headers_of_another_kind)
    second = asyncio.run(begin(site).arespond(200, headers_of_another_kind))

    assert (first, second) == ([], [])
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_request_is_known_as_served_while_it_is(site):
    around = {}
    exchange = site.begin(around, lambda: a_request(NAVIGATION))

    with serving(exchange.context):
        inside = is_served(around)
        another = is_served({})

    assert (inside, another, is_served(around)) == (True, False, False)


@pytest.mark.parametrize(
    ("line", "code"),
    [("200 OK", 200), ("404", 404), ("", 0), ("OK", 0), ("²00 x", 0), (None, 0)],
)
def test_status_line_has_a_number_or_0(line, code):
    assert status_code(line) == code


def test_asgi_headers_are_text_whatever_they_are():
    assert plain([(b"A", b"\xff"), (bytearray(b"b"), memoryview(b"c"))]) == [
        ("A", "\xff"),
        ("b", "c"),
    ]
    assert plain([("text", "text")]) == []


# -- the backend's answer --


@contextmanager
def a_backend(app, **options):
    """Let the default client talk to *app*."""
    config = Config(api_key=KEY, network=True, batch_interval=0.01, **options)
    client = Client(config, transport=lambda: WSGITransport(app))
    api.swap(client)
    try:
        yield
    finally:
        api.swap(None)
        client.close(timeout=0.0)


def says(*cookies, status="202 Accepted"):
    """Return a backend that answers each request with *cookies*."""

    def app(environ, start_response):
        start_response(status, [("Set-Cookie", cookie) for cookie in cookies])
        return [json.dumps({"accepted": 1, "rejected": [], "events": []}).encode()]

    return app


class Hanging:
    """A backend that takes requests and does not answer before it is told to."""

    def __init__(self):
        self.asked = threading.Semaphore(0)
        self.answer = threading.Event()

    def __call__(self, environ, start_response):
        self.asked.release()
        assert self.answer.wait(PATIENCE)
        return says()(environ, start_response)


@pytest.fixture
def hanging():
    backend = Hanging()
    with a_backend(backend):
        yield backend
        backend.answer.set()


def landing(site, *, wait_for_answer=True):
    """Return the cookies of a landing whose answer has come."""
    exchange = begin(site)
    if wait_for_answer:
        exchange._reply.result(PATIENCE)
    return exchange.respond(200, HTML)


@pytest.mark.parametrize(
    ("said", "visitor", "session"),
    [
        (
            (f"_mbuzz_vid={VISITOR}; Max-Age=60", f"_mbuzz_sid={SESSION}; Max-Age=9"),
            (VISITOR, 60),
            (SESSION, 9),
        ),
        (
            ("_mbuzz_sid=sess_0190; Domain=mbuzz.co; Path=/api",),
            None,
            ("sess_0190", 1_800),
        ),
        (("_mbuzz_vid=not-hex", "_mbuzz_sid=a\tb", "admin=1"), None, None),
        ((f"_mbuzz_sid={SESSION}; Max-Age=0",), None, (SESSION, 0)),
        ((), None, None),
    ],
)
def test_backend_decides_about_the_cookies(site, said, visitor, session):
    with a_backend(says(*said)):
        cookies = landing(site)

    found = {cookie.name: (cookie.value, cookie.max_age) for cookie in cookies}
    assert list(found) == BOTH
    assert visitor is None or found["_mbuzz_vid"] == visitor
    assert session is None or found["_mbuzz_sid"] == session
    assert {cookie.domain for cookie in cookies} == {None}
    assert all("Path=/;" in cookie.header() for cookie in cookies)


def test_proposed_ids_stand_where_the_backend_refuses(site):
    with a_backend(says(f"_mbuzz_vid={VISITOR}", status="401 Unauthorized")):
        cookies = values(landing(site))

    assert list(cookies) == BOTH
    assert VISITOR not in cookies.values()


def test_answer_is_waited_for_while_it_is_near(site):
    with a_backend(says(f"_mbuzz_sid={SESSION}"), handshake_wait=PATIENCE):
        cookies = landing(site, wait_for_answer=False)

    assert values(cookies)["_mbuzz_sid"] == SESSION


def test_answer_is_waited_for_without_blocking_the_loop(site, hanging):
    async def visit():
        waited = asyncio.create_task(begin(site).arespond(200, HTML))
        turns = 0
        while not waited.done():
            await asyncio.sleep(0)
            turns += 1
        return turns, await waited

    turns, cookies = asyncio.run(visit())

    assert turns > 100
    assert names(cookies) == BOTH


def test_answer_that_comes_while_the_loop_waits_is_used(site):
    async def visit():
        return await begin(site).arespond(200, HTML)

    with a_backend(says(f"_mbuzz_sid={SESSION}"), handshake_wait=PATIENCE):
        cookies = asyncio.run(visit())

    assert values(cookies)["_mbuzz_sid"] == SESSION


def test_another_kind_of_loop_is_not_waited_in(site, hanging):
    responding = begin(site).arespond(200, HTML)

    with pytest.raises(StopIteration) as done:
        responding.send(None)

    assert names(done.value.value) == BOTH


def test_cancelled_wait_gives_its_place_back(site, hanging):
    async def visit():
        waiting = asyncio.create_task(begin(site).arespond(200, HTML))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(visit())

    assert site._pacing._waiters == 0


def test_hanging_backend_costs_one_short_wait(site, hanging):
    took = []
    for _ in range(20):
        started = time.perf_counter()
        cookies = begin(site).respond(200, HTML)
        took.append(time.perf_counter() - started)
        assert names(cookies) == BOTH

    assert sum(took) < 12 * PROMISED  # if each visitor waited, it would be 20


@pytest.mark.parametrize(
    ("status", "headers"),
    [(200, JSON), (200, PUBLIC), (404, HTML), (304, [])],
)
def test_response_that_needs_no_answer_does_not_wait(site, hanging, status, headers):
    begin(site).respond(status, headers)

    # Nobody has waited in vain, so nothing is known of the backend.
    assert site._pacing._expected is None


@pytest.mark.parametrize("options", [{"handshake": False}, {"handshake_wait": 0.0}])
def test_wait_is_an_option(site, options):
    with a_backend(says(), **options):
        assert names(begin(site).respond(200, HTML)) == BOTH


def test_page_view_without_handshake_goes_the_ordinary_way(site):
    with a_backend(says(f"_mbuzz_sid={SESSION}"), handshake=False):
        cookies = begin(site).respond(200, HTML)
        assert api.flush(PATIENCE)
        assert api.stats().delivered == 1

    assert values(cookies)["_mbuzz_sid"] != SESSION


def test_network_that_is_off_is_not_waited_for(site):
    api.configure(api_key=KEY, network=False)

    assert names(begin(site).respond(200, HTML)) == BOTH
    assert site._pacing._expected is None


def test_page_view_that_could_not_be_made_is_not_waited_for(site, hanging, monkeypatch):
    monkeypatch.setattr(serialization.Encoder, "mapping", None)

    assert names(begin(site).respond(200, HTML)) == BOTH
    assert site._pacing._expected is None


def test_backend_that_is_down_costs_nothing_but_is_retried(site):
    with a_backend(says(status="503 Unavailable")):
        cookies = landing(site)
        stats = api.stats()

    assert names(cookies) == BOTH
    assert (stats.accepted, stats.delivered, stats.retries) == (1, 0, 1)


def test_answer_tells_how_far_the_backend_is(site):
    with a_backend(says()):
        landing(site)

    assert 0 < site._pacing._expected < PATIENCE


def test_bug_in_the_wait_is_ours_alone(site, hanging, monkeypatch, caplog):
    exchange = begin(site)
    monkeypatch.setattr(exchanges, "is_page", None)

    with caplog.at_level(logging.ERROR):
        answers = [
            exchange.respond(200, HTML),
            asyncio.run(exchange.arespond(200, HTML)),
        ]

    assert answers == [[], []]
    assert [record.name for record in caplog.records] == ["mbuzz.guard"]
