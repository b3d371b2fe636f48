"""The Django adapter: the shared table on both stacks, and its traps."""

import asyncio
import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import AsyncClient, Client, override_settings

import mbuzz
from mbuzz.context import current
from mbuzz.contrib.asgi import MbuzzMiddleware as AsgiMiddleware
from mbuzz.contrib.wsgi import MbuzzMiddleware as WsgiMiddleware
from mbuzz.web import visit
from tests.contrib.building import BOTH
from tests.contrib.cases import CASES, Case, acall_asgi, call_asgi, call_wsgi, check
from tests.contrib.django_site import KEY, OURS, STACKS, answering, quiet_django, serve
from tests.web.visits import FETCH, NAVIGATION, RETURNING, VISITOR

__all__ = ["quiet_django"]


@STACKS
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_case(serving, case, events):
    check(case, serving(case), events)


def test_sync_view_under_asgi_is_tracked(events):
    answering["case"] = Case(does=lambda: mbuzz.track("Seen"))

    answer = call_asgi(ASGIHandler(), Case(cookie=RETURNING))

    assert list(answer.cookies) == ["_mbuzz_sid"]
    events.assert_tracked("Seen", visitor_id=VISITOR)


# -- its traps --


@STACKS
@pytest.mark.parametrize("host", ["evil.example", "not a host"])
def test_host_that_django_refuses_is_not_tracked(serving, events, host):
    """The view never asked for the host, so the site answers 200, as without us."""
    answer = serving(Case(host=host))

    assert (answer.status, answer.body, answer.cookies) == (200, b"hello", {})
    assert events == []


@override_settings(MIDDLEWARE=[OURS, "django.middleware.common.CommonMiddleware"])
@STACKS
def test_refusal_of_a_host_stays_a_400(serving, events):
    assert serving(Case(host="evil.example")).status == 400
    assert events == []


@STACKS
def test_response_object_that_is_used_again_hands_out_no_ones_cookie(serving, events):
    shared = HttpResponse(b"hello")

    visitors = {serving(Case(), shared).cookies["_mbuzz_vid"].value for _ in range(3)}

    assert len(visitors) == 3
    assert list(serving(Case(cookie=RETURNING), shared).cookies) == ["_mbuzz_sid"]
    assert serving(Case(headers=FETCH), shared).cookies == {}


@STACKS
def test_response_object_that_is_used_again_parts_with_no_one_else(serving, events):
    mbuzz.configure(strict=True, api_key=KEY, cookie_domain="shop.example")
    shared = HttpResponse(b"hello")

    def log_out():
        mbuzz.reset()
        return shared

    assert serving(Case(cookie=RETURNING), log_out).twins == BOTH
    assert serving(Case(cookie=RETURNING, headers=FETCH), shared).cookies == {}


CACHED = [
    OURS,
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
]


@override_settings(MIDDLEWARE=CACHED)
def test_cached_page_hands_out_no_ones_cookie(events):
    first, second = serve(Case(path="/cached")), serve(Case(path="/cached"))

    assert first.cookies["_mbuzz_vid"].value != second.cookies["_mbuzz_vid"].value
    assert len(events.page_views()) == 2


@STACKS
def test_answer_does_not_vary_by_our_cookie(serving, events):
    assert serving(Case()).values("vary") == []


@STACKS
def test_error_in_a_view_is_djangos(serving, events):
    answer = serving(Case(does=lambda: 1 / 0, cookie=RETURNING))

    assert (answer.status, answer.cookies, events) == (500, {}, [])


def test_end_of_the_process_passes(events):
    def leave():
        raise SystemExit

    with pytest.raises(SystemExit):
        serve(Case(does=leave))

    assert current() is None


def test_nested_middleware_tracks_once(events):
    answering["case"] = Case()
    with override_settings(MIDDLEWARE=[OURS, OURS]):
        answers = [
            call_wsgi(WsgiMiddleware(WSGIHandler()), Case()),
            call_asgi(AsgiMiddleware(ASGIHandler()), Case()),
        ]

    assert len(events.page_views()) == 2
    assert [len(answer.cookies) for answer in answers] == [2, 2]


def test_fifty_requests_at_once_do_not_mix(events):
    def whoami():
        mbuzz.identify(mbuzz.visitor_id())

    answering["case"] = Case(does=whoami)
    handler = WSGIHandler()

    def visit(number):
        call_wsgi(handler, Case(cookie=f"_mbuzz_vid={number:064x}", headers=FETCH))

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(visit, range(50)))

    assert len(events.identified()) == 50
    assert all(event["user_id"] == event["visitor_id"] for event in events)


def test_fifty_tasks_at_once_do_not_mix(events):
    answering["case"] = Case(does=lambda: mbuzz.identify(mbuzz.visitor_id()))

    async def visit_all():
        handler = ASGIHandler()
        cases = [
            Case(path="/async", cookie=f"_mbuzz_vid={number:064x}", headers=FETCH)
            for number in range(50)
        ]
        await asyncio.gather(*(acall_asgi(handler, case) for case in cases))

    asyncio.run(visit_all())

    assert len(events.identified()) == 50
    assert all(event["user_id"] == event["visitor_id"] for event in events)


def test_task_that_outlives_its_response_keeps_its_visitor_and_page(events):
    later = []

    async def work():
        await done.wait()
        mbuzz.track("Later")

    def begin_work():
        later.append(asyncio.create_task(work()))
        return HttpResponse(b"hello")

    async def visit():
        answering["case"] = begin_work
        form = Case(path="/async", method="POST", cookie=RETURNING, headers=FETCH)
        await acall_asgi(ASGIHandler(), form)
        done.set()
        await later[0]

    done = asyncio.Event()
    asyncio.run(visit())

    seen = events.assert_tracked("Later", visitor_id=VISITOR)
    assert seen["properties"]["url"] == "https://shop.example/async"


def test_djangos_own_test_clients_are_tracked(events):
    answering["case"] = Case()
    client, later = Client(), AsyncClient()
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        client.get("/", headers=NAVIGATION)
        client.get("/next", headers=NAVIGATION)
        asyncio.run(later.get("/async", headers=NAVIGATION))

    first, second, third = events.page_views()
    assert first["session_id"] == second["session_id"] != third["session_id"]


# -- whatever the backend does --


@STACKS
def test_site_works_with_a_backend_that_hangs(serving):
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        mbuzz.configure(api_key=KEY, api_url=f"http://127.0.0.1:{port}", network=True)
        answers = [serving(Case()) for _ in range(3)]

    assert {len(answer.cookies) for answer in answers} == {2}


@STACKS
def test_bug_of_ours_is_not_the_sites(serving, events, monkeypatch, caplog):
    monkeypatch.setattr(visit, "read_cookie", None)

    with caplog.at_level(logging.ERROR, logger="mbuzz"):
        answer = serving(Case())

    assert (answer.status, answer.body, answer.cookies) == (200, b"hello", {})
    assert [record.name for record in caplog.records] == ["mbuzz.guard"]
