"""Clients that take their time: cut in the end, and nobody waits for them."""

import contextvars
import socket
import struct
import threading
import time
from contextlib import ExitStack, suppress

import pytest

from tests.processes import PATIENCE, wait_for
from tests.server.http.test_deferred import App

HOST = b"Host: localhost\r\n"
GET = b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n"
LARGE = b"x" * 9_000_000  # more than sockets on loopback take in
MANY = 150


def large_or_small(environ, start_response):
    start_response("200 OK", [])
    return [LARGE] if environ["PATH_INFO"] == "/large" else [b"small"]


def stream(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/small":
        return [b"small"]
    return (LARGE[:100_000] for _ in range(100))


def old_style(environ, start_response):
    write = start_response("200 OK", [])
    if environ["PATH_INFO"] == "/large":
        for _ in range(100):
            write(LARGE[:100_000])
    return [b"small"]


def slow_reader(server, buffer=4096):
    """Return a client that takes in next to nothing of what it asks for."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.settimeout(PATIENCE)
    client.connect((server.server.host, server.server.port))
    client.sendall(GET)
    return client


def is_cut(client):
    """Read until the server closes; whether it said why does not matter here."""
    with suppress(ConnectionError):
        while client.recv(1_000_000):
            pass
    return True


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET / HTTP/1.1\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\nabc",
        b"GET /small HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
    ids=["silent", "slow head", "slow body", "idle"],
)
def test_many_slow_clients_are_cut_and_others_answered(serve, begun):
    server = serve(App("echo"), request_timeout=1.5, idle_timeout=1.5)
    with ExitStack() as stack:
        slow = [stack.enter_context(server.connected()) for _ in range(MANY)]
        for client in slow:
            client.settimeout(PATIENCE)
            client.sendall(begun)

        assert_answered(server)

        assert all(is_cut(client) for client in slow)
    assert server.ask()[0].status == 200


@pytest.mark.parametrize("app", [large_or_small, stream])
def test_many_slow_readers_are_cut_and_others_answered(serve, app):
    server = serve(app, request_timeout=1.5)
    with ExitStack() as stack:
        slow = [stack.enter_context(slow_reader(server)) for _ in range(MANY)]

        assert_answered(server, "GET", "/small")

        begin = time.monotonic()
        wait_for(lambda: not server.server._service.open, "the end of all connections")
        print(f"cut after {time.monotonic() - begin:.1f} s")
        assert all(is_cut(client) for client in slow)
    assert server.server._service.held == 0


def assert_answered(server, method="POST", path="/"):
    spans = []
    with server.http() as connection:
        for _ in range(50):
            begin = time.monotonic()
            connection.request(method, path, b"abc" if method == "POST" else None)
            response = connection.getresponse()
            response.read()
            assert response.status in (200, 202)
            spans.append(time.monotonic() - begin)
    spans.sort()
    print(f"p50 {spans[25] * 1000:.1f} ms, worst {spans[-1] * 1000:.1f} ms")


def test_slow_reader_of_a_stream_holds_no_thread(serve):
    server = serve(stream, threads=1)
    with slow_reader(server) as slow:
        for _ in range(3):
            assert server.ask(path="/small")[1] == b"small"

        size = 0
        while size < 10_000_000:
            size += len(slow.recv(1_000_000))


def test_slow_reader_of_an_old_style_application_gets_all_of_it(serve):
    server = serve(old_style, threads=1)
    with slow_reader(server) as slow:
        size = 0
        while size < 10_000_000:
            size += len(slow.recv(1_000_000))


def test_old_style_application_ends_with_its_client(serve):
    ended = threading.Event()

    def app(environ, start_response):
        try:
            return old_style(environ, start_response)
        finally:
            ended.set()

    server = serve(app, request_timeout=1.0)
    with slow_reader(server):
        assert ended.wait(PATIENCE)


def test_stream_that_waits_for_its_client_keeps_its_context_variables(serve):
    variable = contextvars.ContextVar("variable", default=0)

    def app(environ, start_response):
        start_response("200 OK", [])
        for number in range(1, 101):
            variable.set(variable.get() + 1)
            yield b"%06d;" % variable.get() * 16_000
            assert variable.get() == number

    server = serve(app)
    with slow_reader(server) as client:
        client.settimeout(PATIENCE)
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += client.recv(1_000_000)

    assert data.count(b"000100;") == 16_000


def test_reader_that_is_slow_but_steady_gets_all(serve):
    server = serve(large_or_small, request_timeout=1.0)
    with slow_reader(server, 131_072) as client:
        begin = time.monotonic()
        size = 0
        while size < len(LARGE):
            size += len(client.recv(65_536))
            if time.monotonic() - begin < 2.0:  # longer than one timeout
                time.sleep(0.02)

    assert size > len(LARGE)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_that_find_no_thread_come_back_and_the_fast_way_goes_on(serve, method):
    class Blocking(App):
        release = threading.Event()
        running = threading.Semaphore(0)

        def __call__(self, environ, start_response):
            self.running.release()
            self.release.wait(PATIENCE)
            return super().__call__(environ, start_response)

    app = Blocking("echo")
    server = serve(app, threads=2, max_waiting=1)
    with ExitStack() as stack:
        clients = []
        for number in range(3):
            clients.append(stack.enter_context(server.connected()))
            clients[-1].sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            if number < 2:
                assert app.running.acquire(timeout=PATIENCE)
        wait_for(lambda: server.server._service.pool.waiting, "a request that waits")

        refused, _ = server.ask(method, "/slow")
        taken, _ = server.ask("POST", "/")
        app.release.set()
        answers = [client.recv(65_536) for client in clients]

    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert taken.status == 202
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)


def test_bytes_of_all_clients_together_are_bounded(serve):
    server = serve(App("echo"))
    server.server._service.max_held = 300_000
    begun = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 200000\r\n\r\n"
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connected()) for _ in range(3)]
        for number, client in enumerate(clients):
            wait_for(
                lambda at=number: server.server._service.held == 150_000 * at,
                "what the last one sent",
            )
            client.sendall(begun + b"x" * 150_000)
        longest = clients[0].recv(65_536)

        assert server.ask("POST", "/", b"abc")[0].status == 202
        for client in clients[1:]:
            client.sendall(b"x" * 50_000)
            assert client.recv(65_536).startswith(b"HTTP/1.1 202 ")

    assert longest.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in longest


def test_slow_readers_are_cut_before_memory_is_full(serve):
    server = serve(large_or_small)
    server.server._service.max_held = 20_000_000
    with ExitStack() as stack:
        slow = [stack.enter_context(slow_reader(server)) for _ in range(10)]

        assert is_cut(slow[0])
        assert_answered(server, "GET", "/small")
        assert len(server.server._service.open) > 1
        assert server.server._service.held <= 20_000_000


def test_client_that_resets_in_the_middle_is_forgotten(serve, caplog):
    server = serve()
    for begun in (
        b"GET / HT",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n",
    ):
        with server.connected() as client:
            client.sendall(begun)
            reset = struct.pack("ii", 1, 0)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)

    wait_for(lambda: not server.server._service.open, "the end of all connections")
    assert server.ask()[0].status == 200
    assert not caplog.records


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10000000000\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 10_000 + HOST + b"\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS to a plain port
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: \x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\n" + HOST + b"X: a\rY: b\r\n\r\n", 400),
    ],
)
def test_hostile_request_is_refused_at_once(serve, data, status):
    raw = serve(App("echo"), request_timeout=PATIENCE).talk(data)

    assert raw.status == status
    assert raw.count(b"HTTP/1.1 ") == 1


def test_pipelining_without_end_waits_for_its_answers(serve):
    """A client that only sends is read as far as it is answered, and no further."""
    app = App()
    server = serve(app, request_timeout=1.0)
    post = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n"
    sent = 0
    with server.connected() as client:
        client.settimeout(0.5)
        with suppress(TimeoutError):
            while sent < 100_000_000:
                sent += client.send(post * 1000)
        wait_for(lambda: app.promises, "the first of them")
        (connection,) = server.server._service.open

        assert sent < 100_000_000
        assert len(connection._incoming) < 200_000
        assert len(app.promises) == 1
