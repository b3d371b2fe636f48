"""Quart under the ASGI middleware: the shared table, and Quart's ways to run code."""

import asyncio

import pytest
import quart
from quart import Quart

import mbuzz
from mbuzz.context import current
from mbuzz.contrib.asgi import MbuzzMiddleware
from tests.contrib.cases import CASES, HTML, Case, acall_asgi, call_asgi, check
from tests.web.visits import FETCH, NAVIGATION, RETURNING, VISITOR


def create_app(case=None):
    """Return an application that answers as *case* says."""
    case = case or Case()
    app = Quart(__name__, static_folder=None)
    app.asgi_app = MbuzzMiddleware(app.asgi_app)

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    async def everything(path):
        case.does()
        body = later(case.chunks) if case.streamed else b"".join(case.chunks)
        response = quart.Response(body, case.status)
        response.headers.pop("Content-Type")
        response.headers.extend(case.answer)
        return response

    return app


async def later(chunks):
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_case(case, events):
    check(case, call_asgi(create_app(case), case), events)


def test_quarts_own_test_client_is_tracked(events):
    async def visit():
        client = create_app().test_client()
        for path in ("/", "/next"):
            await client.get(path, headers=NAVIGATION)

    asyncio.run(visit())

    first, second = events.page_views()
    assert first["visitor_id"] == second["visitor_id"]
    assert first["session_id"] == second["session_id"]


def test_websocket_knows_the_visitor(events):
    app = create_app()

    @app.websocket("/ws")
    async def ws():
        mbuzz.track("Seen")
        await quart.websocket.send(mbuzz.visitor_id() or "nobody")

    async def talk(cookie):
        headers = {**NAVIGATION, **cookie}
        async with app.test_client().websocket("/ws", headers=headers) as socket:
            return await socket.receive()

    said = [asyncio.run(talk({"Cookie": RETURNING})), asyncio.run(talk({}))]

    assert said == [VISITOR, "nobody"]
    assert [event["visitor_id"] for event in events] == [VISITOR]
    assert events.page_views() == []


def test_context_reaches_all_of_quarts_ways_to_run_code(events):
    app = Quart(__name__)
    app.asgi_app = MbuzzMiddleware(app.asgi_app)

    async def chunks():
        mbuzz.track("Stream")
        yield b"x"

    @app.get("/")
    def threaded():
        mbuzz.track("Thread")
        return quart.Response(chunks(), headers=dict(HTML))

    async def background():
        mbuzz.track("Background")

    @app.before_request
    async def before():
        mbuzz.track("Before")
        app.add_background_task(background)

    @app.after_request
    async def after(response):
        mbuzz.track("After")
        return response

    async def visit():
        async with app.test_app():  # it waits for the background task
            await acall_asgi(app, Case(cookie=RETURNING, headers=FETCH))
            assert current() is None

    asyncio.run(visit())

    tracked = sorted(event["event_type"] for event in events)
    assert tracked == ["After", "Background", "Before", "Stream", "Thread"]
    assert {event["visitor_id"] for event in events} == {VISITOR}


def test_error_page_of_the_framework_is_no_page_view(events):
    answer = call_asgi(create_app(Case(does=lambda: 1 / 0)), Case(cookie=RETURNING))

    assert (answer.status, answer.cookies, events) == (500, {}, [])
