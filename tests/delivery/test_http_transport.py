"""The connection: kept alive, never longer than told, never fooled."""

import json
import os
import socket
import ssl
import subprocess
import threading
from contextlib import suppress

import pytest

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.delivery.http_transport import HttpTransport
from mbuzz.delivery.transport import Response, TransportError
from mbuzz.testing import ManualClock
from tests.delivery.fault_server import PATIENCE, FaultServer
from tests.delivery.forward_proxy import ForwardProxy

BODY = json.dumps({"events": [{"id": "a", "event_type": "Signup"}]}).encode()


@pytest.fixture
def connect(server):
    made = []

    def make(url=None, **options):
        transport = HttpTransport(
            f"{url or server.url}/api/v1/",
            SYSTEM_CLOCK,
            **{"connect_timeout": 0.3, **options},
        )
        made.append(transport)
        return transport

    yield make
    for transport in made:
        transport.close()


def serve_raw(answer):
    """Return the address of a server that gives *answer* to its first connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener:
            connection, _ = listener.accept()
            with connection:
                FaultServer._read(connection)
                with suppress(OSError):
                    connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_connection_is_kept_for_the_next_request(server, connect):
    transport = connect()

    answers = [transport.post("/events", BODY, {"X-A": "1"}, 5.0) for _ in range(3)]

    assert [answer.status for answer in answers] == [202, 202, 202]
    assert server.connections == 1
    path, headers, body = server.requests[0]
    assert (path, headers["x-a"], body) == ("/api/v1/events", "1", BODY)


def test_headers_are_found_by_lower_case_names_repeated_ones_together(server, connect):
    server.cookies = ["a=1", "b=2"]

    answer = connect().post("/events", BODY, {}, 5.0)

    assert answer.headers["set-cookie"] == ("a=1", "b=2")
    assert answer.header("set-cookie") == "a=1"
    assert answer.header("retry-after") is None
    assert Response(status=200, headers={"x": ()}, body=b"").header("x") is None


def test_a_stale_connection_costs_one_more_try(server, connect):
    server.mode = "no_keep_alive"
    transport = connect()

    for _ in range(3):
        assert transport.post("/events", BODY, {}, 5.0).status == 202

    assert server.connections == 3


def test_a_fresh_connection_that_is_dropped_is_not_tried_twice(connect):
    transport = connect(serve_raw(b""))

    with pytest.raises(TransportError, match="RemoteDisconnected"):
        transport.post("/events", BODY, {}, 5.0)


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("refuse", "ConnectionRefusedError"),
        ("black_hole", "TimeoutError"),
        ("hang", "TimeoutError"),
        ("drip_headers", "TimeoutError"),
        ("drip_body", "TimeoutError"),
        ("drop", "IncompleteRead"),
    ],
)
def test_no_usable_answer_is_an_error_in_time(server, connect, mode, error):
    server.mode = mode
    started = SYSTEM_CLOCK.monotonic()

    with pytest.raises(TransportError, match=error):
        connect().post("/events", BODY, {}, 0.4)

    assert SYSTEM_CLOCK.monotonic() - started < 2.0


@pytest.mark.parametrize(
    "answer",
    [
        b"not http\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    ],
)
def test_an_answer_that_is_not_http_is_an_error(connect, answer):
    transport = connect(serve_raw(answer))

    with pytest.raises(TransportError):
        transport.post("/events", BODY, {}, 5.0)


def test_an_answer_without_end_is_an_error(connect):
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5_000_000
    transport = connect(serve_raw(endless))

    with pytest.raises(TransportError, match="ValueError"):
        transport.post("/events", BODY, {}, 5.0)


def test_a_body_until_the_connections_end_is_whole(connect):
    transport = connect(serve_raw(b"HTTP/1.0 202 OK\r\n\r\n{}"))

    assert transport.post("/events", BODY, {}, 5.0).body == b"{}"


def test_a_chunked_answer_is_whole(connect):
    head = b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw = head + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"

    assert connect(serve_raw(raw)).post("/events", BODY, {}, 5.0).body == b"{}"


def test_redirects_are_answers_not_orders(server, connect):
    server.mode = "redirect"

    answer = connect().post("/events", BODY, {"Authorization": "Bearer k"}, 5.0)

    assert answer.status == 302
    assert server.connections == 1


def test_a_server_that_does_not_read_is_left_in_time(connect):
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        started = SYSTEM_CLOCK.monotonic()

        with pytest.raises(TransportError, match="TimeoutError"):
            connect(url).post("/events", b"x" * 50_000_000, {}, 0.3)

        assert SYSTEM_CLOCK.monotonic() - started < 3.0
    finally:
        listener.close()


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_no_time_left_is_an_error_not_a_request(server, connect, timeout):
    with pytest.raises(TransportError, match="TimeoutError"):
        connect().post("/events", BODY, {}, timeout)

    assert server.requests == []


def test_no_time_left_on_a_kept_connection_is_one_too(server, connect):
    transport = connect()
    transport.post("/events", BODY, {}, 5.0)

    with pytest.raises(TransportError, match="TimeoutError"):
        transport.post("/events", BODY, {}, 0.0)

    assert len(server.requests) == 1


def test_a_header_that_cannot_be_sent_is_an_error(connect):
    with pytest.raises(TransportError, match="ValueError"):
        connect().post("/events", BODY, {"X": "a\r\nb"}, 5.0)


def test_a_transport_goes_on_after_close_and_after_errors(server, connect):
    transport = connect()
    transport.close()
    assert transport.post("/events", BODY, {}, 5.0).status == 202
    server.mode = "hang"
    with pytest.raises(TransportError):
        transport.post("/events", BODY, {}, 0.1)
    server.mode = "ok"

    assert transport.request("GET", "/health", None, {}, 5.0).status == 202


def test_a_connection_that_ends_unsaid_is_seen_before_it_is_used(server, connect):
    server.mode = "no_keep_alive"
    transport = connect()
    transport.post("/events", BODY, {}, PATIENCE)
    until = SYSTEM_CLOCK.monotonic() + PATIENCE
    while transport._idle.socket.quiet():
        assert SYSTEM_CLOCK.monotonic() < until
    transport.post("/events", BODY, {}, PATIENCE)

    assert [server.connections, len(server.requests)] == [2, 2]


@pytest.mark.parametrize("mode", ["silent_close", "reset"])
def test_a_kept_connection_that_breaks_is_tried_again_once(server, connect, mode):
    transport = connect()
    transport.post("/events", BODY, {}, PATIENCE)
    server.mode = mode

    with pytest.raises(TransportError):
        transport.post("/events", BODY, {}, PATIENCE)

    assert [server.connections, len(server.requests)] == [2, 3]


def test_a_kept_connection_that_breaks_within_an_answer_is_not_tried_again(
    server, connect
):
    transport = connect()
    transport.post("/events", BODY, {}, PATIENCE)
    server.mode = "drop"

    with pytest.raises(TransportError, match="IncompleteRead"):
        transport.post("/events", BODY, {}, PATIENCE)

    assert [server.connections, len(server.requests)] == [1, 2]


def test_a_connection_that_rested_too_long_is_renewed(server):
    clock = ManualClock()
    transport = HttpTransport(server.url, clock)
    for pause in (0.0, 50.0, 56.0):
        clock.advance(pause)
        transport.post("/events", BODY, {}, PATIENCE)
    transport.close()

    assert server.connections == 2


@pytest.mark.parametrize("mode", ["chunked", "interim", "connection_close", "http_1_0"])
def test_answers_of_every_shape_are_understood(server, connect, mode):
    server.mode = mode
    transport = connect()

    answers = [transport.post("/events", BODY, {}, PATIENCE) for _ in range(2)]

    assert [json.loads(answer.body)["accepted"] for answer in answers] == [1, 1]
    kept = mode in ("chunked", "interim")
    assert server.connections == (1 if kept else 2)


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("half_open", "TimeoutError"),
        ("hang_unread", "TimeoutError"),
        ("drip_second", "TimeoutError"),
        ("reset_unread", "ConnectionResetError|RemoteDisconnected"),
        ("reset", "ConnectionResetError|RemoteDisconnected"),
        ("silent_close", "RemoteDisconnected"),
        ("endless_headers", "bad_answer"),
        ("huge_body", "ValueError"),
        ("broken_chunk", "IncompleteRead"),
    ],
)
def test_a_server_in_trouble_is_an_error_in_time(server, connect, mode, error):
    server.mode = mode
    timeout = 0.4 if error == "TimeoutError" else PATIENCE
    started = SYSTEM_CLOCK.monotonic()

    with pytest.raises(TransportError, match=f"^({error})$"):
        connect(connect_timeout=PATIENCE).post("/events", BODY, {}, timeout)

    assert SYSTEM_CLOCK.monotonic() - started < 5.0


def test_a_refusal_that_comes_before_all_was_sent_is_heard(connect):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1_000)
                head = b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n"
                connection.sendall(head)

    threading.Thread(target=serve, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    answer = connect(url).post("/events", b"x" * 20_000_000, {}, PATIENCE)

    assert answer.status == 413


def test_a_name_that_takes_for_ever_to_look_up_costs_the_deadline_only(
    connect, monkeypatch
):
    go_on = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: go_on.wait(PATIENCE))
    started = SYSTEM_CLOCK.monotonic()

    with pytest.raises(TransportError, match="TimeoutError"):
        connect("http://slow.test").post("/events", BODY, {}, 0.2)

    assert SYSTEM_CLOCK.monotonic() - started < 3.0
    go_on.set()


@pytest.mark.parametrize(
    "headers", [{"X": "a\nb"}, {"X\r\nY": "a"}, {"X": "\0"}, {"X": "caf\xe9"}]
)
def test_an_error_remembers_nothing_of_what_was_to_be_sent(server, connect, headers):
    with pytest.raises(TransportError, match="ValueError") as raised:
        connect().post("/events", BODY, headers, 5.0)

    assert raised.value.__cause__ is raised.value.__context__ is None
    assert server.requests == []


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: y", "/\xe9"])
def test_a_path_that_is_none_is_not_asked_for(server, connect, path):
    with pytest.raises(TransportError, match="ValueError"):
        connect().request("GET", path, None, {}, 5.0)

    assert server.requests == []


def test_one_who_sends_meanwhile_gets_an_answer_of_his_own(server, connect):
    """As a signal handler does, that tracks in the midst of an exchange."""
    transport = connect()
    transport.post("/events", BODY, {}, PATIENCE)
    inner = []

    class Headers(dict):
        def items(self):
            inner.append(transport.post("/events", BODY, {}, PATIENCE).status)
            return super().items()

    assert transport.post("/events", BODY, Headers(), PATIENCE).status == 202
    assert inner == [202]
    assert len(server.requests) == 3


# -- proxies --


@pytest.fixture
def proxied(server, monkeypatch):
    """Return a function that starts a proxy which leads to a server."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    made = []

    def start(port=server.port, user="", **options):
        proxy = ForwardProxy(port, **options)
        made.append(proxy)
        monkeypatch.setenv("ALL_PROXY", f"http://{user}{proxy.place}")
        return proxy

    yield start
    for proxy in made:
        proxy.close()


