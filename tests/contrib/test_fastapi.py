"""FastAPI under the ASGI middleware: the shared table, dependencies and tasks."""

import asyncio
from typing import Annotated

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Response
from fastapi.responses import HTMLResponse, StreamingResponse

import mbuzz
from mbuzz.context import RequestContext, current
from mbuzz.contrib.asgi import MbuzzMiddleware
from tests.contrib.cases import CASES, Case, acall_asgi, call_asgi, check
from tests.contrib.starlette_site import answer_to
from tests.web.visits import FETCH, RETURNING, SESSION, VISITOR

Who = Annotated[RequestContext | None, Depends(mbuzz.current)]


def create_app(case):
    """Return an application that answers as *case* says."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(MbuzzMiddleware)

    @app.api_route("/{path:path}", methods=["GET", "POST", "HEAD"])
    def everything(path: str) -> Response:
        return answer_to(case)

    return app


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_case(case, events):
    check(case, call_asgi(create_app(case), case), events)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_current_is_a_dependency(events, kind):
    app = FastAPI()
    app.add_middleware(MbuzzMiddleware)

    def threaded(who: Who):
        return f"{who.visitor_id} {who.session_id}"

    async def asynchronous(who: Who):
        return f"{who.visitor_id} {who.session_id}"

    endpoint = threaded if kind == "def" else asynchronous
    app.get("/", response_class=HTMLResponse)(endpoint)

    answer = call_asgi(app, Case(cookie=RETURNING))

    assert answer.body.decode() == f"{VISITOR} {SESSION}"
    assert len(events.page_views()) == 1


def test_current_is_none_without_the_middleware(events):
    app = FastAPI()

    @app.get("/")
    def endpoint(who: Who):
        return who is None

    assert call_asgi(app, Case()).body == b"true"


def test_context_reaches_all_of_fastapis_ways_to_run_code(events):
    app = FastAPI()
    app.add_middleware(MbuzzMiddleware)

    def dependency():
        mbuzz.track("Before")
        yield
        mbuzz.track("After")

    async def asynchronous_dependency():
        mbuzz.track("Async before")
        yield
        mbuzz.track("Async after")

    def chunks():
        mbuzz.track("Stream")
        yield b"x"

    @app.get("/", dependencies=[Depends(dependency), Depends(asynchronous_dependency)])
    def endpoint(tasks: BackgroundTasks):
        mbuzz.track("View")
        tasks.add_task(mbuzz.track, "Background")
        return StreamingResponse(chunks(), background=tasks)

    async def visit():
        await acall_asgi(app, Case(cookie=RETURNING, headers=FETCH))
        assert current() is None

    asyncio.run(visit())

    assert sorted(event["event_type"] for event in events) == [
        *("After", "Async after", "Async before", "Background", "Before"),
        *("Stream", "View"),
    ]
    assert {event["visitor_id"] for event in events} == {VISITOR}


def test_error_in_an_endpoint_is_fastapis(events):
    app = create_app(Case(does=lambda: 1 / 0))

    with pytest.raises(ZeroDivisionError):  # after its page, for the server's log
        call_asgi(app, Case(cookie=RETURNING))

    assert events == []
