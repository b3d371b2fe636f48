"""Whatever fails, and wherever: the answer is JSON with a sentence and a known word."""

import gzip
import json
from importlib import resources

import pytest

from mbuzz import protocol
from mbuzz.server.app import create_app
from mbuzz.server.settings import ServerSettings

DOCUMENT = json.loads(
    resources.files("mbuzz.server").joinpath("openapi.json").read_text("utf-8")
)
CODES = DOCUMENT["components"]["schemas"]["Error"]["properties"]["code"]["enum"]
HEAD = b"Host: a\r\n"


@pytest.fixture
def served(serve):
    """Serve the real application by the built-in server."""
    app = create_app(ServerSettings(database=":memory:"))
    yield serve(app)
    app.close()


def check(status, kind, body):
    """Check that an answer is an error as the document has it; return its word."""
    said = json.loads(body)
    assert status >= 400
    assert kind.partition(";")[0] == "application/json"
    assert set(said) <= {"error", "code", "details"}
    assert said["code"] in CODES
    assert said["error"].strip() == said["error"] != ""
    assert "Traceback" not in said["error"]
    return said["code"]


# A request as it goes on the wire, and the word of its answer.
RAW = {
    "no HTTP": (b"hello\r\n\r\n", "bad_request"),
    "no host": (b"GET /api/v1/health HTTP/1.1\r\n\r\n", "bad_request"),
    "HTTP/2": (b"GET / HTTP/2.0\r\n" + HEAD + b"\r\n", "http_version_not_supported"),
    "chunks": (
        b"POST /api/v1/events HTTP/1.1\r\n"
        + HEAD
        + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "length_required",
    ),
    "two lengths": (
        b"POST /api/v1/events HTTP/1.1\r\n"
        + HEAD
        + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "bad_request",
    ),
    "a length that is none": (
        b"POST /api/v1/events HTTP/1.1\r\n" + HEAD + b"Content-Length: x\r\n\r\n",
        "bad_request",
    ),
    "too much": (
        b"POST /api/v1/events HTTP/1.1\r\n"
        + HEAD
        + b"Content-Length: %d\r\n\r\n" % (protocol.MAX_BODY_BYTES + 1),
        "payload_too_large",
    ),
    "a header without end": (
        b"GET / HTTP/1.1\r\n" + HEAD + b"A: " + b"a" * 20_000 + b"\r\n\r\n",
        "headers_too_large",
    ),
    "an expectation": (
        b"POST /api/v1/events HTTP/1.1\r\n"
        + HEAD
        + b"Expect: a-miracle\r\nContent-Length: 1\r\n\r\n",
        "expectation_failed",
    ),
    "no key": (
        b"POST /api/v1/events HTTP/1.1\r\n"
        + HEAD
        + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
        "unauthorized",
    ),
    "no such path": (
        b"GET /api/v1/nothing HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n",
        "not_found",
    ),
    "no such method": (
        b"BREW /api/v1/events HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n",
        "method_not_allowed",
    ),
}


@pytest.mark.parametrize("name", RAW)
def test_what_the_server_refuses_is_an_error_of_the_document(served, name):
    request, word = RAW[name]

    answer = served.talk(request)

    kinds = [
        line.partition(b":")[2].strip().decode()
        for line in answer.head.split(b"\r\n")
        if line.lower().startswith(b"content-type:")
    ]
    assert check(answer.status, *kinds, answer.body) == word
    assert answer.head.lower().count(b"\r\nx-request-id: ") == 1


BROKEN = {
    "not JSON": ("POST", "/events", b"{", {}, "invalid_json"),
    "no batch": ("POST", "/events", b"{}", {}, "missing_events"),
    "no list": ("POST", "/events", b'{"events": 1}', {}, "invalid_events"),
    "too many": (
        "POST",
        "/events",
        json.dumps({"events": [0] * 501}).encode(),
        {},
        "batch_too_large",
    ),
    "a bomb": (
        "POST",
        "/events",
        gzip.compress(b" " * (protocol.MAX_UNPACKED_BYTES + 1)),
        {"HTTP_CONTENT_ENCODING": "gzip"},
        "payload_too_large",
    ),
    "no gzip": (
        "POST",
        "/sessions",
        b"{}",
        {"HTTP_CONTENT_ENCODING": "gzip"},
        "bad_request",
    ),
    "another packing": (
        "POST",
        "/group",
        b"{}",
        {"HTTP_CONTENT_ENCODING": "zstd"},
        "unsupported_media_type",
    ),
    "no key": ("GET", "/validate", b"", {"HTTP_AUTHORIZATION": ""}, "unauthorized"),
    "nobody": ("POST", "/identify", b"{}", {}, "invalid"),
    "a query without end": (
        "GET",
        "/reports/channels?" + "a=1&" * 200,
        b"",
        {},
        "bad_request",
    ),
    "nowhere": ("POST", "/", b"", {}, "not_found"),
    "no such method": ("DELETE", "/events", b"", {}, "method_not_allowed"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_the_application_refuses_is_an_error_of_the_document(caller, name):
    method, path, body, headers, word = BROKEN[name]

    answer = caller().send(method, f"/api/v1{path}", body, **headers)

    assert check(answer.status, answer.header("Content-Type"), answer.body) == word
