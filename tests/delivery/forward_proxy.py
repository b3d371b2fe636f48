"""A real forward proxy on loopback: tunnels, forwards, and asks for a password."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from tests.delivery.fault_server import PATIENCE


class ForwardProxy:
    """Takes every request to the server at *port*, whatever host it asks for.

    `heads` are the first requests of its connections, `seen` all bytes that clients
    sent through it, in tunnels too.
    """

    def __init__(self, port: int, authorization: str | None = None) -> None:
        self.heads: list[str] = []
        self.seen = bytearray()
        self.answer: bytes | None = None  # said instead of connecting
        self._target = port
        self._authorization = authorization
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def _start(self, target, *arguments) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                piece = client.recv(65_536)
                if not piece:
                    return
                data += piece
            head = data.partition(b"\r\n\r\n")[0].decode()
            self.heads.append(head)
            wanted = f"Proxy-Authorization: {self._authorization}"
            if self.answer is not None:
                client.sendall(self.answer)
                return
            if self._authorization and wanted not in head.split("\r\n"):
                client.sendall(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", self._target)) as upstream:
                self._open.append(upstream)
                if head.startswith("CONNECT "):
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    self.seen += data
                    upstream.sendall(data)
                self._start(self._pump, upstream, client)
                self._pump(client, upstream, self.seen)

    @staticmethod
    def _pump(source, drain, seen=None) -> None:
        with suppress(OSError):
            while piece := source.recv(65_536):
                if seen is not None:
                    seen += piece
                drain.sendall(piece)
        with suppress(OSError):
            drain.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for opened in [self._listener, *self._open]:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()
        for thread in list(self._threads):
            thread.join(PATIENCE)
