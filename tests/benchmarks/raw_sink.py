"""A server that only reads requests and says 202, in a process of its own.

It speaks as much HTTP as the measured clients need, so that it is never the slower
side: a WSGI server spends more on a request than a floor spends on a hundred events.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

KEY = "sk_test_" + "0" * 32
_BODY = b'{"accepted":100,"rejected":[],"events":[]}'
_ANSWER = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(_BODY)
) + _BODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """What came since the last time it was asked for."""

    requests: int
    wire_bytes: int  # heads and bodies, as sent
    events: int
    ids: int  # different ones


class _Server:
    """Keeps the bodies as they came; they are looked at after the measurement."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self._bodies: list[bytes] = []
        self._wire_bytes = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(
                target=self._serve, args=(connection,), daemon=True
            ).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        with connection, suppress(OSError):
            while True:
                end = data.find(b"\r\n\r\n") + 4
                if end > 3:
                    length = _content_length(data[:end])
                    while len(data) < end + length:
                        piece = connection.recv(262_144)
                        if not piece:
                            return
                        data += piece
                    with self._lock:
                        self._bodies.append(data[end : end + length])
                        self._wire_bytes += end + length
                    data = data[end + length :]
                    if self._answers:
                        connection.sendall(_ANSWER)
                    continue
                piece = connection.recv(262_144)
                if not piece:
                    return
                data += piece

    def arrived(self) -> Arrived:
        with self._lock:
            bodies, self._bodies = self._bodies, []
            wire_bytes, self._wire_bytes = self._wire_bytes, 0
        ids: set[str] = set()
        events = 0
        for body in bodies:
            if body[:2] == b"\x1f\x8b":
                body = zlib.decompress(body, wbits=31)
            items = json.loads(body)["events"]
            events += len(items)
            ids.update(item["id"] for item in items)
        return Arrived(
            requests=len(bodies), wire_bytes=wire_bytes, events=events, ids=len(ids)
        )


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _serve(pipe: Connection, answers: bool) -> None:
    server = _Server(answers=answers)
    pipe.send(server.url)
    while pipe.recv() == "arrived":
        pipe.send(server.arrived())


class Sink:
    """The other end of a running sink."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.url: str = pipe.recv()

    def arrived(self) -> Arrived:
        """Return what came since the last call."""
        self._pipe.send("arrived")
        return self._pipe.recv()


@contextmanager
def running(*, answers: bool = True) -> Iterator[Sink]:
    """Run a sink; without *answers* it reads and says nothing."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, answers), daemon=True)
    process.start()
    try:
        yield Sink(ours)
    finally:
        ours.send("end")
        process.join(10)
