"""Requests a second of the server: `python3 -m tests.benchmarks.http [seconds]`.

Each line is one server in a process of its own, asked by another: single events of 573
bytes, posted over connections that stay open. Its peer is the standard library's
``ThreadingHTTPServer`` with keep-alive, which does nothing but read and answer.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

from mbuzz.server.http.response import Response, json_response
from mbuzz.server.http.wsgi_server import WSGIServer
from tests.benchmarks.ingest_load import event

_SPAWN = multiprocessing.get_context("spawn")
_ACCEPTED = json_response({"accepted": 1, "rejected": []}, 202)


class AtOnce:
    """An answer that is there already."""

    def when_done(self, callback: Callable[[], None]) -> None:
        callback()

    def response(self) -> Response:
        return _ACCEPTED


class Application:
    """Answers in the loop, or in a thread of the pool."""

    def __init__(self, *, fast: bool) -> None:
        self._fast = fast

    def begin(self, environ: dict[str, Any]) -> AtOnce | None:
        if not self._fast:
            return None
        environ["wsgi.input"].read()
        return AtOnce()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        environ["wsgi.input"].read()
        start_response(_ACCEPTED.status_line, list(_ACCEPTED.headers))
        return [_ACCEPTED.body]


class Peer(BaseHTTPRequestHandler):
    """The least that an application could do."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(_ACCEPTED.body)))
        self._headers_buffer.append(b"\r\n" + _ACCEPTED.body)  # one packet, as ours
        self.flush_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def _serve(kind: str, pipe: Connection) -> None:
    """Serve until told to stop; say the CPU seconds whenever asked."""
    if kind == "peer":
        peer = ThreadingHTTPServer(("127.0.0.1", 0), Peer)
        peer.handle_error = lambda *_: None  # a client that left
        threading.Thread(target=peer.serve_forever, daemon=True).start()
        pipe.send(peer.server_port)
    else:
        server = WSGIServer(Application(fast=kind == "loop"))  # type: ignore[arg-type]
        server.start()
        pipe.send(server.port)
    while pipe.recv():
        pipe.send(time.process_time())
    os._exit(0)


def _request() -> bytes:
    body = json.dumps({"events": [event("a" * 64, 0)]}).encode()
    return (
        b"POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:8787\r\n"
        b"Authorization: Bearer sk_test_" + b"a" * 32 + b"\r\n"
        b"User-Agent: mbuzz-python/0.1\r\nContent-Type: application/json\r\n"
        b"Accept-Encoding: identity\r\nContent-Length: %d\r\n\r\n%b"
    ) % (len(body), body)


def _load(port: int, connections: int, seconds: float) -> list[float]:
    """Return how long each request took; one under way on each connection."""
    request = _request()
    selector = selectors.DefaultSelector()
    clients: list[socket.socket] = []
    sent: dict[socket.socket, float] = {}
    for _ in range(connections):
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clients.append(client)
        selector.register(client, selectors.EVENT_READ)
    spans: list[float] = []
    end = time.perf_counter() + seconds
    for client in clients:
        client.sendall(request)
        sent[client] = time.perf_counter()
    while (now := time.perf_counter()) < end:
        for key, _ in selector.select(1.0):
            client = key.fileobj
            answer = client.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 202 "), answer
            while not answer.endswith(_ACCEPTED.body):
                answer += client.recv(65_536)
            now = time.perf_counter()
            spans.append(now - sent[client])
            sent[client] = now
            client.sendall(request)
    for client in clients:
        client.close()
    selector.close()
    return spans


def measure(kind: str, connections: int, seconds: float) -> str:
    """Return the line of one server."""
    ours, theirs = _SPAWN.Pipe()
    server = _SPAWN.Process(target=_serve, args=(kind, theirs))
    server.start()
    port = ours.recv()
    _load(port, connections, 0.5)
    ours.send(True)
    before = ours.recv()
    spans = sorted(_load(port, connections, seconds))
    ours.send(True)
    cpu = (ours.recv() - before) / len(spans) * 1e6
    ours.send(False)
    server.join()
    p50, p99 = (spans[len(spans) * part // 100] * 1000 for part in (50, 99))
    rate = len(spans) / seconds
    return f"{kind:12}{connections:6}{rate:12,.0f}{cpu:10.1f}{p50:9.2f}{p99:9.2f}"


def main(seconds: float) -> None:
    """Print the table."""
    print(f"{'':12}{'conns':>6}{'req/s':>12}{'CPU us':>10}{'p50 ms':>9}{'p99 ms':>9}")
    for connections in (8, 16, 128):
        for kind in ("loop", "pool", "peer"):
            print(measure(kind, connections, seconds), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0)
