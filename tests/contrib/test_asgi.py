"""The ASGI middleware: the shared table, and everything ASGI allows."""

import asyncio
import logging

import pytest

import mbuzz
from mbuzz import api
from mbuzz.context import current
from mbuzz.contrib.asgi import MbuzzMiddleware, ScopeRequest
from mbuzz.forwarded import Trust
from mbuzz.web.pageview import Rules
from mbuzz.web.request import EnvironRequest
from tests.contrib.cases import (
    CASES,
    HTML,
    Case,
    acall_asgi,
    asgi_scope,
    call_asgi,
    check,
    wsgi_environ,
)
from tests.web.visits import FETCH, RETURNING, SESSION, VISITOR

KEY = "sk_test_" + "0" * 32
TASKS = 100


def site_of(case):
    """Return the bare application that answers as *case* says."""

    async def app(scope, receive, send):
        case.does()
        headers = [(name.lower().encode(), v.encode()) for name, v in case.answer]
        await send(
            {"type": "http.response.start", "status": case.status, "headers": headers}
        )
        for chunk in case.chunks if case.method != "HEAD" else ():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})

    return app


page = site_of(Case())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_case(case, events):
    check(case, call_asgi(MbuzzMiddleware(site_of(case)), case), events)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_request_is_the_one_that_wsgi_sees(case):
    ours, theirs = ScopeRequest(asgi_scope(case)), EnvironRequest(wsgi_environ(case))

    names = ("method", "scheme", "host", "path", "query", "url", "secure", "referrer")
    assert [getattr(ours, name) for name in names] == [
        getattr(theirs, name) for name in names
    ]
    assert ours.cookie.split() == theirs.cookie.split()


# -- what ASGI allows --


@pytest.mark.parametrize("kind", ["lifespan", "something.else"])
def test_what_is_no_http_passes_untouched(events, kind):
    got = []

    async def app(*arguments):
        got.append((*arguments, current()))

    arguments = ({"type": kind}, object(), object())
    asyncio.run(MbuzzMiddleware(app)(*arguments))

    scope, receive, _, served = got[0]
    assert (scope, receive, served) == (*arguments[:2], None)
    assert scope == {"type": kind}


def test_what_is_queued_is_delivered_before_the_server_ends(sink):
    sent = []

    async def app(scope, receive, send):
        mbuzz.track("Closed", user_id="7")  # the site's own last words count, too
        await send({"type": "lifespan.shutdown.complete"})

    async def send(message):
        sent.append((message["type"], mbuzz.stats().delivered))

    mbuzz.configure(api_key=KEY, api_url=sink.url, network=True, batch_interval=3600)
    asyncio.run(MbuzzMiddleware(app)({"type": "lifespan"}, None, send))

    assert sent == [("lifespan.shutdown.complete", 1)]


def test_options_are_laid_over_those_of_the_program():
    mbuzz.configure(api_key=KEY, network=False, respect_gpc=True)

    MbuzzMiddleware(page, skip_paths=["/admin"])

    config = api.current_client().config
    assert (config.skip_paths, config.respect_gpc) == (("/admin",), True)


@pytest.mark.parametrize("kind", ["http", "lifespan", "websocket"])
@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
def test_exception_passes(events, kind, error):
    async def app(scope, receive, send):
        raise error

    async def serve():
        with pytest.raises(error):
            await MbuzzMiddleware(app)({**asgi_scope(Case()), "type": kind}, None, None)
        assert current() is None

    asyncio.run(serve())


def test_exception_after_the_response_has_begun_passes(events):
    async def app(scope, receive, send):
        await page(scope, receive, send)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call_asgi(MbuzzMiddleware(app), Case())

    assert len(events.page_views()) == 1


def test_error_of_the_server_reaches_the_application(events):
    seen = []

    async def app(scope, receive, send):
        try:
            await page(scope, receive, send)
        except OSError as error:
            seen.append(error)
            raise

    async def send(message):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        asyncio.run(MbuzzMiddleware(app)(asgi_scope(Case()), None, send))

    assert len(seen) == 1


