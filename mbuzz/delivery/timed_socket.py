"""A socket whose exchanges end in time, however slowly the other side speaks."""

from __future__ import annotations

import os
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

    from mbuzz.clock import Clock

    Address = tuple[int, tuple[object, ...]]  # family, what connect() takes

_PIECE = 65_536  # bytes that one send or receive may take


class TimedSocket:
    """A connected socket under one deadline for all that is done with it.

    A socket's own timeout starts anew with every byte: a server that sends one a
    second, in the headers too, would keep its client for hours.
    """

    __slots__ = ("_clock", "_identity", "_sock", "deadline", "received")

    def __init__(self, sock: socket.socket, clock: Clock, deadline: float) -> None:
        self._sock = sock
        self._clock = clock
        self._identity = _identity(sock)
        self.deadline = deadline  # monotonic seconds
        self.received = 0  # bytes since the last request

    def limit(self) -> None:
        """Let the next step on the socket take what is left.

        Raises:
            TimeoutError: If nothing is.
        """
        left = self.deadline - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)

    def send(self, data: bytes) -> None:
        """Send all of *data*.

        Raises:
            OSError: If it cannot be sent in time.
        """
        rest = memoryview(data)
        while rest:
            self.limit()
            rest = rest[self._sock.send(rest[:_PIECE]) :]

    def receive(self) -> bytes:
        """Return what came, at least one byte; nothing at the end.

        Raises:
            OSError: If nothing comes in time.
        """
        self.limit()
        data = self._sock.recv(_PIECE)
        self.received += len(data)
        return data

    def quiet(self) -> bool:
        """Tell whether an unused connection still stands, and nobody spoke meanwhile.

        Whatever there is to read between two exchanges, the server's farewell or an
        answer to nothing, no request may follow it.
        """
        if not self._own():
            return False
        self._sock.settimeout(0.0)
        try:
            self._sock.recv(1)
        except BlockingIOError:
            return True
        except OSError as error:
            return type(error).__name__ == "SSLWantReadError"  # without importing ssl
        return False

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Go on in TLS, with a server that can prove that it is *host*.

        Raises:
            OSError: If it cannot, or not in time.
        """
        self.limit()
        self._sock.getpeername()  # of one that was reset, ssl would leak its own
        self._sock = context.wrap_socket(self._sock, server_hostname=host)

    def _own(self) -> bool:
        return _identity(self._sock) == self._identity

    def close(self) -> None:
        """Close the connection; a descriptor that became another's is left alone."""
        if self._own():
            self._sock.close()
        else:
            self._sock.detach()

    def __del__(self) -> None:
        """Do as `close`: the socket itself would close what has its number now."""
        try:  # noqa: SIM105 - contextlib costs more than all this
            self.close()
        except (AttributeError, TypeError):  # the interpreter ends, modules are gone
            pass


def _identity(sock: socket.socket) -> tuple[int, int] | None:
    """Return what tells one open file from another; None where nothing does.

    Daemons close every descriptor that they do not know, and open files of their own
    under the same numbers: our bytes must not end up there.
    """
    if os.name == "nt":  # a socket's number there is no file's
        return None
    try:
        found = os.fstat(sock.fileno())
    except OSError:
        return None
    return found.st_dev, found.st_ino


def connect(
    addresses: list[Address], clock: Clock, deadline: float, longest: float
) -> TimedSocket:
    """Return a connection to the first of *addresses* that takes one.

    Each gets *longest* seconds, and no more than its share of what is left until
    *deadline*, so that one that says nothing does not cost the others their turn.

    Raises:
        OSError: If none does; the last one's.
    """
    failed: OSError = TimeoutError()
    for tried, (family, address) in enumerate(addresses):
        left = deadline - clock.monotonic()
        if left <= 0:
            raise TimeoutError
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(min(longest, left / (len(addresses) - tried)))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failed = error
        else:
            return TimedSocket(sock, clock, deadline)
    raise failed
