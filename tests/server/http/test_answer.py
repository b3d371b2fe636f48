"""The framing of answers over real sockets, and what failing applications get."""

import json
import logging
import threading
from email.utils import parsedate_to_datetime
from wsgiref.validate import validator

import pytest

from tests.processes import PATIENCE

HOST = b"Host: localhost\r\n"


def test_body_of_known_length_has_a_content_length(serve):
    response, body = serve().ask()

    assert (response.status, body) == (200, b"hello")
    assert response.headers["Content-Length"] == "5"
    assert "Transfer-Encoding" not in response.headers
    assert "Server" not in response.headers
    assert parsedate_to_datetime(response.headers["Date"])


@pytest.mark.parametrize(
    "body", [b"abc", (b"a", b"", b"bc"), [b"a", b"bc"]], ids=["bytes", "tuple", "list"]
)
def test_pieces_in_memory_are_one_body(serve, body):
    def app(environ, start_response):
        start_response("200 OK", [])
        return body

    response, text = serve(app).ask()

    assert (response.headers["Content-Length"], text) == ("3", b"abc")


def test_body_of_unknown_length_is_chunked(serve):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b""
        yield b"one "
        yield b""
        yield b"two"

    raw = serve(app).talk(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")

    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert body == b"4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"


def test_http_1_0_reads_an_unknown_length_to_the_end(serve):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"one "
        yield b"two"

    raw = serve(app).talk(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")

    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert b"Connection: close" in head
    assert body == b"one two"


def test_iterator_that_yields_nothing_is_an_empty_body(serve):
    def app(environ, start_response):
        start_response("200 OK", [])
        return iter([b""])

    response, body = serve(app).ask()

    assert (response.headers["Content-Length"], body) == ("0", b"")


def test_length_given_by_the_application_is_kept_while_streaming(serve):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "6")])
        yield b"abc"
        yield b"def"

    response, body = serve(app).ask()

    assert (response.headers.get_all("Content-Length"), body) == (["6"], b"abcdef")


def test_write_sends_before_the_iterable(serve):
    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"one ")
        write(b"")
        return [b"two"]

    assert serve(app).ask()[1] == b"one two"


@pytest.mark.parametrize("size", [70_000, 3_000_000])
def test_large_bodies_arrive_whole(serve, size):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"x" * size]

    assert len(serve(app).ask()[1]) == size


@pytest.mark.parametrize(
    ("headers", "body", "length"),
    [
        ([], [b"hello"], "5"),
        ([("Content-Length", "7")], [], "7"),
        ([("Content-Length", "7")], iter([b"he", b"llo"]), "7"),
        ([], [], None),
        ([], iter([b"he", b"llo"]), None),
    ],
)
def test_head_has_the_head_only(serve, headers, body, length):
    def app(environ, start_response):
        start_response("200 OK", list(headers))
        return body

    raw = serve(app).talk(b"HEAD / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")

    head, _, rest = raw.partition(b"\r\n\r\n")
    expected = None if length is None else f"Content-Length: {length}".encode()
    lines = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Le")]
    assert lines == ([] if expected is None else [expected])
    assert b"Transfer-Encoding" not in head
    assert rest == b""


@pytest.mark.parametrize(
    ("status", "length"), [("204 No Content", None), ("304 Not Modified", "9")]
)
def test_statuses_without_body_have_none(serve, status, length):
    def app(environ, start_response):
        start_response(status, [("Content-Length", "9")])
        return [b"forgotten"]

    server = serve(app)
    request = b"GET / HTTP/1.1\r\n" + HOST
    raw = server.talk(request + b"\r\n" + request + b"Connection: close\r\n\r\n")

    assert raw.count(status.encode()) == 2
    assert b"forgotten" not in raw
    assert (b"Content-Length: 9" in raw) is (length is not None)


def test_date_of_the_application_is_not_doubled(serve):
    def app(environ, start_response):
        start_response("200 OK", [("date", "Thu, 01 Jan 1970 00:00:00 GMT")])
        return []

    response, _ = serve(app).ask()

    assert response.headers.get_all("Date") == ["Thu, 01 Jan 1970 00:00:00 GMT"]