def test_scope_receive_and_other_messages_are_the_servers_own(events):
    got, sent = [], []
    others = [
        {"type": "http.response.early_hint", "links": []},
        {"type": "http.response.body", "body": b"x", "more_body": True},
        {"type": "http.response.pathsend", "path": "/x"},
        {"type": "http.response.trailers", "headers": []},
    ]

    async def app(scope, receive, send):
        got.extend((scope, receive))
        for message in others:
            await send(message)

    async def send(message):
        sent.append(message)

    scope, receive = asgi_scope(Case()), object()
    asyncio.run(MbuzzMiddleware(app)(scope, receive, send))

    assert (got[0] is scope, got[1] is receive) == (True, True)
    assert all(a is b for a, b in zip(sent, others, strict=True))


@pytest.mark.parametrize(
    "headers", [[], (), None, "missing", iter([]), [(b"SET-COOKIE", b"a=b")]]
)
def test_start_of_any_shape_gets_the_cookies_in_a_copy(events, headers):
    sent = []
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    if headers == "missing":
        del start["headers"]
    before = dict(start)

    async def app(scope, receive, send):
        await send(start)

    async def send(message):
        sent.append(message)

    asyncio.run(MbuzzMiddleware(app)(asgi_scope(Case()), None, send))

    cookies = [v for _, v in sent[0]["headers"] if v.startswith(b"_mbuzz")]
    assert len(cookies) == 2
    assert start == before


def test_start_that_no_server_understands_is_passed_on(events, caplog):
    sent = []
    start = {"type": "http.response.start", "status": 404, "headers": [("a", "b")]}

    async def app(scope, receive, send):
        await send(start)

    async def send(message):
        sent.append(message)

    scope = asgi_scope(Case(cookie=RETURNING))
    asyncio.run(MbuzzMiddleware(app)(scope, None, send))

    assert sent == [start]
    assert caplog.records == []


@pytest.mark.parametrize(
    ("path", "root", "seen"),
    [
        ("/shop/a", "/shop", "/shop/a"),  # as ASGI says
        ("/a", "/shop", "/shop/a"),  # as older servers do
        ("/shop", "/shop", "/shop"),
        ("/shopping", "/shop", "/shop/shopping"),
        ("/a", "/", "/a"),
        ("/a", "", "/a"),
        ("/a", None, "/a"),
    ],
)
def test_path_has_the_mount_point_once(path, root, seen):
    scope = {**asgi_scope(Case()), "path": path, "root_path": root}

    assert ScopeRequest(scope).path == seen


def test_scope_with_the_least_in_it_is_read():
    request = ScopeRequest({"type": "http", "method": "GET", "path": "/"})

    assert (request.url, request.query, request.cookie) == (None, "", "")


def test_host_comes_from_the_server_where_the_browser_names_none():
    scope = {"method": "GET", "path": "/", "server": ("shop.example", 80)}

    assert ScopeRequest(scope).url == "http://shop.example/"


def test_address_is_what_the_proxy_says_and_not_the_client_in_a_line_before():
    forwarded = [(b"x-forwarded-for", ip) for ip in (b"198.51.100.66", b"203.0.113.9")]
    scope = {**asgi_scope(Case()), "headers": forwarded}

    assert ScopeRequest(scope, Trust.of(1)).client_ip == "203.0.113.9"


def test_url_of_a_websocket_is_that_of_its_page():
    scope = {**asgi_scope(Case(scheme="wss")), "type": "websocket"}

    assert ScopeRequest(scope).url == "https://shop.example/"


