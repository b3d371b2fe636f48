"""The ASGI middleware: the shared table, on bare ASGI and under Starlette."""

import asyncio
import logging
import socket
import threading
from contextlib import closing

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

import mbuzz
from mbuzz.context import current
from mbuzz.contrib.asgi import MbuzzMiddleware, from_scope
from mbuzz.web import exchange as exchanges
from mbuzz.web.request import from_environ
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
from tests.web.visits import FETCH, RETURNING, VISITOR

KEY = "sk_test_" + "0" * 32
TASKS = 50


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


def starlette_of(case):
    """Return a Starlette application that answers as *case* says."""

    async def endpoint(request):
        case.does()
        if case.streamed:
            response = StreamingResponse(iter(case.chunks), case.status)
        else:
            response = Response(b"".join(case.chunks), case.status)
        for name, value in case.answer:
            response.headers[name] = value
        return response

    route = Route("/{path:path}", endpoint, methods=["GET", "POST"])
    return Starlette(routes=[route], middleware=[Middleware(MbuzzMiddleware)])


page = site_of(Case())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_case(case, events):
    check(case, call_asgi(MbuzzMiddleware(site_of(case)), case), events)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_case_under_starlette(case, events):
    check(case, call_asgi(starlette_of(case), case), events)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_request_is_the_one_that_wsgi_sees(case):
    ours, theirs = from_scope(asgi_scope(case)), from_environ(wsgi_environ(case))

    names = ("method", "scheme", "host", "path", "query", "url", "secure", "referrer")
    assert [getattr(ours, name) for name in names] == [
        getattr(theirs, name) for name in names
    ]
    assert ours.cookie.split() == theirs.cookie.split()


# -- what ASGI allows --


@pytest.mark.parametrize("kind", ["lifespan", "websocket", "something.else"])
def test_what_is_no_http_passes_untouched(events, kind):
    got = []

    async def app(*arguments):
        got.append((*arguments, current()))

    arguments = ({"type": kind}, object(), object())
    asyncio.run(MbuzzMiddleware(app)(*arguments))

    assert all(a is b for a, b in zip(got[0], (*arguments, None), strict=True))
    assert arguments[0] == {"type": kind}


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

    assert from_scope(scope).path == seen


def test_scope_with_the_least_in_it_is_read():
    request = from_scope({"type": "http", "method": "GET", "path": "/"})

    assert (request.url, request.query, request.cookie) == (None, "", "")


def test_host_comes_from_the_server_where_the_browser_names_none():
    scope = {"method": "GET", "path": "/", "server": ("shop.example", 80)}

    assert from_scope(scope).url == "http://shop.example/"


def test_query_that_is_no_text_is_read():
    scope = {**asgi_scope(Case()), "query_string": b"q=\xff"}

    assert from_scope(scope).query == "q=\N{REPLACEMENT CHARACTER}"


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


def test_mounted_application_is_tracked_once_with_its_whole_path(events):
    inner = starlette_of(Case())
    app = Starlette(
        routes=[Mount("/shop", inner)], middleware=[Middleware(MbuzzMiddleware)]
    )

    answer = call_asgi(app, Case(path="/shop/shoes"))

    urls = [view["properties"]["url"] for view in events.page_views()]
    assert urls == ["https://shop.example/shop/shoes"]
    assert len(answer.cookies) == 2


def test_one_response_object_for_everybody_hands_out_no_ones_cookie(events):
    shared = PlainTextResponse("hello", headers=dict(HTML))

    async def endpoint(request):
        return shared

    app = MbuzzMiddleware(Starlette(routes=[Route("/", endpoint)]))
    visitors = {call_asgi(app, Case()).cookies["_mbuzz_vid"].value for _ in range(3)}

    assert len(visitors) == 3
    assert call_asgi(app, Case(headers=FETCH)).cookies == {}


def test_fifty_requests_at_once_do_not_mix(events):
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


def test_context_reaches_all_of_the_frameworks_ways_to_run_code(events):
    def threaded(request):
        mbuzz.track("Threadpool")
        return PlainTextResponse("x", background=BackgroundTask(mbuzz.track, "Later"))

    def chunks():
        mbuzz.track("Stream")
        yield b"x"

    async def streamed(request):
        asyncio.get_running_loop().create_task(tracked_by_a_task())
        return StreamingResponse(chunks())

    async def tracked_by_a_task():
        mbuzz.track("Task")

    async def around(request, call_next):
        response = await call_next(request)
        mbuzz.track("Around")
        return response

    app = Starlette(
        routes=[Route("/threaded", threaded), Route("/streamed", streamed)],
        middleware=[
            Middleware(MbuzzMiddleware),
            Middleware(BaseHTTPMiddleware, dispatch=around),
        ],
    )
    for path in ("/threaded", "/streamed"):
        call_asgi(app, Case(path=path, cookie=RETURNING, headers=FETCH))

    tracked = {event["event_type"] for event in events}
    assert tracked == {"Threadpool", "Later", "Stream", "Task", "Around"}
    assert {event["visitor_id"] for event in events} == {VISITOR}


def test_user_identified_inside_is_known_outside(events):
    seen = []

    async def endpoint(request):
        mbuzz.identify("42")
        return PlainTextResponse("x")

    async def around(request, call_next):
        response = await call_next(request)
        seen.append(mbuzz.user_id())
        return response

    app = Starlette(
        routes=[Route("/", endpoint)],
        middleware=[
            Middleware(MbuzzMiddleware),
            Middleware(BaseHTTPMiddleware, dispatch=around),
        ],
    )
    call_asgi(app, Case())

    assert seen == ["42"]


# -- whatever the backend does --


def test_site_works_without_configuration():
    answer = call_asgi(MbuzzMiddleware(page), Case())

    assert (answer.body, len(answer.headers)) == (b"hello", len(HTML))


def test_loop_goes_on_while_the_backend_hangs():
    async def visit():
        loop = asyncio.get_running_loop()
        longest, last = 0.0, loop.time()
        visits = asyncio.gather(
            *(acall_asgi(MbuzzMiddleware(page), Case()) for _ in range(20))
        )
        while not visits.done():
            await asyncio.sleep(0)
            longest, last = max(longest, loop.time() - last), loop.time()
        return longest, await visits

    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        mbuzz.configure(
            api_key=KEY,
            api_url=f"http://127.0.0.1:{port}",
            network=True,
            handshake_wait=1.0,  # blocked for so long, the loop would stand out
        )
        longest, answers = asyncio.run(visit())

    assert {len(answer.cookies) for answer in answers} == {2}
    assert longest < 0.7


def test_bug_of_ours_is_not_the_sites(events, monkeypatch, caplog):
    monkeypatch.setattr(exchanges, "is_page", None)

    with caplog.at_level(logging.ERROR, logger="mbuzz"):
        answer = call_asgi(MbuzzMiddleware(page), Case(cookie=RETURNING))

    assert (answer.status, answer.body, answer.cookies) == (200, b"hello", {})
    assert [record.name for record in caplog.records] == ["mbuzz.guard"]


def test_requests_on_several_loops_do_not_meet(events):
    """One middleware may serve several threads, each with a loop of its own."""
    app = MbuzzMiddleware(page)
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(call_asgi(app, Case())))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({answer.cookies["_mbuzz_vid"].value for answer in answers}) == 8
