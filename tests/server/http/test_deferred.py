"""The fast way in: POSTs that the application answers without a thread."""

import json
import logging
import socket
import struct
import threading
from contextlib import ExitStack

import pytest

from mbuzz.server.http.response import Response, json_response
from tests.processes import PATIENCE

HOST = b"Host: localhost\r\n"


def post(path, body=b"", more=b""):
    head = b"POST %b HTTP/1.1\r\n" % path + HOST + more
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Promise:
    """An answer that comes when `keep` is called."""

    def __init__(self):
        self._kept, self._callback = threading.Event(), None
        self._lock = threading.Lock()

    def keep(self, response):
        with self._lock:
            self._response = response
            self._kept.set()
        if self._callback is not None:
            self._callback()

    def when_done(self, callback):
        with self._lock:
            self._callback = callback
            kept = self._kept.is_set()
        if kept:
            callback()

    def response(self):
        assert self._kept.wait(PATIENCE)
        if isinstance(self._response, Exception):
            raise self._response
        return self._response


class App:
    """Begins what is posted to anything but /slow; remembers the promises."""

    def __init__(self, answer=None):
        self.answer = answer  # what every promise is kept with, at once
        self.promises = []
        self.threads = set()
        self.arrived = threading.Semaphore(0)

    def begin(self, environ):
        self.threads.add(threading.current_thread().name)
        if environ["PATH_INFO"] == "/slow":
            environ["wsgi.input"].read(2)
            return None
        promise = Promise()
        self.promises.append(promise)
        if self.answer == "echo":
            path, body = environ["PATH_INFO"], environ["wsgi.input"].read()
            promise.keep(json_response({"path": path, "body": body.decode()}, 202))
        elif self.answer is not None:
            promise.keep(self.answer)
        self.arrived.release()
        return promise

    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return [b"called ", environ["wsgi.input"].read()]


def test_post_is_answered_on_the_loop(serve):
    app = App("echo")

    response, body = serve(app).ask("POST", "/x", b"abc")

    assert response.status == 202
    assert json.loads(body) == {"path": "/x", "body": "abc"}
    assert response.headers["Content-Length"] == str(len(body))
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert response.headers["Date"]
    assert app.threads == {"mbuzz-http"}


class Gated(App):
    """Begins with the first large body only when it is let, and notes the order."""

    def __init__(self):
        super().__init__("echo")
        self.order = []
        self.entered, self.gate = threading.Event(), threading.Event()

    def begin(self, environ):
        path = environ["PATH_INFO"]
        if path == "/large1":
            self.entered.set()
            assert self.gate.wait(PATIENCE)
        self.order.append(path)
        return super().begin(environ)


def test_small_requests_are_begun_before_large_ones_that_came_with_them(serve):
    app = Gated()
    server = serve(app)
    large = b"x" * 10_000
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connected()) for _ in range(4)]
        for client in clients:
            client.sendall(post(b"/hello"))
            client.recv(65_536)
        clients[0].sendall(post(b"/large1", large))
        assert app.entered.wait(PATIENCE)
        clients[1].sendall(post(b"/large2", large))
        clients[2].sendall(post(b"/large3", large))
        clients[3].sendall(post(b"/small", b"x"))
        app.gate.set()
        for client in clients:
            assert client.recv(12) == b"HTTP/1.1 202"

    assert app.order[4:6] == ["/large1", "/small"]
    assert set(app.order[6:]) == {"/large2", "/large3"}


def test_what_is_declined_and_what_is_no_post_is_a_wsgi_call(serve):
    app = App("echo")
    server = serve(app)

    assert server.ask("POST", "/slow", b"abc")[1] == b"called abc"
    assert server.ask("GET", "/x")[1] == b"called "
    assert server.ask("PUT", "/x", b"abc")[1] == b"called abc"
    assert not app.promises


def test_answer_from_another_thread_arrives(serve):
    app = App()
    server = serve(app)
    with server.connected() as client:
        client.sendall(post(b"/"))
        assert app.arrived.acquire(timeout=PATIENCE)
        other = threading.Thread(target=app.promises[0].keep, args=[Response()])
        other.start()
        answer = client.recv(65_536)
        other.join()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_pipelined_posts_are_answered_in_order_whatever_runs_them(serve):
    paths = [b"/1", b"/slow", b"/3", b"/slow", b"/5"] * 40
    data = b"".join(post(path, path) for path in paths)

    raw = serve(App("echo")).talk(data, done=True)

    bodies = [part.partition(b"\r\n\r\n")[2] for part in raw.split(b"HTTP/1.1 ")[1:]]
    assert bodies == [
        b"called /slow"
        if path == b"/slow"
        else b'{"path":"%b","body":"%b"}' % (path, path)
        for path in paths
    ]


