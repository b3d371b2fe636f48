"""Litestar under the ASGI middleware: the shared table, and its ways to run code."""

import asyncio

import pytest
from litestar import Litestar, Response, WebSocket, get, route, websocket
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency, Provide
from litestar.response import Stream
from litestar.testing import TestClient

import mbuzz
from mbuzz.context import RequestContext, current
from mbuzz.contrib.asgi import MbuzzMiddleware
from tests.contrib.cases import CASES, HTML, Case, acall_asgi, call_asgi, check
from tests.web.visits import FETCH, RETURNING, VISITOR


def create_app(case=None):
    """Return an application that answers as *case* says."""
    case = case or Case()

    @route(["/", "/{path:path}"], http_method=["GET", "POST", "HEAD"])
    async def everything() -> Response[bytes]:
        case.does()
        headers = dict(case.answer)
        if case.streamed:
            chunks = later(case.chunks)
            return Stream(chunks, status_code=case.status, headers=headers)
        body = b"".join(case.chunks)
        return Response(body, status_code=case.status, headers=headers)

    return Litestar([everything], middleware=[MbuzzMiddleware], openapi_config=None)


async def later(chunks):
    for chunk in chunks:
        yield chunk


# A host that is none Litestar refuses itself.
SERVED = {name: case for name, case in CASES.items() if name != "no host"}


@pytest.mark.parametrize("case", SERVED.values(), ids=SERVED)
def test_case(case, events):
    check(case, call_asgi(create_app(case), case), events)


def test_context_reaches_all_of_litestars_ways_to_run_code(events):
    def visitor() -> RequestContext | None:
        mbuzz.track("Dependency")
        return mbuzz.current()

    async def chunks():
        mbuzz.track("Stream")
        yield b"x"

    depends = {"who": Provide(visitor, sync_to_thread=True)}

    @get("/", sync_to_thread=True, dependencies=depends)
    def page(who: NamedDependency[RequestContext | None]) -> Stream:
        mbuzz.track("Thread")
        assert who is mbuzz.current()
        return Stream(
            chunks(),
            headers=dict(HTML),
            background=BackgroundTask(mbuzz.track, "Background"),
        )

    app = Litestar([page], middleware=[MbuzzMiddleware], openapi_config=None)

    async def visit():
        await acall_asgi(app, Case(cookie=RETURNING, headers=FETCH))
        assert current() is None

    asyncio.run(visit())

    tracked = sorted(event["event_type"] for event in events)
    assert tracked == ["Background", "Dependency", "Stream", "Thread"]
    assert {event["visitor_id"] for event in events} == {VISITOR}


def test_error_page_of_the_framework_is_no_page_view(events):
    answer = call_asgi(create_app(Case(does=lambda: 1 / 0)), Case(cookie=RETURNING))

    assert (answer.status, answer.cookies, events) == (500, {}, [])


def test_websocket_knows_the_visitor(events):
    @websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        mbuzz.track("Seen")
        await socket.send_text(mbuzz.visitor_id() or "nobody")
        await socket.close()

    app = Litestar([ws], middleware=[MbuzzMiddleware], openapi_config=None)
    with TestClient(app) as client:
        said = []
        for cookie in ({"Cookie": RETURNING}, {}):
            with client.websocket_connect("/ws", headers=cookie) as socket:
                said.append(socket.receive_text())

    assert said == [VISITOR, "nobody"]
    assert [event["visitor_id"] for event in events] == [VISITOR]
