"""Django's middleware: the shared table on both stacks, settings, and its traps."""

import asyncio
import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import django
import pytest
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import re_path

import mbuzz
import mbuzz.contrib.django as package
from mbuzz import api
from mbuzz.context import current
from mbuzz.contrib.asgi import MbuzzMiddleware as AsgiMiddleware
from mbuzz.contrib.django import MbuzzMiddleware
from mbuzz.contrib.wsgi import MbuzzMiddleware as WsgiMiddleware
from mbuzz.web import exchange as exchanges
from tests.contrib.cases import CASES, Case, acall_asgi, call_asgi, call_wsgi, check
from tests.web.visits import FETCH, NAVIGATION, RETURNING, VISITOR

KEY = "sk_test_" + "0" * 32
OURS = "mbuzz.contrib.django.MbuzzMiddleware"

settings.configure(
    ALLOWED_HOSTS=["shop.example"],
    MIDDLEWARE=[OURS],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests only",
)
django.setup()

answering = {"case": Case()}


def view(request):
    return _respond(answering["case"])


async def async_view(request):
    return _respond(answering["case"], asynchronous=True)


def _respond(case, *, asynchronous=False):
    if isinstance(case, HttpResponse):
        return case
    case.does()
    kind = StreamingHttpResponse if case.streamed else HttpResponse
    content = case.chunks if not asynchronous else _later(case.chunks)
    if not case.streamed:
        content = b"".join(case.chunks)
    response = kind(content, status=case.status)
    del response["Content-Type"]
    for name, value in case.answer:
        response[name] = value
    return response


async def _later(chunks):
    for chunk in chunks:
        yield chunk


urlpatterns = [re_path("^async", async_view), re_path("", view)]


ASYNC_URLS = (re_path("", async_view),)


def serve(case, answer=None):
    """Serve *case* by the WSGI stack."""
    answering["case"] = answer or case
    return call_wsgi(WSGIHandler(), case)


def aserve(case, answer=None):
    """Serve *case* by the ASGI stack."""
    answering["case"] = answer or case
    with override_settings(ROOT_URLCONF=ASYNC_URLS):
        return call_asgi(ASGIHandler(), case)


STACKS = pytest.mark.parametrize("serving", [serve, aserve], ids=["wsgi", "asgi"])


@pytest.fixture(autouse=True)
def quiet_django(monkeypatch):
    """Let caplog hold what mbuzz says, and not Django's word on each 404."""
    monkeypatch.setattr(logging.getLogger("django"), "disabled", True)
    monkeypatch.setattr(logging.getLogger("django.request"), "disabled", True)


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


def test_djangos_own_test_clients_are_tracked(events):
    answering["case"] = Case()
    client, later = Client(), AsyncClient()
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        client.get("/", headers=NAVIGATION)
        client.get("/next", headers=NAVIGATION)
        asyncio.run(later.get("/async", headers=NAVIGATION))

    first, second, third = events.page_views()
    assert first["session_id"] == second["session_id"] != third["session_id"]


# -- settings --


def middleware(**found):
    with override_settings(**found):
        return MbuzzMiddleware(lambda request: None)


@pytest.mark.parametrize(
    "options",
    [
        {"API_KEY": KEY, "SKIP_PATHS": ["/admin"], "NETWORK": False},
        {"api_key": KEY, "skip_paths": ["/admin"], "network": False},
    ],
)
def test_settings_are_in_upper_or_lower_case(options):
    middleware(MBUZZ=options)

    config = api.current_client().config
    assert (config.api_key, config.skip_paths) == (KEY, ("/admin",))


def test_key_of_the_environment_does_with_and_without_settings(monkeypatch):
    monkeypatch.setenv("MBUZZ_API_KEY", KEY)
    monkeypatch.setenv("MBUZZ_NETWORK", "off")

    middleware()
    alone = api.current_client().config
    middleware(MBUZZ={"API_KEY": None, "SKIP_PATHS": ["/admin"]})
    together = api.current_client().config

    assert (alone.api_key, alone.skip_paths) == (KEY, ())
    assert (together.api_key, together.skip_paths) == (KEY, ("/admin",))


def test_client_that_the_project_made_is_kept():
    mbuzz.configure(api_key=KEY, skip_paths=["/admin"], network=False)

    middleware()

    assert api.current_client().config.skip_paths == ("/admin",)


@pytest.mark.parametrize("options", [None, {}, {"API_KEY": None}, {"API_KEY": ""}])
def test_without_a_key_the_middleware_is_left_out(options, caplog):
    for _ in range(2):
        with pytest.raises(MiddlewareNotUsed):
            middleware(MBUZZ=options)

    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("options", ["sk_test", ["API_KEY"]])
def test_settings_of_another_kind_are_an_error(options, caplog):
    with pytest.raises(MiddlewareNotUsed, match="must be a dict"):
        middleware(MBUZZ=options)

    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize(
    "options", [{"ENABLED": False}, {"API_KEY": KEY, "ENABLED": False}]
)
def test_disabled_middleware_is_left_out_without_a_word(options, caplog):
    with pytest.raises(MiddlewareNotUsed):
        middleware(MBUZZ=options)

    assert caplog.records == []


@pytest.mark.parametrize("options", [{"API_KEY": "pk_live_x"}, {"API_KEYS": KEY}])
def test_wrong_settings_are_one_error_and_the_site_works(options, caplog):
    answering["case"] = Case()
    with override_settings(MBUZZ=options):
        handler = WSGIHandler()
        answers = [call_wsgi(handler, Case()) for _ in range(3)]

    assert {answer.body for answer in answers} == {b"hello"}
    assert {len(answer.cookies) for answer in answers} == {0}
    errors = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(errors) == 1
    assert "pk_live_x" not in errors[0]


def test_tests_need_no_key(events, caplog):
    with override_settings(MBUZZ={"API_KEY": None, "SKIP_PATHS": ["/admin"]}):
        serve(Case())
        serve(Case(path="/admin"))

    assert len(events.page_views()) == 1
    assert caplog.records == []


def test_package_gives_out_the_middleware_alone():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = package.Nothing


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
    monkeypatch.setattr(exchanges, "read_cookie", None)

    with caplog.at_level(logging.ERROR, logger="mbuzz"):
        answer = serving(Case())

    assert (answer.status, answer.body, answer.cookies) == (200, b"hello", {})
    assert [record.name for record in caplog.records] == ["mbuzz.guard"]