def test_thousands_of_pipelined_posts_do_not_nest(serve):
    data = post(b"/") * 5000

    raw = serve(App(Response(body=b"."))).talk(data, done=True)

    assert raw.count(b"HTTP/1.1 200 OK") == 5000


@pytest.mark.parametrize(
    ("version", "connection", "told"),
    [
        (b"1.1", b"", None),
        (b"1.1", b"Connection: close\r\n", b"Connection: close"),
        (b"1.0", b"", b"Connection: close"),
        (b"1.0", b"Connection: keep-alive\r\n", b"Connection: keep-alive"),
    ],
)
def test_client_is_told_what_becomes_of_the_connection(
    serve, version, connection, told
):
    request = post(b"/", more=connection).replace(b"HTTP/1.1", b"HTTP/" + version)

    raw = serve(App("echo")).talk(request, done=True)

    lines = [line for line in raw.head.split(b"\r\n") if line.startswith(b"Conn")]
    assert lines == ([] if told is None else [told])


@pytest.mark.parametrize(
    ("status", "length"), [(204, False), (304, False), (200, True)]
)
def test_only_answers_that_have_a_body_say_its_length(serve, status, length):
    answer = Response(
        status=status,
        body=b"x",
        headers=(
            ("content-length", "9"),
            ("Date", "today"),
            ("X-A", "1"),
            ("X-A", "2"),
        ),
    )

    raw = serve(App(answer)).talk(post(b"/"), done=True)

    assert (b"\r\nContent-Length: 1\r\n" in raw) is length
    assert b"content-length" not in raw
    assert b"today" not in raw
    assert raw.count(b"X-A: ") == 2
    assert raw.body == (b"x" if length else b"")


@pytest.mark.parametrize(
    "answer",
    [
        LookupError("secret detail"),
        Response(headers=(("X", "a\r\nSet-Cookie: b"),)),
        Response(headers=(("Connection", "close"),)),
        "no response",
    ],
)
def test_answer_that_fails_is_a_500_and_an_entry_in_the_log(serve, caplog, answer):
    errors = []
    server = serve(App(answer), on_error=errors.append)

    response, body = server.ask("POST", "/")
    server.shutdown()

    assert response.status == 500
    assert response.headers["Connection"] == "close"
    assert json.loads(body)["code"] == "internal_error"
    assert len(errors) == 1
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("mbuzz.guard", logging.ERROR)
    assert "secret" not in caplog.text


def test_begin_that_fails_is_a_500_and_others_go_on(serve, caplog):
    class Failing(App):
        def begin(self, environ):
            raise LookupError("secret detail")

    errors = []
    server = serve(Failing(), on_error=errors.append)

    response, _ = server.ask("POST", "/")

    assert response.status == 500
    assert server.ask()[0].status == 200
    server.shutdown()
    assert [type(error) for error in errors] == [LookupError]
    assert "secret" not in caplog.text


def test_client_that_resets_before_its_answer_costs_nothing(serve):
    app = App()
    server = serve(app)
    with server.connected() as client:
        client.sendall(post(b"/"))
        assert app.arrived.acquire(timeout=PATIENCE)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    while server.server._service.open:
        server.ask("POST", "/slow")
    app.promises[0].keep(Response())

    assert server.ask("POST", "/slow", b"x")[1] == b"called x"


def test_client_that_only_stopped_sending_is_answered(serve):
    app = App()
    server = serve(app)
    with server.connected() as client:
        client.sendall(post(b"/"))
        client.shutdown(socket.SHUT_WR)
        assert app.arrived.acquire(timeout=PATIENCE)
        app.promises[0].keep(Response(body=b"yes"))

        assert server.rest(client).body == b"yes"


def test_shutdown_answers_what_is_still_deferred(serve):
    app = App()
    server = serve(app)
    with server.connected() as client:
        client.sendall(post(b"/"))
        assert app.arrived.acquire(timeout=PATIENCE)
        stopper = threading.Thread(target=server.shutdown)
        stopper.start()
        while not server.server._service.stopping:
            stopper.join(0.001)
        app.promises[0].keep(Response(body=b"stored"))
        raw = server.rest(client)
        stopper.join(PATIENCE)

    assert raw.body == b"stored"
    assert b"Connection: close" in raw.head


def test_shutdown_cuts_off_what_is_deferred_for_too_long(serve):
    app = App()
    server = serve(app)
    with server.connected() as client:
        client.sendall(post(b"/"))
        assert app.arrived.acquire(timeout=PATIENCE)

        server.shutdown(grace=0.01)

        assert client.recv(1) == b""
    app.promises[0].keep(Response())  # without effect


def test_answers_larger_than_the_sockets_buffer_leave_whole(serve):
    answer = Response(body=b"x" * 9_000_000)

    _, body = serve(App(answer)).ask("POST", "/")

    assert len(body) == 9_000_000
