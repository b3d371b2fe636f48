"""The connection: kept alive, never longer than told, never fooled."""

import json
import socket
import ssl
import subprocess
import threading
from contextlib import suppress

import pytest

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.delivery.http_transport import HttpTransport
from mbuzz.delivery.transport import Response, TransportError
from tests.delivery.fault_server import PATIENCE, FaultServer

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


# -- TLS --


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
        f"-keyout {key} -out {cert} -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost"
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
    served = FaultServer()
    plain = served._serve

    def serve(connection):
        try:
            wrapped = context.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            return
        plain(wrapped)

    served._serve = serve
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