def test_browser_that_goes_away_while_its_script_speaks_has_said_nothing(events):
    case = CASES["script tracks"]
    mbuzz.configure(strict=True, api_key=KEY, **case.options)
    received = [
        {"type": "http.request", "body": case.body, "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent = []

    async def receive():
        return received.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(MbuzzMiddleware(page)(asgi_scope(case), receive, send))

    assert (sent, events) == ([], [])


def test_query_that_is_no_text_is_read():
    scope = {**asgi_scope(Case()), "query_string": b"q=\xff"}

    assert ScopeRequest(scope).query == "q=\N{REPLACEMENT CHARACTER}"


def test_scope_that_cannot_be_read_is_served(events, caplog):
    scope = asgi_scope(Case())
    del scope["path"]
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(MbuzzMiddleware(page)(scope, None, send))

    assert sent[0]["headers"] == [(b"content-type", HTML[0][1].encode())]
    assert events == []
    assert [record.levelname for record in caplog.records] == ["ERROR"]


# -- several of us, and several requests --


def test_nested_middleware_tracks_once(events):
    answer = call_asgi(MbuzzMiddleware(MbuzzMiddleware(page)), Case())

    assert len(events.page_views()) == 1
    assert len(answer.cookies) == 2


def test_hundred_requests_at_once_do_not_mix(events):
    async def visit_all():
        together = asyncio.Barrier(TASKS)

        async def app(scope, receive, send):
            await together.wait()
            mbuzz.identify(scope["path"])
            await together.wait()
            seen = f"{mbuzz.visitor_id()} {mbuzz.user_id()}".encode()
            await site_of(Case(chunks=(seen,)))(scope, receive, send)

        async def visit(number):
            visitor = f"{number:064x}"
            case = Case(path=f"/{number}", cookie=f"_mbuzz_vid={visitor}")
            answer = await acall_asgi(MbuzzMiddleware(app), case)
            return answer.body == f"{visitor} /{number}".encode()

        assert all(await asyncio.gather(*map(visit, range(TASKS))))

    asyncio.run(visit_all())


def test_nothing_is_left_in_the_task_of_the_server(events):
    async def connection():
        for _ in range(2):
            await acall_asgi(MbuzzMiddleware(page), Case())
            assert current() is None

    asyncio.run(connection())


@pytest.mark.parametrize("path", ["/", "/static/a.css"])
def test_websocket_has_the_context_and_makes_nobody(events, path):
    seen = []

    async def app(scope, receive, send):
        seen.append((mbuzz.visitor_id(), mbuzz.session_id()))
        mbuzz.track("Seen")
        await send({"type": "websocket.accept"})

    sent = []

    async def send(message):
        sent.append(message)

    async def connect(**more):
        scope = {**asgi_scope(Case(path=path, **more)), "type": "websocket"}
        await MbuzzMiddleware(app)(scope, None, send)
        assert current() is None

    asyncio.run(connect(cookie=RETURNING))
    asyncio.run(connect())

    assert seen == [(VISITOR, SESSION), (None, None)]
    assert sent == [{"type": "websocket.accept"}] * 2
    assert [event["visitor_id"] for event in events] == [VISITOR]
    assert events.page_views() == []


def test_task_of_a_connection_knows_nothing_of_the_visitor_before(events):
    mbuzz.configure(strict=True, api_key=KEY, skip_paths=["/admin"])
    seen = []

    async def app(scope, receive, send):
        seen.append(mbuzz.visitor_id() == VISITOR)
        await page(scope, receive, send)

    wrapped = MbuzzMiddleware(app)

    async def connection():
        for path in ("/", "/admin", "/static/a.css"):
            cookie = RETURNING if path == "/" else ""
            await acall_asgi(wrapped, Case(path=path, cookie=cookie))
            assert current() is None

    asyncio.run(connection())

    assert seen == [True, False, False]


def test_task_that_outlives_the_response_keeps_its_visitor(events):
    later = []

    async def app(scope, receive, send):
        later.append(asyncio.create_task(work()))
        await page(scope, receive, send)

    async def work():
        await done.wait()
        mbuzz.track("Later")

    async def serve():
        await acall_asgi(MbuzzMiddleware(app), Case(cookie=RETURNING, headers=FETCH))
        await acall_asgi(MbuzzMiddleware(page), Case(headers=FETCH))
        done.set()
        await later[0]

    done = asyncio.Event()
    asyncio.run(serve())

    events.assert_tracked("Later", visitor_id=VISITOR)


def test_body_whose_generator_runs_in_the_task_has_its_visitor(events):
    async def chunks():
        for _ in range(2):
            await asyncio.sleep(0)
            yield (mbuzz.visitor_id() or "").encode()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for chunk in chunks():
            message = {"type": "http.response.body", "body": chunk, "more_body": True}
            await send(message)
        await send({"type": "http.response.body"})

    answer = call_asgi(MbuzzMiddleware(app), Case(cookie=RETURNING))

    assert answer.body == VISITOR.encode() * 2


# -- whatever the backend does --


def test_site_works_without_configuration():
    answer = call_asgi(MbuzzMiddleware(page), Case())

    assert (answer.body, len(answer.headers)) == (b"hello", len(HTML))


def test_bug_of_ours_is_not_the_sites(events, monkeypatch, caplog):
    monkeypatch.setattr(Rules, "is_page", None)

    with caplog.at_level(logging.ERROR, logger="mbuzz"):
        answer = call_asgi(MbuzzMiddleware(page), Case(cookie=RETURNING))

    assert (answer.status, answer.body, answer.cookies) == (200, b"hello", {})
    assert [record.name for record in caplog.records] == ["mbuzz.guard"]
