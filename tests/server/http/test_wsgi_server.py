"""The server's life: it starts, has enough connections, and stops politely."""

import json
import logging
import signal
import socket
import threading
from contextlib import ExitStack
from urllib.request import urlopen

import pytest

from mbuzz.server.http import listener
from mbuzz.server.http.wsgi_server import WSGIServer
from tests.processes import PATIENCE, wait_for

HOST = b"Host: localhost\r\n"
HELLO = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REMOTE_ADDR"].encode()]


class Slow:
    """An application that answers when it is told to."""

    def __init__(self):
        self.running, self.release = threading.Event(), threading.Event()

    def __call__(self, environ, start_response):
        self.running.set()
        self.release.wait(PATIENCE)
        start_response("200 OK", [])
        return [b"done"]


def test_more_connections_than_allowed_are_told_to_come_back(serve):
    server = serve(max_connections=1)
    with server.connected() as first:
        first.sendall(HELLO)
        assert first.recv(65_536).startswith(b"HTTP/1.1 200 ")

        response, body = server.ask()

    assert response.status == 503
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Connection"] == "close"
    assert json.loads(body)["code"] == "too_many_connections"
    wait_for(lambda: server.ask()[0].status == 200, "room for another connection")


def test_connections_turned_away_do_not_pile_up(serve, monkeypatch):
    monkeypatch.setattr(listener, "_MAX_LEAVING", 1)
    server = serve(max_connections=0)

    with ExitStack() as kept:
        clients = [kept.enter_context(server.connected()) for _ in range(5)]
        statuses = {server.rest(client).status for client in clients}

        assert statuses == {503}
        assert server.server._listener.leaving == 1


def test_failing_accept_does_not_stop_the_server(monkeypatch, caplog):
    server = WSGIServer(hello)
    raw = OutOfDescriptors(server._listener.raw)
    monkeypatch.setattr(server._listener, "raw", raw)

    with server:
        server.start()
        answer = urlopen(server.url, timeout=PATIENCE).read()

    assert answer == b"127.0.0.1"
    assert "cannot accept (error=Too many open files)" in caplog.text


class OutOfDescriptors:
    """A listener whose first accept fails as the system's would."""

    def __init__(self, raw):
        self._raw = raw
        self._failures = [OSError(24, "Too many open files")]

    def __getattr__(self, name):
        return getattr(self._raw, name)

    def accept(self):
        if self._failures:
            raise self._failures.pop()
        return self._raw.accept()


def test_system_without_threads_is_a_503_and_the_server_goes_on(serve, monkeypatch):
    server = serve()
    start = threading.Thread.start
    failures = [RuntimeError("can't start new thread")]

    def flaky(thread):
        if failures:
            raise failures.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", flaky)

    response, _ = server.ask()
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert server.ask()[0].status == 200


def test_requests_leave_nothing_on_standard_error(serve, capfd):
    def app(environ, start_response):
        raise LookupError("secret detail")

    server = serve(app)
    logger = logging.getLogger("mbuzz")
    handler = logging.NullHandler()
    logger.addHandler(handler)
    try:
        server.ask()
        server.talk(b"GARBAGE\r\n\r\n")
        server.shutdown()
    finally:
        logger.removeHandler(handler)

    assert capfd.readouterr() == ("", "")


def test_url_is_where_it_listens():
    with WSGIServer(hello) as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert server.port > 0


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_ipv6_address_is_bracketed():
    try:
        server = WSGIServer(hello, "::1")
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with server:
        server.start()

        assert server.url == f"http://[::1]:{server.port}"
        assert urlopen(server.url, timeout=PATIENCE).read() == b"::1"


def test_address_in_use_is_an_os_error():
    with WSGIServer(hello) as server, pytest.raises(OSError, match="in use"):
        WSGIServer(hello, port=server.port)


def test_shutdown_frees_the_address_and_may_be_repeated(serve):
    server = serve()
    server.ask()

    server.shutdown()
    server.shutdown()

    with pytest.raises(ConnectionRefusedError):
        server.ask()
    port = server.server.port
    with WSGIServer(hello, port=port) as again:
        assert again.port == port


