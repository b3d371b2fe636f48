"""A real HTTP server on loopback that fails in every way that servers do."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections import Counter
from contextlib import suppress
from email.utils import formatdate

STATUSES = {
    "400": (400, ""),
    "401": (401, ""),
    "408": (408, ""),
    "413": (413, ""),
    "429_seconds": (429, "Retry-After: 1\r\n"),
    "429_date": (429, None),  # the date is made when it is sent
    "500": (500, ""),
    "503": (503, ""),
    "redirect": (302, "Location: http://127.0.0.1:9/elsewhere\r\n"),
}
# The events are on disk, but the client may not hear of it.
KEPT = {"ok", "drop", "drip_headers", "drip_body", "no_keep_alive"}
PATIENCE = 15.0  # seconds until a test gives up


class FaultServer:
    """Serves `POST /api/v1/events` in a *mode* that may change at any time.

    `events` are the items that were kept, in order, with those that came twice;
    `requests` counts what was read whole, `connections` what was accepted.
    """

    def __init__(self, mode: str = "ok") -> None:
        self.changed = threading.Condition()
        self.events: list[dict[str, object]] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.reject: dict[str, str] = {}  # event_type -> error
        self.too_many = 0  # items that make a batch too large, if any
        self.cookies: list[str] = []
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._fillers: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._mode = "closed"
        self.port = 0
        self.mode = mode

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def mode(self) -> str:
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        """Fail like *mode* from now on; connections of the last mode are cut."""
        before, self._mode = self._mode, mode
        if before in ("refuse", "black_hole", "closed") or mode in (
            "refuse",
            "black_hole",
        ):
            self._hang_up()
            self._listen(mode)
        elif before in ("hang", "drip_headers", "drip_body"):
            self._cut_connections()

    def _listen(self, mode: str) -> None:
        listener = socket.create_server(
            ("127.0.0.1", self.port), backlog=0 if mode == "black_hole" else 64
        )
        self.port = listener.getsockname()[1]
        if mode == "refuse":
            listener.close()
            return
        self._listener = listener
        if mode == "black_hole":  # nobody accepts, so the next SYN gets no answer
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", self.port))
                self._fillers.append(filler)
            return
        self._start(self._accept, listener)

    def _start(self, target, *arguments) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self.changed:
                self.connections += 1
                self._open.add(connection)
                self.changed.notify_all()
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while self._answer(connection):
                pass
        with self.changed:
            self._open.discard(connection)

    def _answer(self, connection: socket.socket) -> bool:
        request = self._read(connection)
        if request is None:
            return False
        body = request[2]
        mode = self._mode
        items = json.loads(body)["events"] if body else []
        too_many = self.too_many and len(items) > self.too_many
        with self.changed:
            self.requests.append(request)
            if mode in KEPT and not too_many:
                self.events.extend(
                    item for item in items if item.get("event_type") not in self.reject
                )
            self.changed.notify_all()
        if too_many:
            mode = "413"
        if mode == "hang":
            self._stopping.wait(PATIENCE)
            return False
        if mode == "garbage":
            page = b"<html>Please log in</html>"
            return self._send(connection, 200, page, "Content-Type: text/html\r\n")
        if mode == "nested":
            return self._send(connection, 200, b"[" * 200_000)
        if mode in STATUSES:
            status, extra = STATUSES[mode]
            if extra is None:
                extra = f"Retry-After: {formatdate(self.now() + 1, usegmt=True)}\r\n"
            return self._send(connection, status, b'{"error": "no"}', extra)
        return self._accepted(connection, mode, items)

    @staticmethod
    def now() -> float:
        import time

        return time.time()

    def _accepted(self, connection, mode, items) -> bool:
        rejected = [
            {"index": index, "errors": [self.reject[item["event_type"]]]}
            for index, item in enumerate(items)
            if item.get("event_type") in self.reject
        ]
        accepted = [
            {"id": item["id"], "status": "accepted", "conversion_id": item["id"]}
            for item in items
            if item.get("event_type") not in self.reject
        ]
        answer = {"accepted": len(accepted), "rejected": rejected, "events": accepted}
        body = json.dumps(answer).encode()
        extra = "".join(f"Set-Cookie: {cookie}\r\n" for cookie in self.cookies)
        if mode == "drop":
            head = f"HTTP/1.1 202 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            connection.sendall(head + body[: len(body) // 2])
            return False
        if mode == "drip_headers":
            return self._drip(connection, b"HTTP/1.1 202 OK\r\nX-Slow: " + b"a" * 99)
        if mode == "drip_body":
            connection.sendall(b"HTTP/1.1 202 OK\r\nContent-Length: 99\r\n\r\n")
            return self._drip(connection, b" " * 99)
        self._send(connection, 202, body, extra)
        return mode != "no_keep_alive"

    def _send(self, connection, status, body, extra="") -> bool:
        head = f"HTTP/1.1 {status} X\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        return True

    def _drip(self, connection, data: bytes) -> bool:
        """Send one byte in a tenth of a second: never late enough for a timeout."""
        for byte in data:
            connection.sendall(bytes([byte]))
            if self._stopping.wait(0.1):
                break
        return False

    @staticmethod
    def _read(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65_536)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        while len(body) < length:
            piece = connection.recv(65_536)
            if not piece:
                return None
            body += piece
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return first.split(" ")[1], headers, body

    # -- what tests ask --

    def wait_for(self, condition) -> bool:
        """Wait until *condition* holds; checked whenever something has arrived."""
        with self.changed:
            return self.changed.wait_for(condition, PATIENCE)

    @property
    def arrived(self) -> Counter[str]:
        """Return how often each event was kept; the backend counts the first only."""
        with self.changed:
            return Counter(str(item["id"]) for item in self.events)

    @property
    def names(self) -> list[str]:
        """Return the names of the kept events, each id once, in order."""
        with self.changed:
            once = {item["id"]: item for item in self.events}
            return [str(item.get("event_type", item["type"])) for item in once.values()]

    # -- the end --

    def _cut_connections(self) -> None:
        self._stopping.set()
        with self.changed:
            open_now = list(self._open)
        for connection in open_now:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._stopping = threading.Event()

    def _hang_up(self) -> None:
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        self._cut_connections()

    def close(self) -> None:
        self._hang_up()
        for thread in self._threads:
            thread.join(PATIENCE)
