"""Starlette under the ASGI middleware: the shared table, and its ways to run code."""

import asyncio
import contextlib
import threading

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient

import mbuzz
from mbuzz.context import current
from mbuzz.contrib.asgi import MbuzzMiddleware
from tests.contrib.cases import CASES, HTML, Case, acall_asgi, call_asgi, check
from tests.contrib.starlette_site import answer_to
from tests.web.visits import FETCH, NAVIGATION, RETURNING, VISITOR

US = Middleware(MbuzzMiddleware)


def starlette_of(case):
    """Return a Starlette application that answers as *case* says."""

    async def endpoint(request):
        return answer_to(case)

    route = Route("/{path:path}", endpoint, methods=["GET", "POST"])
    return Starlette(routes=[route], middleware=[US])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_case_under_starlette(case, events):
    check(case, call_asgi(starlette_of(case), case), events)


def test_mounted_application_is_tracked_once_with_its_whole_path(events):
    inner = starlette_of(Case())
    app = Starlette(routes=[Mount("/shop", inner)], middleware=[US])

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
            US,
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
            US,
            Middleware(BaseHTTPMiddleware, dispatch=around),
        ],
    )
    call_asgi(app, Case())

    assert seen == ["42"]


# -- other middleware around us --


async def passes(request, call_next):
    response = await call_next(request)
    response.headers["X-Around"] = "yes"
    return response


@pytest.mark.parametrize("outside", [True, False], ids=["outside", "inside"])
@pytest.mark.parametrize("case", ["landing", "streamed page", "next page"])
def test_base_http_middleware_changes_nothing(events, case, outside):
    case = CASES[case]
    other = Middleware(BaseHTTPMiddleware, dispatch=passes)

    async def endpoint(request):
        mbuzz.track("Inside")
        chunks = iter(case.chunks)
        return StreamingResponse(chunks, headers=dict(case.answer))

    app = Starlette(
        routes=[Route("/", endpoint)],
        middleware=[other, US] if outside else [US, other],
    )
    answer = call_asgi(app, case)

    check(case, answer, events)
    assert answer.values("x-around") == ["yes"]
    assert len(events.tracked("Inside")) == 1


# -- websockets and lifespan --


def test_websocket_knows_the_visitor(events):
    async def socket(websocket):
        await websocket.accept()
        mbuzz.track("Seen")
        await websocket.send_text(mbuzz.visitor_id() or "nobody")
        await websocket.close()

    app = Starlette(routes=[WebSocketRoute("/ws", socket)], middleware=[US])
    said = []
    with TestClient(app) as client:
        for cookie in ({"Cookie": RETURNING}, {}):
            headers = {**NAVIGATION, **cookie}
            with client.websocket_connect("/ws", headers=headers) as connection:
                said.append(connection.receive_text())
                assert not any(
                    name == b"set-cookie" for name, _ in connection.extra_headers or ()
                )

    assert said == [VISITOR, "nobody"]
    assert [event["visitor_id"] for event in events] == [VISITOR]


def test_lifespan_runs_and_its_failure_is_heard(events):
    steps = []

    @contextlib.asynccontextmanager
    async def lifespan(app):
        steps.append(current())
        yield
        steps.append(current())

    @contextlib.asynccontextmanager
    async def failing(app):
        raise ZeroDivisionError
        yield

    with TestClient(MbuzzMiddleware(Starlette(lifespan=lifespan))):
        pass
    with (
        pytest.raises(ZeroDivisionError),
        TestClient(MbuzzMiddleware(Starlette(lifespan=failing))),
    ):
        pass

    assert steps == [None, None]


def test_starlettes_own_test_client_is_tracked(events):
    client = TestClient(starlette_of(Case()))
    for path in ("/", "/next"):
        client.get(path, headers=NAVIGATION)

    first, second = events.page_views()
    assert first["visitor_id"] == second["visitor_id"]
    assert first["session_id"] == second["session_id"]


# -- many at once --


def test_hundred_requests_in_the_threadpool_do_not_mix(events):
    together = threading.Barrier(20)  # Starlette has 40 threads

    def endpoint(request):
        mbuzz.identify(request.url.path)
        together.wait(10)
        return PlainTextResponse(f"{mbuzz.visitor_id()} {mbuzz.user_id()}")

    route = Route("/{number}", endpoint)
    app = Starlette(routes=[route], middleware=[US])

    async def visit(number):
        visitor = f"{number:064x}"
        case = Case(
            path=f"/{number}", cookie=f"_mbuzz_vid={visitor}", headers=dict(FETCH)
        )
        answer = await acall_asgi(app, case)
        assert current() is None
        return answer.body == f"{visitor} /{number}".encode()

    async def visit_all():
        return await asyncio.gather(*map(visit, range(100)))

    assert all(asyncio.run(visit_all()))
    assert {(e["user_id"], int(e["visitor_id"], 16)) for e in events} == {
        (f"/{number}", number) for number in range(100)
    }