def test_repeated_headers_stay_apart(serve):
    def app(environ, start_response):
        start_response("200 OK", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return []

    response, _ = serve(app).ask()

    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("streamed", [False, True])
def test_validator_finds_nothing(serve, caplog, method, streamed):
    def app(environ, start_response):
        environ["wsgi.input"].read(4)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (part for part in [b"a", b"b"]) if streamed else [b"ab"]

    body = b"data" if method == "POST" else None
    response, text = serve(validator(app)).ask(method, "/a%20b?c=d", body)

    assert (response.status, text) == (200, b"" if method == "HEAD" else b"ab")
    assert not caplog.records


def raises_at_once(environ, start_response):
    raise LookupError("secret detail")


def raises_after_start_response(environ, start_response):
    start_response("200 OK", [])
    raise LookupError("secret detail")


def raises_at_first_piece(environ, start_response):
    start_response("200 OK", [])
    raise LookupError("secret detail")
    yield b""


def never_starts(environ, start_response):
    return [b"hello"]


def never_starts_streaming(environ, start_response):
    yield b"hello"


def starts_twice(environ, start_response):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return []


def body_of_text(environ, start_response):
    start_response("200 OK", [])
    return ["text"]


def stream_of_text(environ, start_response):
    start_response("200 OK", [])
    yield "text"


def too_long(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"four"]


def too_short(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"four"]


def announced_and_empty(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return iter([])


def with_header(name, value, status="200 OK"):
    def app(environ, start_response):
        start_response(status, [(name, value)])
        return []

    return app


# On HEAD the body is not sent, so its length is not looked at.
LENGTH_IS_WRONG = [too_long, too_short, announced_and_empty]
FAILING = [
    raises_at_once,
    raises_after_start_response,
    raises_at_first_piece,
    never_starts,
    never_starts_streaming,
    starts_twice,
    body_of_text,
    stream_of_text,
    with_header("Location", "/\r\nSet-Cookie: a=b"),
    with_header("X\r\nY", "a"),
    with_header("X Y", "a"),
    with_header("X", "\u20ac"),
    with_header("Connection", "close"),
    with_header("Transfer-Encoding", "chunked"),
    with_header("Content-Length", "-1"),
    with_header("X", "a", status="200"),
    with_header("X", "a", status="100 Continue"),
    with_header("X", "a", status="200 OK\r\nX: b"),
]


@pytest.mark.parametrize(
    ("method", "app"),
    [("GET", app) for app in FAILING + LENGTH_IS_WRONG]
    + [("HEAD", app) for app in FAILING],
)
def test_failing_application_is_a_500_and_an_entry_in_the_log(
    serve, caplog, app, method
):
    errors = []
    reported = threading.Event()

    def on_error(error):
        errors.append(error)
        reported.set()

    response, body = serve(app, on_error=on_error).ask(method)

    assert response.status == 500
    assert response.headers["Connection"] == "close"
    if method == "GET":
        assert json.loads(body) == {
            "error": "The server failed; it was logged.",
            "code": "internal_error",
        }
    assert reported.wait(PATIENCE)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("mbuzz.guard", logging.ERROR)
    assert type(errors[0]).__name__ in record.getMessage()
    assert record.exc_info is None
    assert str(errors[0]) not in caplog.text


def breaks_off(environ, start_response):
    start_response("200 OK", [])
    yield b"one"
    raise LookupError


def breaks_its_promise(environ, start_response):
    start_response("200 OK", [("Content-Length", "9")])
    yield b"one"


def overshoots(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    yield b"one"
    yield b"two"


def starts_again(environ, start_response):
    start_response("200 OK", [])
    yield b"one"
    try:
        raise LookupError
    except LookupError as error:
        exc_info = (type(error), error, error.__traceback__)
        start_response("500 Sorry", [], exc_info)


def starts_again_without_cause(environ, start_response):
    start_response("200 OK", [])
    yield b"one"
    start_response("500 Sorry", [], (None, None, None))


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (breaks_off, LookupError),
        (breaks_its_promise, RuntimeError),
        (overshoots, RuntimeError),
        (starts_again, LookupError),
        (starts_again_without_cause, RuntimeError),
    ],
)
def test_failing_in_the_middle_ends_the_connection(serve, caplog, app, expected):
    errors = []
    server = serve(app, on_error=errors.append)

    raw = server.talk(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    server.shutdown()

    assert raw.count(b"HTTP/1.1") == 1
    assert not raw.endswith(b"0\r\n\r\n")
    assert b"two" not in raw
    assert [type(error) for error in errors] == [expected]
    assert len(caplog.records) == 1


def test_application_may_replace_headers_that_are_not_out(serve):
    def app(environ, start_response):
        start_response("200 OK", [("X-Old", "1")])
        try:
            raise LookupError
        except LookupError as error:
            exc_info = (type(error), error, error.__traceback__)
            start_response("502 Bad Gateway", [("X-New", "1")], exc_info)
        return [b"sorry"]

    response, body = serve(app).ask()

    assert (response.status, body) == (502, b"sorry")
    assert "X-New" in response.headers
    assert "X-Old" not in response.headers


class Body:
    """A body that counts how often it is closed, and may fail."""

    def __init__(self, pieces, error=None):
        self.pieces = pieces
        self.error = error
        self.closed = 0
        self.was_closed = threading.Event()

    def __iter__(self):
        yield from self.pieces
        if self.error is not None:
            raise self.error

    def close(self):
        self.closed += 1
        self.was_closed.set()


class ListBody(list):
    closed = 0

    def close(self):
        self.closed += 1


@pytest.mark.parametrize(
    "body",
    [
        Body([b"a", b"b"]),
        Body([]),
        Body([b"a"], LookupError()),
        Body([], LookupError()),
        ListBody([b"a"]),
        ListBody(["text"]),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_body_is_closed_once_whatever_happens(serve, body, method):
    def app(environ, start_response):
        start_response("200 OK", [])
        return body

    body.closed = 0
    server = serve(app)
    server.talk(method + b" / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    server.shutdown()

    assert body.closed == 1


def test_client_that_goes_away_stops_the_body_and_is_no_error(serve, caplog):
    endless = Body(iter(lambda: b"x" * 65_536, None))

    def app(environ, start_response):
        start_response("200 OK", [])
        return endless

    errors = []
    server = serve(app, on_error=errors.append)
    with server.connected() as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        client.recv(1)

    assert endless.was_closed.wait(PATIENCE)
    server.shutdown()
    assert endless.closed == 1
    assert not errors
    assert not caplog.records


def test_client_that_does_not_read_is_given_up(serve, caplog):
    endless = Body(iter(lambda: b"x" * 1_000_000, None))

    def app(environ, start_response):
        start_response("200 OK", [])
        return endless

    server = serve(app, request_timeout=1.0)
    with server.connected() as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")

        assert endless.was_closed.wait(PATIENCE)
    assert not caplog.records
