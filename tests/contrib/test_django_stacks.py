"""Among other middleware: caches, compression, redirects, sync between async."""

import gzip

import pytest
from asgiref.sync import iscoroutinefunction
from django.conf.urls.i18n import i18n_patterns
from django.core.cache import cache
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import include, path
from django.utils.decorators import sync_and_async_middleware

import mbuzz
from mbuzz.context import current
from mbuzz.contrib.asgi import MbuzzMiddleware as AsgiMiddleware
from mbuzz.contrib.wsgi import MbuzzMiddleware as WsgiMiddleware
from tests.contrib.cases import Case, call_asgi, call_wsgi
from tests.contrib.django_site import (
    KEY,
    OURS,
    STACKS,
    answering,
    aserve,
    quiet_django,
    serve,
)
from tests.web.visits import FETCH, NAVIGATION, RETURNING, VISITOR

__all__ = ["quiet_django"]

UPDATE = "django.middleware.cache.UpdateCacheMiddleware"
FETCH_CACHE = "django.middleware.cache.FetchFromCacheMiddleware"
GZIP = "django.middleware.gzip.GZipMiddleware"
CONDITIONAL = "django.middleware.http.ConditionalGetMiddleware"
LOCALE = "django.middleware.locale.LocaleMiddleware"
COMMON = "django.middleware.common.CommonMiddleware"


def urls(events):
    return [view["properties"]["url"] for view in events.page_views()]


# -- caches --


@STACKS
@override_settings(MIDDLEWARE=[OURS, UPDATE, FETCH_CACHE])
def test_page_out_of_djangos_cache_hands_out_no_ones_cookie(serving, events):
    cache.clear()
    made = []
    answers = [
        serving(Case(path="/cached"), lambda: made.append(1) or HttpResponse(b"hello"))
        for _ in range(3)
    ]

    assert len(made) == 1
    assert len({answer.cookies["_mbuzz_vid"].value for answer in answers}) == 3
    assert len(events.page_views()) == 3


@override_settings(MIDDLEWARE=[UPDATE, FETCH_CACHE, OURS])
def test_what_the_check_warns_of_does_happen(events, caplog):
    cache.clear()
    first = serve(Case(path="/cached"))
    second = serve(Case(path="/cached"))

    # Another visitor, with the first one's cookie; a log line says so at the start.
    assert first.cookies["_mbuzz_vid"].value == second.cookies["_mbuzz_vid"].value
    assert {record.levelname for record in caplog.records} == {"WARNING"}


@override_settings(MIDDLEWARE=[OURS, UPDATE, FETCH_CACHE])
def test_cached_page_marks_nothing_for_others(events):
    mbuzz.configure(api_key=KEY, network=False, session_endpoint=True)
    cache.clear()

    pages = [serve(Case(path="/cached")) for _ in range(3)]
    aside = serve(Case(path="/cached", headers=FETCH))

    assert [page.values("server-timing") for page in pages] == [["mbuzz"]] * 3
    assert aside.values("server-timing") == ["mbuzz"]  # no page, so not to be counted


@STACKS
def test_response_used_again_is_marked_once(serving, events):
    mbuzz.configure(api_key=KEY, network=False, session_endpoint=True)
    shared = HttpResponse(b"hello", headers={"Server-Timing": "db;dur=5"})

    pages = [serving(Case(), shared) for _ in range(3)]
    ahead = serving(Case(headers={**NAVIGATION, "Sec-Purpose": "prefetch"}), shared)

    assert [p.values("server-timing") for p in pages] == [["db;dur=5, mbuzz"]] * 3
    assert ahead.values("server-timing") == ["db;dur=5"]


# -- what changes responses --


@STACKS
@override_settings(MIDDLEWARE=[OURS, GZIP])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_compressed_page_is_counted(serving, streamed, events):
    text = b"hello " * 100
    headers = {**Case().headers, "Accept-Encoding": "gzip"}

    answer = serving(
        Case(headers=headers, cookie=RETURNING),
        Case(chunks=(text,), streamed=streamed, does=lambda: mbuzz.track("Seen")),
    )

    assert answer.values("content-encoding") == ["gzip"]
    assert gzip.decompress(answer.body) == text
    assert len(events.page_views()) == 1
    assert current() is None


@override_settings(MIDDLEWARE=[OURS, GZIP])
def test_compressed_body_is_made_in_the_context(events):
    def chunks():
        mbuzz.track("Late")
        yield b"hello " * 100

    headers = {**Case().headers, "Accept-Encoding": "gzip"}
    case = Case(headers=headers, cookie=RETURNING)
    serve(case, lambda: StreamingHttpResponse(chunks()))

    events.assert_tracked("Late", visitor_id=VISITOR)


@STACKS
@override_settings(MIDDLEWARE=[OURS, CONDITIONAL])
def test_unchanged_page_is_a_view_without_cookies(serving, events):
    first = serving(Case(cookie=RETURNING))
    headers = {**Case().headers, "If-None-Match": first.values("etag")[0]}
    again = serving(Case(cookie=RETURNING, headers=headers))

    assert [first.status, again.status] == [200, 304]
    assert [len(first.cookies), len(again.cookies)] == [1, 0]
    assert len(events.page_views()) == 2