def test_a_proxy_is_asked_for_the_whole_address(server, connect, proxied):
    proxy = proxied()
    transport = connect("http://backend.test:8080")

    for _ in range(2):
        assert transport.post("/events", BODY, {}, PATIENCE).status == 202

    assert len(proxy.heads) == server.connections == 1
    url = "http://backend.test:8080/api/v1/events"
    assert [path for path, _, _ in server.requests] == [url, url]
    assert server.requests[0][1]["host"] == "backend.test:8080"


def test_a_proxy_gets_its_password(connect, proxied):
    proxied(user="me:p%40ss@", authorization="Basic bWU6cEBzcw==")

    assert connect("http://backend.test").post("/e", BODY, {}, PATIENCE).status == 202


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password_is_no_answer_of_the_api(
    connect, proxied, scheme
):
    proxied(authorization="Basic x")

    with pytest.raises(TransportError, match=r"^proxy_407$"):
        connect(f"{scheme}://backend.test").post("/events", BODY, {}, PATIENCE)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", "proxy_502"),
        (b"HTTP/1.1 200 OK\r\n\r\nearly", "bad_answer"),
        (b"nonsense", "bad_answer"),
        (b"", "RemoteDisconnected"),
    ],
)
def test_a_tunnel_that_does_not_open_is_an_error(connect, proxied, answer, error):
    proxied().answer = answer

    with pytest.raises(TransportError, match=f"^{error}$"):
        connect("https://backend.test").post("/events", BODY, {}, PATIENCE)


