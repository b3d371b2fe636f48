"""A load generator of its own process: many connections, batches made beforehand."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Iterator
from typing import Any

from mbuzz import ids
from mbuzz.clock import SYSTEM_CLOCK, iso

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"
_BODIES = 64  # made at a time; the time that takes does not count
_AT_A_TIME = 1_000  # visitors of single events
_GATHERED_MS = 2_000  # between the first event of a batch and the last
_MOST_A_SECOND = 25_000  # events; what a run has at the most


def event(visitor: str, number: int, ms_ago: int) -> dict[str, object]:
    """Return a page view of some 540 bytes; every fourth is a landing from an ad."""
    now = SYSTEM_CLOCK.now_ms() - ms_ago
    landing = number % 4 == 0
    tags = "?utm_source=google&utm_medium=cpc&utm_campaign=spring" if landing else ""
    own = "https://shop.example/"
    return {
        "type": "track",
        "id": ids.event_id(now),
        "event_type": "page_view",
        "visitor_id": visitor,
        "session_id": visitor[:32],
        "timestamp": iso(now),
        "properties": {
            "url": f"https://shop.example/products/{number % 397}{tags}",
            "referrer": "https://www.google.com/" if landing else own,
            "user_agent": AGENT,
            "plan": "pro",
            "price": number % 3000 / 100,
        },
    }


def batch(size: int) -> list[dict[str, object]]:
    """Return what a queue gathers in two seconds, of visitors with four pages each."""
    visitors = [ids.visitor_id() for _ in range(max(1, size // 4))]
    return [
        event(
            visitors[i // 4 % len(visitors)], i, (size - 1 - i) * _GATHERED_MS // size
        )
        for i in range(size)
    ]


def singles() -> Iterator[list[dict[str, object]]]:
    """Yield events one by one, of many visitors at a time, each with four pages."""
    while True:
        visitors = [ids.visitor_id() for _ in range(_AT_A_TIME)]
        for page in range(4):
            for visitor in visitors:
                yield [event(visitor, page, 0)]


def requests(size: int, host: str, key: str) -> Iterator[bytes]:
    """Yield requests without end, each with events of its own."""
    one_by_one = singles()
    while True:
        made = []
        for _ in range(_BODIES):
            events = batch(size) if size > 1 else next(one_by_one)
            body = json.dumps({"events": events}, separators=(",", ":")).encode()
            head = (
                f"POST /api/v1/events HTTP/1.1\r\nHost: {host}\r\n"
                f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            made.append(head.encode() + body)
        yield from made


class _Client:
    """One kept connection with one request on its way."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begun = 0.0
        self._answer = bytearray()

    def send(self, request: bytes) -> None:
        """Send the next request; its time begins now."""
        self.begun = time.perf_counter()
        self._answer.clear()
        self.socket.settimeout(30)
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what is there; tell whether that is the whole answer."""
        part = self.socket.recv(262_144)
        if not part:
            raise ConnectionError("the server closed the connection")
        self._answer += part
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return False
        if not head.startswith(b"HTTP/1.1 202"):
            raise ConnectionError(bytes(self._answer[:300]).decode("latin-1"))
        length = head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
        return len(body) >= int(length)


def load(
    url: str, key: str, size: int, connections: int, seconds: float
) -> dict[str, Any]:
    """Post batches for *seconds* and return what was seen.

    Keys: ``events``, ``seconds``, and the ms of a request, ``p50``, ``p99``, ``most``.
    """
    host = url.removeprefix("http://")
    name, port = host.rsplit(":", 1)
    made = requests(size, host, key)
    ready = [
        next(made) for _ in range(int(seconds * _MOST_A_SECOND / size) + connections)
    ]
    ready.reverse()  # taken from its end, yet a visitor's pages come as they were seen
    spans: list[float] = []
    with selectors.DefaultSelector() as selector:
        clients = [_Client((name, int(port))) for _ in range(connections)]
        begin = time.perf_counter()
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.send(ready.pop())
        busy = connections
        while busy:
            for chosen, _ in selector.select(30):
                client = chosen.data
                if not client.receive():
                    continue
                now = time.perf_counter()
                spans.append(now - client.begun)
                if ready and now - begin < seconds:
                    client.send(ready.pop())
                else:
                    busy -= 1
                    selector.unregister(client.socket)
        took = time.perf_counter() - begin
        for client in clients:
            client.socket.close()
    spans.sort()
    return {
        "events": len(spans) * size,
        "seconds": took,
        "p50": spans[len(spans) // 2] * 1000,
        "p99": spans[len(spans) * 99 // 100] * 1000,
        "most": spans[-1] * 1000,
    }
