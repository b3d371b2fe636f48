"""The handshake: what the backend answers, and who waits for it, and for how long."""

import asyncio
import logging
import time
from contextlib import contextmanager

import pytest

from mbuzz import api, serialization
from mbuzz.context import serving
from mbuzz.web.pageview import Rules
from tests.web.backends import PATIENCE, Hanging, a_backend, landing, says
from tests.web.visits import (
    BOTH,
    HTML,
    JSON,
    KEY,
    PUBLIC,
    SESSION,
    VISITOR,
    begin,
    names,
    values,
)


@contextmanager
def a_hanging_backend(**options):
    backend = Hanging()
    with a_backend(backend, **options):
        yield backend
        backend.answer.set()


@pytest.fixture
def hanging():
    with a_hanging_backend() as backend:
        yield backend


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


@pytest.mark.parametrize(
    ("said", "visitor", "session"),
    [
        (("_mbuzz_sid=told_session",), None, "told_session"),
        ((f"_mbuzz_vid={VISITOR}", f"_mbuzz_sid={SESSION}"), VISITOR, SESSION),
    ],
)
def test_body_is_of_whom_the_backend_told(site, said, visitor, session):
    with a_backend(says(*said)):
        exchange = begin(site)
        proposed = exchange.context.visitor_id
        exchange._reply.result(PATIENCE)
        cookies = exchange.respond(200, HTML)
        with serving(exchange.context):
            found = api.visitor_id(), api.session_id()

    assert found == (visitor or proposed, session)
    assert tuple(values(cookies).values()) == found


def test_known_visitor_whom_the_backend_takes_for_another_becomes_that_one(site):
    with a_backend(says(f"_mbuzz_vid={VISITOR}", f"_mbuzz_sid={SESSION}")):
        exchange = begin(site, cookie=f"_mbuzz_vid={'ef' * 32}")
        exchange._reply.result(PATIENCE)
        cookies = exchange.respond(200, HTML)

    assert values(cookies) == {"_mbuzz_vid": VISITOR, "_mbuzz_sid": SESSION}


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

    assert site.pacing._waiters == 0


def test_hanging_backend_costs_one_short_wait(site):
    took = []
    with a_hanging_backend(handshake_wait=1.0):
        for _ in range(20):
            started = time.perf_counter()
            cookies = begin(site).respond(200, HTML)
            took.append(time.perf_counter() - started)
            assert names(cookies) == BOTH

    assert sum(took) < 10.0  # if each visitor waited, it would be twenty


@pytest.mark.parametrize(
    ("status", "headers"),
    [(200, JSON), (200, PUBLIC), (404, HTML), (304, [])],
)
def test_response_that_needs_no_answer_does_not_wait(site, hanging, status, headers):
    begin(site).respond(status, headers)

    # Nobody has waited in vain, so nothing is known of the backend.
    assert site.pacing._expected is None


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
    assert site.pacing._expected is None


def test_page_view_that_could_not_be_made_is_not_waited_for(site, hanging, monkeypatch):
    monkeypatch.setattr(serialization.Encoder, "mapping", None)

    assert names(begin(site).respond(200, HTML)) == BOTH
    assert site.pacing._expected is None


def test_backend_that_is_down_costs_nothing_but_is_retried(site):
    with a_backend(says(status="503 Unavailable")):
        cookies = landing(site)
        stats = api.stats()

    assert names(cookies) == BOTH
    assert (stats.accepted, stats.delivered) == (1, 0)
    assert stats.retries >= 1  # the second try may come before we look


def test_answer_tells_how_far_the_backend_is(site):
    with a_backend(says()):
        landing(site)

    assert 0 < site.pacing._expected < PATIENCE


def test_bug_in_the_wait_is_ours_alone(site, hanging, monkeypatch, caplog):
    exchange = begin(site)
    monkeypatch.setattr(Rules, "is_page", None)

    with caplog.at_level(logging.ERROR):
        answers = [
            exchange.respond(200, HTML),
            asyncio.run(exchange.arespond(200, HTML)),
        ]

    assert answers == [(), ()]
    assert [record.name for record in caplog.records] == ["mbuzz.guard"]


def test_answer_about_the_one_who_logged_out_is_not_the_next_ones(site, hanging):
    exchange = begin(site)
    with serving(exchange.context):
        api.reset()
        api.track("Logged Out")
    first = values(exchange.respond(200, HTML))
    hanging.cookies = (f"_mbuzz_vid={VISITOR}", f"_mbuzz_sid={SESSION}")
    hanging.answer.set()
    exchange._reply.result(PATIENCE)

    after = begin(site, cookie=f"_mbuzz_vid={first['_mbuzz_vid']}")

    assert after.context.visitor_id == first["_mbuzz_vid"] != VISITOR


def test_nobody_waits_for_what_is_only_tried_again(site):
    def later(environ, start_response):
        start_response("503 Unavailable", [("Retry-After", "60")])
        return [b"{}"]

    with a_backend(later):
        landing(site)
        exchange = begin(site)
        known_at_once = exchange._reply.done()
        cookies = exchange.respond(200, HTML)

    assert known_at_once
    assert names(cookies) == BOTH