def test_server_that_never_served_shuts_down_at_once():
    server = WSGIServer(hello)

    server.shutdown()
    server.serve_forever()  # returns: it is over


def test_shutdown_closes_idle_connections_at_once(serve):
    server = serve()
    with server.connected() as client:
        client.sendall(HELLO)
        client.recv(65_536)

        server.shutdown(grace=60.0)

        assert client.recv(1) == b""


def test_shutdown_closes_connections_turned_away(serve):
    server = serve(max_connections=0)
    server.ask()

    server.shutdown()

    assert server.server._listener.leaving == 0


def test_shutdown_lets_a_running_request_finish_and_says_it_is_the_last(serve):
    app = Slow()
    server = serve(app)
    with server.connected() as client:
        client.sendall(HELLO)
        assert app.running.wait(PATIENCE)
        stopper = threading.Thread(target=server.shutdown)
        stopper.start()
        while not server.server._service.stopping:
            stopper.join(0.001)
        app.release.set()
        raw = server.rest(client)
        stopper.join(PATIENCE)

    assert b"Connection: close" in raw.head
    assert raw.body == b"done"


def test_shutdown_cuts_off_what_runs_longer_than_its_grace(serve):
    app = Slow()
    server = serve(app)
    with server.connected() as client:
        client.sendall(HELLO)
        assert app.running.wait(PATIENCE)

        server.shutdown(grace=0.01)

        assert client.recv(65_536) == b""
        app.release.set()


def test_shutdown_from_a_signal_handler_ends_serve_forever():
    server = WSGIServer(hello)
    answers = []

    def visit():
        answers.append(urlopen(server.url, timeout=PATIENCE).read())
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: server.shutdown())
    try:
        visitor = threading.Thread(target=visit)
        visitor.start()
        server.serve_forever()
        visitor.join(PATIENCE)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert answers == [b"127.0.0.1"]


def test_interrupted_server_lets_everything_go():
    server = WSGIServer(hello)
    clients = []

    def visit():
        address = server.host, server.port
        clients.append(socket.create_connection(address, PATIENCE))
        clients[0].sendall(HELLO)
        clients[0].recv(65_536)
        signal.raise_signal(signal.SIGINT)
        # Python may drop an interrupt that strikes in a finalizer: people press again.
        if not over.wait(5.0):
            signal.raise_signal(signal.SIGINT)

    over = threading.Event()
    visitor = threading.Thread(target=visit)
    visitor.start()
    with pytest.raises(KeyboardInterrupt):
        server.serve_forever()
    over.set()
    visitor.join(PATIENCE)

    with clients[0]:
        assert clients[0].recv(1) == b""
    server.shutdown()
    server.serve_forever()  # returns: it is over


def test_server_is_not_served_twice_at_a_time(serve):
    server = serve()
    server.ask()

    server.server.serve_forever()  # returns: another thread does

    assert server.ask()[0].status == 200


def test_shutdown_from_an_applications_thread_answers_it_first(serve):
    stopped = []

    def app(environ, start_response):
        start_response("200 OK", [])
        thread = threading.Thread(target=server.server.shutdown)
        thread.start()
        stopped.append(thread)
        return [b"bye"]

    server = serve(app)

    assert server.ask()[1] == b"bye"
    stopped[0].join(PATIENCE)
    with pytest.raises(ConnectionRefusedError):
        server.ask()


def test_request_that_is_arriving_at_shutdown_is_answered(serve):
    server = serve()
    with server.connected() as client:
        client.sendall(HELLO[:20])
        wait_for(
            lambda: any(c._incoming.begun for c in list(server.server._service.open)),
            "the first part of the request",
        )
        stopper = threading.Thread(target=server.shutdown)
        stopper.start()
        while not server.server._service.stopping:
            stopper.join(0.001)
        client.sendall(HELLO[20:])
        raw = server.rest(client)
        stopper.join(PATIENCE)

    assert raw.status == 200
    assert b"Connection: close" in raw.head
