"""Bodies that Django produces after the middleware has returned."""

import asyncio
import gc
import io

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, override_settings

import mbuzz
from mbuzz.context import current
from tests.contrib.cases import (
    Case,
    acall_asgi,
    asgi_scope,
    call_asgi,
    call_wsgi,
    wsgi_environ,
)
from tests.contrib.django_site import (
    STACKS,
    answering,
    aserve,
    quiet_django,
    serve,
)
from tests.web.visits import NAVIGATION, RETURNING, VISITOR

__all__ = ["quiet_django"]

CASE = Case(cookie=RETURNING)


def told(events):
    return [(event["event_type"], event["visitor_id"]) for event in events.tracked()]


def chunks():
    mbuzz.track("First")
    yield b"a"
    mbuzz.track("Last")
    yield b"b"


async def achunks():
    for chunk in chunks():
        await asyncio.sleep(0)
        yield chunk


ALL = [("page_view", VISITOR), ("First", VISITOR), ("Last", VISITOR)]


@pytest.mark.parametrize(
    ("serving", "body"), [(serve, chunks), (aserve, achunks)], ids=["wsgi", "asgi"]
)
def test_context_is_there_in_a_streamed_body_and_gone_afterwards(serving, body, events):
    answer = serving(CASE, lambda: StreamingHttpResponse(body()))

    assert answer.body == b"ab"
    assert told(events) == ALL
    assert current() is None


@pytest.mark.parametrize(
    ("serving", "body"), [(serve, achunks), (aserve, chunks)], ids=["wsgi", "asgi"]
)
def test_body_of_the_other_stack(serving, body, events):
    with pytest.warns(Warning, match="StreamingHttpResponse must consume"):
        answer = serving(CASE, lambda: StreamingHttpResponse(body()))

    assert answer.body == b"ab"
    assert told(events) == ALL
    assert current() is None


def test_task_around_asgi_keeps_its_own_context(events):
    answering["case"] = lambda: StreamingHttpResponse(achunks())

    async def visit():
        await acall_asgi(ASGIHandler(), CASE)
        return current()

    assert asyncio.run(visit()) is None
    assert told(events) == ALL


def test_body_is_closed_in_its_context(events):
    class Body:
        def __iter__(self):
            return iter([b"a"])

        def close(self):
            mbuzz.track("Closed")

    serve(CASE, lambda: StreamingHttpResponse(Body()))

    events.assert_tracked("Closed", visitor_id=VISITOR)
    assert current() is None


@override_settings(ALLOWED_HOSTS=["testserver"])
@pytest.mark.parametrize("streamed", [True, False])
def test_context_around_the_handler_is_kept(streamed, events):
    kind = StreamingHttpResponse if streamed else HttpResponse
    answering["case"] = lambda: kind(achunks() if streamed else b"a")

    async def visit():
        with mbuzz.context_scope(user_id="42"):
            answer = await acall_asgi(ASGIHandler(), Case(host="testserver"))
            return answer.status, mbuzz.user_id()

    assert asyncio.run(visit()) == (200, "42")


def test_body_that_is_closed_early_ends_the_context(events):
    answering["case"] = lambda: StreamingHttpResponse(chunks())

    response = WSGIHandler()(wsgi_environ(CASE), lambda *_: None)
    assert next(iter(response)) == b"a"
    between = current()
    response.close()

    assert (between, current()) == (None, None)
    assert told(events) == ALL[:2]


@override_settings(ALLOWED_HOSTS=["testserver"])
@pytest.mark.parametrize("kind", [StreamingHttpResponse, FileResponse])
def test_body_that_nobody_reads_leaves_its_visitor_nowhere(kind, events):
    answering["case"] = lambda: kind(io.BytesIO(b"a"), content_type="text/csv")

    left = Client().get("/", headers={**NAVIGATION, "Cookie": RETURNING})

    assert mbuzz.track("Job").error == "missing_identity"
    left.close()
    assert current() is None


@override_settings(ALLOWED_HOSTS=["testserver"])
def test_async_body_that_nobody_reads_leaves_its_visitor_nowhere(events):
    answering["case"] = lambda: StreamingHttpResponse(achunks())

    async def visit():
        headers = {**NAVIGATION, "Cookie": RETURNING}
        left = await AsyncClient().get("/async", headers=headers)
        seen = current()
        left.close()
        return seen, current()

    assert asyncio.run(visit()) == (None, None)