def test_a_tunnel_shows_the_proxy_no_key(connect, proxied, certificate, secure):
    port = int(secure.rpartition(":")[2])
    proxy = proxied(port, "me:x@", authorization="Basic bWU6eA==")
    transport = connect("https://backend.test", ca_bundle=str(certificate[1]))
    key = {"Authorization": "Bearer sk_test_1"}

    for _ in range(2):
        assert transport.post("/events", BODY, key, PATIENCE).status == 202

    (head,) = proxy.heads
    assert head.split("\r\n")[0] == "CONNECT backend.test:443 HTTP/1.1"
    assert "sk_test" not in head
    assert b"sk_test" not in proxy.seen


def test_the_server_behind_a_tunnel_must_prove_its_name(
    connect, proxied, certificate, secure
):
    proxied(int(secure.rpartition(":")[2]))
    transport = connect("https://another.test", ca_bundle=str(certificate[1]))

    with pytest.raises(TransportError, match="SSLCertVerificationError"):
        transport.post("/events", BODY, {}, PATIENCE)


# -- TLS --


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
        f"-keyout {key} -out {cert} -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost,DNS:backend.test"
    )
    try:
        subprocess.run(command.split(), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs openssl to make a certificate")
    return key, cert


@pytest.fixture
def secure(certificate):
    """Return the address of a TLS server that accepts events."""
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    served = FaultServer(tls=context)
    yield f"https://localhost:{served.port}"
    served.close()


def test_tls_with_a_bundle_that_knows_the_server(secure, connect, certificate):
    transport = connect(secure, ca_bundle=str(certificate[1]))

    for _ in range(2):
        assert transport.post("/events", BODY, {}, PATIENCE).status == 202


def test_tls_without_trust_is_an_error(secure, connect):
    with pytest.raises(TransportError, match="SSLCertVerificationError"):
        connect(secure).post("/events", BODY, {}, 5.0)


def test_tls_with_a_server_that_says_nothing_ends_in_time(server, connect):
    server.mode = "hang"
    started = SYSTEM_CLOCK.monotonic()

    with pytest.raises(TransportError):
        connect(server.url.replace("http:", "https:")).post("/events", BODY, {}, 0.4)

    assert SYSTEM_CLOCK.monotonic() - started < 2.0


def test_a_server_that_does_not_speak_tls_is_an_error(server, connect):
    server.mode = "not_tls"

    with pytest.raises(TransportError, match="SSLError"):
        connect(server.url.replace("http:", "https:")).post("/events", BODY, {}, 5.0)


def test_a_server_of_another_name_is_an_error(secure, connect, certificate):
    transport = connect(
        secure.replace("localhost", "127.0.0.1"), ca_bundle=str(certificate[1])
    )

    with pytest.raises(TransportError, match="SSLCertVerificationError"):
        transport.post("/events", BODY, {}, PATIENCE)


def test_a_stale_connection_in_tls_costs_one_more_try(secure, connect, certificate):
    transport = connect(secure, ca_bundle=str(certificate[1]))
    transport.post("/events", BODY, {}, PATIENCE)
    transport._idle.socket._sock.shutdown(socket.SHUT_RDWR)

    assert transport.post("/events", BODY, {}, PATIENCE).status == 202
