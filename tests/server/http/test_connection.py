"""One connection: kept, timed out, refused, over real sockets on loopback."""

import json
import logging
import re
import time
from contextlib import ExitStack

import pytest

from tests.processes import PATIENCE

HOST = b"Host: localhost\r\n"


def test_connection_is_kept_for_the_next_request(shared):
    ports = set()

    with shared.http() as connection:
        for number in range(3):
            connection.request("POST", "/", b"x" * number)
            answer = json.loads(connection.getresponse().read())
            assert len(answer["body"]) == number
            ports.add(answer["environ"]["REMOTE_PORT"])

    assert len(ports) == 1


@pytest.mark.parametrize("wait", [True, False])
def test_line_end_after_a_body_begins_no_request(serve, wait):
    server = serve(idle_timeout=1.0, request_timeout=PATIENCE)
    post = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
    with server.connected() as client:
        client.sendall(post if wait else post + b"\r\n")
        answer = client.recv(65_536)
        if wait:
            client.sendall(b"\r\n")

        assert server.rest(client) == b""  # idle, so without a word
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_unread_body_does_not_become_the_next_request(serve):
    body = b"GET /smuggled HTTP/1.1\r\n\r\n"
    first = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body)
    second = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"

    raw = serve().talk(first + body + second)

    assert raw.count(b"HTTP/1.1 200 OK") == 2
    assert raw.count(b"HTTP/1.1") == 2


def test_pipelined_requests_are_answered_in_order(shared):
    paths = [b"/1", b"/2", b"/3"]
    data = b"".join(b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST) for path in paths)

    raw = shared.talk(data, done=True)

    assert [raw.count(b'"PATH_INFO": "%b"' % path) for path in paths] == [1, 1, 1]
    assert raw.index(b'"/1"') < raw.index(b'"/2"') < raw.index(b'"/3"')


@pytest.mark.parametrize(
    ("version", "connection", "answer"),
    [
        (b"1.1", b"", None),
        (b"1.1", b"Connection: Close\r\n", b"Connection: close"),
        (b"1.0", b"", b"Connection: close"),
        (b"1.0", b"Connection: Keep-Alive\r\n", b"Connection: keep-alive"),
    ],
)
def test_client_is_told_what_becomes_of_the_connection(
    shared, version, connection, answer
):
    request = b"GET / HTTP/" + version + b"\r\n" + HOST + connection + b"\r\n"

    raw = shared.talk(request, done=True)

    lines = [line for line in raw.head.split(b"\r\n") if line.startswith(b"Conn")]
    assert lines == ([] if answer is None else [answer])


def test_idle_connection_is_closed_without_a_word(serve):
    server = serve(idle_timeout=0.05)

    with server.connected() as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        raw = server.rest(client)

    assert raw.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("request_timeout", [0.0, 0.05])
def test_connection_that_never_speaks_is_closed_without_a_word(serve, request_timeout):
    assert serve(request_timeout=request_timeout).talk(b"") == b""


def test_small_answer_leaves_in_one_packet_without_delay(serve):
    with serve().connected() as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")

        assert client.recv(65_536).endswith(b"\r\n\r\nhello")


def test_environ_follows_pep_3333(shared):
    raw = shared.talk(
        b"POST /caf%C3%A9?q=1 HTTP/1.1\r\n"
        b"Host: shop.example:8080\r\n"
        b"Content-Length: 3\r\n"
        b"Connection: close\r\n\r\n"
        b"abc",
    )

    environ = raw.json["environ"]
    environ.pop("REMOTE_PORT")
    assert environ == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/caf\xc3\xa9",
        "QUERY_STRING": "q=1",
        "CONTENT_LENGTH": "3",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(shared.server.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "shop.example:8080",
        "HTTP_CONNECTION": "close",
        "wsgi.url_scheme": "http",
    }


def test_body_arrives_with_its_boundaries(shared):
    _, text = shared.ask("POST", "/", b"\x00\xff" * 500)

    assert json.loads(text)["body"] == "\x00\xff" * 500


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"GARBAGE\r\n\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", 411, "length_required"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n", 413, "payload_too_large"),
        (b"POST / HTTP/1.1\r\nExpect: the-moon\r\n", 417, "expectation_failed"),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n",
            413,
            "payload_too_large",
        ),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 10_000, 431, "headers_too_large"),
        (b"GET / HTTP/2.0\r\n", 505, "http_version_not_supported"),
    ],
)
def test_refused_request_is_told_why_and_is_the_last(shared, data, status, code):
    raw = shared.talk(data + HOST + b"\r\n")

    assert raw.status == status
    assert raw.json["code"] == code
    assert raw.json["error"].endswith(".")
    assert b"Connection: close" in raw.head


def test_client_that_sends_all_of_a_refused_body_can_read_why(shared):
    response, text = shared.ask("POST", "/", b"x" * 3_000_000)

    assert response.status == 413
    assert json.loads(text)["error"] == "The body exceeds 1000 bytes."


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: loc",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nabc",
    ],
)
def test_slow_request_is_cut_at_its_deadline(serve, data):
    raw = serve(request_timeout=1.0).talk(data)

    assert raw.status == 408
    assert raw.json["code"] == "request_timeout"


@pytest.mark.parametrize("requests_before", [0, 1])
def test_dripping_does_not_move_the_deadline(serve, requests_before):
    server = serve(request_timeout=1.0)
    with server.connected() as client:
        for _ in range(requests_before):
            client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            client.recv(65_536)
        client.settimeout(0.02)
        answer = b""
        began = time.monotonic()
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
        while not answer and time.monotonic() - began < PATIENCE:
            client.sendall(b"a")
            try:
                answer = client.recv(65_536)
            except TimeoutError:
                continue

    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: loc",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nabc",
    ],
)
def test_client_that_leaves_in_the_middle_gets_nothing(shared, caplog, data):
    assert shared.talk(data, done=True) == b""
    assert not caplog.records


def test_expect_continue_is_answered_before_the_body(shared):
    with shared.connected() as client:
        client.sendall(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n"
            b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        assert client.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        raw = shared.rest(client)

    assert b'"body": "abc"' in raw


def test_expectation_without_a_body_to_wait_for_is_ignored(shared):
    raw = shared.talk(
        b"GET / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\n"
        b"Connection: close\r\n\r\n"
    )

    assert raw.status == 200


def test_slow_clients_do_not_keep_others_waiting(serve):
    server = serve()
    with ExitStack() as slow:
        for _ in range(100):
            client = slow.enter_context(server.connected())
            client.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")

        assert server.ask()[0].status == 200


def test_each_answer_is_a_debug_entry_without_its_path(serve, caplog):
    caplog.set_level(logging.DEBUG, logger="mbuzz.server")
    server = serve()

    server.ask(path="/secret?token=1")
    refused = server.talk(b"GARBAGE\r\n\r\n")
    server.shutdown()

    said = re.search(rb"\r\nX-Request-Id: (\S+)\r\n", refused.head)
    assert said is not None
    assert sorted(record.getMessage() for record in caplog.records) == [
        "answered (status=200)",
        f"refused (status=400, request_id={said[1].decode()})",
    ]