def test_body_that_is_never_closed_gives_the_next_request_nothing(events):
    answering["case"] = lambda: StreamingHttpResponse(chunks())
    left = WSGIHandler()(wsgi_environ(CASE), lambda *_: None)
    assert current() is None
    events.clear()

    answer = serve(Case())

    (view,) = events.page_views()
    assert view["visitor_id"] == answer.cookies["_mbuzz_vid"].value != VISITOR
    left.close()
    gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Django's, of its input
@pytest.mark.parametrize("stack", ["wsgi", "asgi"])
def test_error_in_a_body_is_the_servers(stack, events):
    def broken():
        yield b"a"
        raise ZeroDivisionError

    async def abroken():
        for chunk in broken():
            yield chunk

    body = {"wsgi": broken, "asgi": abroken}[stack]
    call = {"wsgi": call_wsgi, "asgi": call_asgi}[stack]
    answering["case"] = lambda: StreamingHttpResponse(body())

    with pytest.raises(ZeroDivisionError):
        call({"wsgi": WSGIHandler, "asgi": ASGIHandler}[stack](), CASE)

    assert current() is None
    gc.collect()


def test_browser_that_goes_away_ends_an_async_body(events):
    ended = []

    async def endless():
        try:
            while True:
                yield b"a"
                await asyncio.sleep(0)
        finally:
            ended.append(mbuzz.visitor_id())

    answering["case"] = lambda: StreamingHttpResponse(endless())

    async def visit():
        arrives = asyncio.Event()
        received = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            if received:
                return received.pop()
            await arrives.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if message.get("body"):
                arrives.set()

        scope = asgi_scope(Case(path="/async", cookie=RETURNING))
        await asyncio.wait_for(ASGIHandler()(scope, receive, send), 5.0)
        return current()

    assert asyncio.run(visit()) is None
    assert ended == [VISITOR]


# -- files --


def test_file_goes_to_the_servers_file_wrapper(events):
    class FileWrapper:
        def __init__(self, file, *_):
            self.file = file

        def __iter__(self):
            return iter([self.file.read()])

        def close(self):
            self.file.close()

    sent = io.BytesIO(b"pdf")
    answering["case"] = lambda: FileResponse(sent, content_type="text/html")
    environ = wsgi_environ(CASE) | {"wsgi.file_wrapper": FileWrapper}
    started = []

    body = WSGIHandler()(environ, lambda *said: started.append(said))

    assert isinstance(body, FileWrapper)
    assert b"".join(body) == b"pdf"
    assert dict(started[0][1])["Content-Length"] == "3"
    body.close()
    assert sent.closed
    assert current() is None
    assert told(events) == ALL[:1]


def test_download_is_no_page(events):
    answer = serve(
        Case(), lambda: FileResponse(io.BytesIO(b"x"), as_attachment=True, filename="a")
    )

    assert (answer.body, answer.cookies, events) == (b"x", {}, [])


# -- Django's test clients, which close in their own way --


@override_settings(ALLOWED_HOSTS=["testserver"])
def test_test_client_reads_a_streamed_body_in_its_context(events):
    answering["case"] = lambda: StreamingHttpResponse(chunks())

    response = Client(headers=NAVIGATION).get("/")

    assert response.getvalue() == b"ab"
    names = [event["event_type"] for event in events.tracked()]
    assert names == ["page_view", "First", "Last"]
    assert len({event["visitor_id"] for event in events}) == 1
    assert current() is None


@override_settings(ALLOWED_HOSTS=["testserver"])
def test_async_test_client_reads_a_streamed_body_in_its_context(events):
    answering["case"] = lambda: StreamingHttpResponse(achunks())

    async def visit():
        response = await AsyncClient().get("/async", headers=NAVIGATION)
        body = [chunk async for chunk in response.streaming_content]
        return body, current()

    assert asyncio.run(visit()) == ([b"a", b"b"], None)
    assert len({event["visitor_id"] for event in events}) == 1


@STACKS
def test_plain_response_leaves_nothing_open(serving, events):
    def answer():
        response = HttpResponse(b"x")
        response._resource_closers.append(lambda: seen.append(current()))
        return response

    seen = []
    serving(CASE, answer)

    assert seen == [None]