@STACKS
def test_landing_that_a_language_redirects_keeps_its_campaign(serving, events):
    answering["case"] = Case()
    localized = i18n_patterns(path("shop/", lambda request: HttpResponse(b"shop")))
    run = {serve: (call_wsgi, WSGIHandler), aserve: (call_asgi, ASGIHandler)}[serving]
    with override_settings(
        MIDDLEWARE=[OURS, LOCALE, COMMON], ROOT_URLCONF=tuple(localized)
    ):
        call, handler = run
        landing = call(handler(), Case(path="/shop/", query="utm_source=x"))
        cookies = "; ".join(f"{k}={m.value}" for k, m in landing.cookies.items())
        (goes_to,) = landing.values("location")
        page = call(handler(), Case(path=goes_to.partition("?")[0], cookie=cookies))

    assert (landing.status, page.status) == (302, 200)
    first, second = events.page_views()
    assert urls(events)[0] == "https://shop.example/shop/?utm_source=x"
    assert first["properties"]["redirect"] is True
    assert first["session_id"] == second["session_id"]


@override_settings(MIDDLEWARE=[LOCALE, OURS])
def test_what_the_check_says_of_answers_before_ours_does_happen(events):
    localized = i18n_patterns(path("shop/", lambda request: HttpResponse(b"shop")))
    with override_settings(ROOT_URLCONF=tuple(localized)):
        landing = call_wsgi(WSGIHandler(), Case(path="/shop/"))

    assert (landing.status, landing.cookies) == (302, {})


# -- sync between async --


class Sync:
    """A middleware of the old kind."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        mbuzz.track("Around")
        return self.get_response(request)


@sync_and_async_middleware
def both(get_response):
    if iscoroutinefunction(get_response):

        async def around(request):
            mbuzz.track("Around")
            return await get_response(request)
    else:

        def around(request):
            mbuzz.track("Around")
            return get_response(request)

    return around


def only_async(get_response):
    async def around(request):
        mbuzz.track("Around")
        return await get_response(request)

    return around


only_async.sync_capable, only_async.async_capable = False, True
SYNC, BOTH, ASYNC = (f"{__name__}.{name}" for name in ("Sync", "both", "only_async"))


@STACKS
@pytest.mark.parametrize(
    "middleware",
    [
        [OURS, SYNC],
        [SYNC, OURS],
        [OURS, ASYNC],
        [ASYNC, OURS],
        [OURS, SYNC, BOTH, ASYNC],
        [ASYNC, SYNC, OURS, SYNC, ASYNC],
        [BOTH, OURS, BOTH],
    ],
    ids=lambda listed: "-".join(
        "ours" if name == OURS else name.rpartition(".")[2] for name in listed
    ),
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_sync_and_async_middleware_mix(serving, middleware, streamed, events):
    inside = len(middleware) - 1 - middleware.index(OURS)
    case = Case(cookie=RETURNING, does=lambda: mbuzz.track("Seen"), streamed=streamed)
    with override_settings(MIDDLEWARE=middleware):
        answer = serving(case)

    assert (answer.status, answer.body) == (200, b"hello")
    assert list(answer.cookies) == ["_mbuzz_sid"]
    events.assert_tracked("Seen", visitor_id=VISITOR)
    around = [event["visitor_id"] for event in events.tracked("Around")]
    assert around.count(VISITOR) == inside
    assert len(events.page_views()) == 1
    assert current() is None


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("stack", ["wsgi", "asgi"])
def test_wrapped_handler_tracks_once(stack, streamed, events):
    answering["case"] = Case(streamed=streamed, does=lambda: mbuzz.track("Seen"))
    if stack == "wsgi":
        answer = call_wsgi(WsgiMiddleware(WSGIHandler()), Case())
    else:
        with override_settings(ROOT_URLCONF="tests.contrib.django_site"):
            case = Case(path="/async")
            answer = call_asgi(AsgiMiddleware(ASGIHandler()), case)

    assert answer.status == 200
    assert list(answer.cookies) == ["_mbuzz_vid", "_mbuzz_sid"]
    assert len(events.page_views()) == 1
    (seen,) = events.tracked("Seen")
    assert seen["visitor_id"] == answer.cookies["_mbuzz_vid"].value
    assert current() is None


# -- what is no page of the site --


def empty(request):
    return HttpResponse(b"hello")


admin = ([path("", empty, name="index"), path("log/", empty)], "admin")


@override_settings(STATIC_URL="/files/", MEDIA_URL="uploads/")
def test_files_and_admin_are_no_pages(events):
    routes = (
        path("backstage/", include(admin)),
        path("<path:rest>", empty),
    )
    with override_settings(ROOT_URLCONF=routes):
        handler = WSGIHandler()
        for asked in (
            *("/backstage/", "/backstage/log/", "/files/terms", "/uploads/1"),
            *("/backstages", "/filesystem"),
        ):
            call_wsgi(handler, Case(path=asked))

    assert urls(events) == [
        "https://shop.example/backstages",
        "https://shop.example/filesystem",
    ]


@override_settings(LANGUAGES=[("en-us", "English"), ("de", "Deutsch")])
def test_admin_in_every_language_is_no_page(events):
    routes = i18n_patterns(path("admin/", include(admin)), path("", empty))
    with override_settings(ROOT_URLCONF=tuple(routes), MIDDLEWARE=[OURS, LOCALE]):
        handler = WSGIHandler()
        for asked in ("/de/admin/", "/en-us/admin/log/", "/de/"):
            call_wsgi(handler, Case(path=asked))

    assert urls(events) == ["https://shop.example/de/"]


@override_settings(STATIC_URL="https://cdn.example/", MEDIA_URL="/")
def test_files_of_other_hosts_hide_nothing(events):
    serve(Case(path="/"))
    serve(Case(path="/shop"))

    assert len(events.page_views()) == 2
