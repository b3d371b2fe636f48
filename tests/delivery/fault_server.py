"""A real HTTP server on loopback that fails in every way that servers do."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import sys
import threading
from collections import Counter
from contextlib import suppress
from email.utils import formatdate

from tests.processes import reserve_port

STATUSES = {
    "400": (400, ""),
    "401": (401, ""),
    "407": (407, "Proxy-Authenticate: Basic\r\n"),
    "408": (408, ""),
    "413": (413, ""),
    "425": (425, ""),
    "429_seconds": (429, "Retry-After: 1\r\n"),
    "429_date": (429, None),  # the date is made when it is sent
    "500": (500, ""),
    "502": (502, ""),
    "503": (503, ""),
    "504": (504, ""),
    "redirect": (302, "Location: http://127.0.0.1:9/elsewhere\r\n"),
}
# The events are on disk, but the client may not hear of it.
KEPT = {
    *("ok", "drop", "drip_headers", "drip_body", "drip_second", "no_keep_alive"),
    *("chunked", "interim", "connection_close", "http_1_0"),
    *("endless_headers", "huge_body", "broken_chunk"),
}
DRIPPING = {"drip_headers", "drip_body", "drip_second"}
UNREAD = {"hang_unread", "not_tls", "reset_unread"}  # of new connections
# Answers that look different and mean the same, and one that means nothing.
SHAPES = {
    "chunked": lambda body: (
        b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in body)
        + b"0\r\nX-Trailer: 1\r\n\r\n"
    ),
    "interim": lambda body: (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 202 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    ),
    "connection_close": lambda body: (
        b"HTTP/1.1 202 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
        % (len(body), body)
    ),
    "http_1_0": lambda body: b"HTTP/1.0 202 OK\r\n\r\n" + body,
    "broken_chunk": lambda body: (
        b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" + body
    ),
}
PATIENCE = 15.0  # seconds until a test gives up


class FaultServer:
    """Serves `POST /api/v1/events` in a *mode* that may change at any time.

    `events` are the items that were kept, in order, with those that came twice;
    `requests` counts what was read whole, `connections` what was accepted.
    """

    def __init__(self, mode: str = "ok", tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls  # for https:// only, then
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
        # The port stays this server's while it refuses, whoever looks for one.
        self._holder = reserve_port()
        self.port: int = self._holder.getsockname()[1]
        if sys.platform != "linux":  # where two sockets cannot have it
            self._holder.close()
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
        deaf = {"refuse", "black_hole", "half_open"}
        if before in deaf | {"closed"} or mode in deaf:
            self._hang_up()
            self._listen(mode)
        elif before in DRIPPING | {"hang", "hang_unread"}:
            self._cut_connections()

    def _listen(self, mode: str) -> None:
        if mode == "refuse":
            return
        listener = socket.create_server(
            ("127.0.0.1", self.port), backlog=0 if mode == "black_hole" else 64
        )
        self._listener = listener
        if mode == "half_open":  # the system connects, and nobody is there
            return
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
            if self._unread(connection):
                return
            if self.tls is not None:
                plain = connection
                connection = self.tls.wrap_socket(plain, server_side=True)
                with self.changed:
                    self._open.discard(plain)
                    self._open.add(connection)
            with connection:
                while self._answer(connection):
                    pass
        with self.changed:
            self._open.discard(connection)

    def _unread(self, connection: socket.socket) -> bool:
        """Fail before anything was read; tell whether that was it."""
        if self._mode == "hang_unread":
            self._stopping.wait(PATIENCE)
        elif self._mode == "not_tls":
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif self._mode == "reset_unread":
            self._reset(connection)
        return self._mode in UNREAD

    @staticmethod
    def _reset(connection: socket.socket) -> None:
        """Close it as a process that is killed does, or a firewall."""
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()

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
        if mode == "reset":
            self._reset(connection)
            return False
        if mode == "silent_close":
            return False
        if mode in ("hang", "hang_unread", "half_open"):
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
        if mode not in KEPT:  # a deaf one, since the connection was made
            return False
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
        if mode in SHAPES:
            connection.sendall(SHAPES[mode](body))
            return mode in ("chunked", "interim")
        if mode in ("endless_headers", "huge_body"):
            return self._flood(connection, mode)
        if mode == "drip_second":
            start = b"HTTP/1.1 202 OK\r\nX-Slow: " + b"a" * 99
            return self._drip(connection, start, 1.0)
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

    def _flood(self, connection, mode: str) -> bool:
        """Send what has no end, until the client has had enough."""
        connection.sendall(b"HTTP/1.1 202 OK\r\n")
        if mode == "huge_body":
            connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        piece = b"X-A: " + b"a" * 991 + b"\r\n"
        if mode == "huge_body":
            piece = b"3e6\r\n" + piece + b"\r\n"  # a chunk of 998 bytes
        while not self._stopping.is_set():
            connection.sendall(piece)
        return False

    def _drip(self, connection, data: bytes, pace: float = 0.1) -> bool:
        """Send one byte in *pace* seconds: never late enough for a socket's timeout."""
        for byte in data:
            connection.sendall(bytes([byte]))
            if self._stopping.wait(pace):
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
        self._holder.close()
        for thread in self._threads:
            thread.join(PATIENCE)
