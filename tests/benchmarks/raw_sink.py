"""A server that only reads requests and says 202, in a process of its own.

It speaks as much HTTP as the measured clients need, so that it is never the slower
side: a WSGI server spends more on a request than a floor spends on a hundred events.
It can be slow, fall silent or go away, and give visitors session ids of its own.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

import mbuzz

KEY = "sk_test_" + "0" * 32
_BODY = b'{"accepted":100,"rejected":[],"events":[]}'
_ANSWER = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(_BODY)
) + _BODY
_GIVEN = "beefbeef"  # how a session id of the sink's begins; proposals never do


def configure(url: str, **options: object) -> None:
    """Let the default client send to a server of the benchmarks."""
    mbuzz.configure(strict=True, api_key=KEY, api_url=url, network=True, **options)


def given_session(visitor_id: str) -> str:
    """Return the session id that a sink with cookies gives to a visitor."""
    return _GIVEN + visitor_id[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """What came since the last time it was asked for."""

    requests: int
    wire_bytes: int  # heads and bodies, as sent
    events: int
    ids: int  # different ones


class _Server:
    """Keeps the bodies as they came; they are looked at after the measurement."""

    def __init__(self, *, answers: bool, cookies: bool) -> None:
        self._answers = answers
        self._cookies = cookies
        self._delay = 0.0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._bodies: list[bytes] = []
        self._wire_bytes = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
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
                    body = data[end : end + length]
                    with self._lock:
                        self._bodies.append(body)
                        self._wire_bytes += end + length
                    data = data[end + length :]
                    if self._delay:
                        time.sleep(self._delay)
                    if self._answers:
                        connection.sendall(
                            _personal(_events(body)) if self._cookies else _ANSWER
                        )
                    continue
                piece = connection.recv(262_144)
                if not piece:
                    return
                data += piece

    def behave(self, manner: float | str) -> None:
        if isinstance(manner, float):
            self._delay = manner
            return
        self._answers = False
        if manner == "refuse":
            with self._lock:
                gone, self._open = {self._listener, *self._open}, set()
            for end in gone:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    def arrived(self) -> Arrived:
        with self._lock:
            bodies, self._bodies = self._bodies, []
            wire_bytes, self._wire_bytes = self._wire_bytes, 0
        ids: set[str] = set()
        events = 0
        for body in bodies:
            items = _events(body)
            events += len(items)
            ids.update(item["id"] for item in items)
        return Arrived(
            requests=len(bodies), wire_bytes=wire_bytes, events=events, ids=len(ids)
        )


def _events(body: bytes) -> list[dict[str, str]]:
    if body[:2] == b"\x1f\x8b":
        body = zlib.decompress(body, wbits=31)
    return json.loads(body)["events"]


def _personal(events: list[dict[str, str]]) -> bytes:
    """Return the answer to *events*, with cookies if they are of one visitor."""
    visitors = {event.get("visitor_id") for event in events}
    cookies = ""
    if len(visitors) == 1 and (visitor := visitors.pop()):
        cookies = (
            f"Set-Cookie: _mbuzz_vid={visitor}; Max-Age=31536000; Path=/\r\n"
            f"Set-Cookie: _mbuzz_sid={given_session(visitor)}; Max-Age=1800; Path=/\r\n"
        )
    body = f'{{"accepted":{len(events)},"rejected":[],"events":[]}}'
    return (
        "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
        f"{cookies}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _serve(pipe: Connection, answers: bool, cookies: bool) -> None:
    server = _Server(answers=answers, cookies=cookies)
    pipe.send(server.url)
    while (asked := pipe.recv()) != "end":
        if asked == "arrived":
            pipe.send(server.arrived())
        else:
            pipe.send(server.behave(asked))


class Sink:
    """The other end of a running sink."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.url: str = pipe.recv()

    def arrived(self) -> Arrived:
        """Return what came since the last call."""
        self._pipe.send("arrived")
        return self._pipe.recv()

    def behave(self, manner: float | str) -> None:
        """Answer after so many seconds, or, for good: "hang", or "refuse"."""
        self._pipe.send(manner)
        self._pipe.recv()


@contextmanager
def running(*, answers: bool = True, cookies: bool = False) -> Iterator[Sink]:
    """Run a sink; without *answers* it reads and says nothing.

    With *cookies* it looks at what it reads and says whose it is, which takes time.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, answers, cookies), daemon=True)
    process.start()
    try:
        yield Sink(ours)
    finally:
        ours.send("end")
        process.join(10)
