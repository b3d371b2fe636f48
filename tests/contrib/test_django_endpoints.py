"""What a page's scripts ask of the site, through Django's handlers."""

import asyncio
import io
import json
import threading

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import AsyncClient, Client, override_settings

import mbuzz
from mbuzz.context import current
from tests.contrib.cases import Answer, Case, asgi_scope, wsgi_environ
from tests.contrib.django_site import KEY, OURS, quiet_django
from tests.web.visits import FETCH, NAVIGATION, RETURNING, VISITOR

__all__ = ["quiet_django"]

CSRF = "django.middleware.csrf.CsrfViewMiddleware"
COMMON = "django.middleware.common.CommonMiddleware"
PAGE = "https://shop.example/help"
SAME = {**FETCH, "Sec-Fetch-Site": "same-origin", "Origin": "https://shop.example"}
SESSION, TRACK = "/_mbuzz/session", "/_mbuzz/track"


@pytest.fixture(autouse=True)
def site(events):
    """Turn the endpoints on, with Django's protection of forms."""
    mbuzz.configure(
        api_key=KEY, network=False, session_endpoint=True, collect=["track"]
    )
    with override_settings(MIDDLEWARE=[OURS, COMMON, CSRF]):
        yield


def post(path, said, cookie="", **parts):
    case = Case(path=path, method="POST", headers=SAME, cookie=cookie)
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    environ = wsgi_environ(case) | {
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json",
        "wsgi.input": io.BytesIO(body),
        **parts,
    }
    started = []
    answer = WSGIHandler()(environ, lambda *said: started.append(said))
    content = b"".join(answer)
    answer.close()
    status, headers = started[0]
    return Answer(status=int(status[:3]), headers=headers, body=content)


def apost(path, said, cookie="", length=None):
    case = Case(path=path, method="POST", headers=SAME, cookie=cookie)
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    half = len(body) // 2
    received = [
        {"type": "http.request", "body": body[half:], "more_body": False},
        {"type": "http.request", "body": body[:half], "more_body": True},
    ]
    scope = asgi_scope(case)
    if length is not None:
        scope["headers"].append((b"content-length", str(length).encode()))
    sent = []

    async def receive():
        if received:
            return received.pop()
        return await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    asyncio.run(ASGIHandler()(scope, receive, send))
    headers = [(k.decode(), v.decode()) for k, v in sent[0]["headers"]]
    content = b"".join(message.get("body", b"") for message in sent)
    return Answer(status=sent[0]["status"], headers=headers, body=content)


HANDLERS = pytest.mark.parametrize("ask", [post, apost], ids=["wsgi", "asgi"])


@HANDLERS
def test_page_out_of_a_cache_is_counted_and_gets_cookies(ask, events):
    answer = ask(SESSION, {"url": PAGE, "referrer": "https://search.example/"})

    (view,) = events.page_views()
    assert (answer.status, answer.body) == (204, b"")
    assert answer.values("cache-control") == ["no-store"]
    assert view["properties"]["url"] == PAGE
    assert view["visitor_id"] == answer.cookies["_mbuzz_vid"].value
    assert view["session_id"] == answer.cookies["_mbuzz_sid"].value
    assert all(
        morsel["httponly"] and morsel["secure"] and morsel["samesite"] == "Lax"
        for morsel in answer.cookies.values()
    )
    assert current() is None


@HANDLERS
def test_event_of_a_script_is_tracked(ask, events):
    answer = ask(TRACK, {"event": "Zoomed", "url": PAGE}, cookie=RETURNING)

    assert (answer.status, json.loads(answer.body)["success"]) == (202, True)
    assert answer.values("content-type") == ["application/json"]
    events.assert_tracked("Zoomed", visitor_id=VISITOR)


@HANDLERS
@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10)
def test_limits_of_djangos_forms_are_not_ours(ask, events):
    assert ask(TRACK, {"event": "Zoomed", "url": PAGE}).status == 202


@HANDLERS
def test_body_that_is_too_large_is_refused(ask, events):
    assert ask(TRACK, b" " * 70_000).status == 413
    assert events == []


@HANDLERS
@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff"])
def test_body_that_is_no_object_is_refused(ask, body, events):
    answer = ask(TRACK, body)

    assert (answer.status, json.loads(answer.body)["code"]) == (400, "not_json")
    assert events == []


@pytest.mark.parametrize("length", ["", "many", "-1"])
def test_wsgi_needs_a_length(length):
    assert post(TRACK, {"event": "Zoomed"}, CONTENT_LENGTH=length).status == 411


def test_asgi_needs_none():
    assert apost(TRACK, {"event": "Zoomed", "url": PAGE}).status == 202
    said = {"event": "Zoomed", "url": PAGE}
    assert apost(TRACK, said, length=len(json.dumps(said))).status == 202


def test_browser_that_goes_away_is_no_error_of_the_site(caplog, events):
    class Gone(io.BytesIO):
        def read(self, *_):
            raise ConnectionResetError

    answer = post(TRACK, {"event": "Zoomed"}, **{"wsgi.input": Gone()})

    assert (answer.status, events, caplog.records) == (400, [], [])


def test_script_that_sync_delivery_holds_up_holds_up_nobody_else(events, answering):
    mbuzz.configure(api_key=KEY, delivery="sync", collect=["track"])

    assert apost(TRACK, {"event": "Zoomed"}).status == 202
    assert len(answering) == 1
    assert threading.main_thread() not in answering


class ReadsBodies:
    """A middleware around ours that wants to know everything."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        assert request.body
        return self.get_response(request)


@HANDLERS
def test_body_that_somebody_has_read_already(ask, events):
    with override_settings(MIDDLEWARE=[f"{__name__}.ReadsBodies", OURS]):
        answer = ask(TRACK, {"event": "Zoomed", "url": PAGE}, cookie=RETURNING)

    assert answer.status == 202
    events.assert_tracked("Zoomed", visitor_id=VISITOR)


@HANDLERS
def test_endpoint_that_is_off_is_the_sites(ask, events):
    assert ask("/_mbuzz/identify", {"user_id": "1"}).status == 403  # by CSRF


@override_settings(ALLOWED_HOSTS=["testserver"])
def test_test_clients_ask_as_browsers_do(events):
    origin = {"Origin": "http://testserver"}
    said = {"url": "http://testserver/help"}
    sent = {"content_type": "application/json", "headers": {**FETCH, **origin}}

    one = Client(enforce_csrf_checks=True).post(SESSION, said, **sent)
    two = asyncio.run(AsyncClient(enforce_csrf_checks=True).post(SESSION, said, **sent))

    assert (one.status_code, two.status_code) == (204, 204)
    assert len(events.page_views()) == 2
    assert one.cookies["_mbuzz_vid"].value != two.cookies["_mbuzz_vid"].value


def test_other_methods_and_origins_are_refused(events):
    client = Client(headers={**NAVIGATION, "host": "shop.example"})

    got = client.get(SESSION)
    foreign = client.post(
        SESSION,
        {"url": PAGE},
        content_type="application/json",
        headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    )

    assert (got.status_code, got["Allow"], foreign.status_code) == (405, "POST", 403)
    assert events == []
