"""Names to addresses, with a deadline: the system's own lookup has none."""

from __future__ import annotations

import os
import socket
import threading

from mbuzz import guard
from mbuzz.delivery.transport import TransportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mbuzz.delivery.timed_socket import Address

_MOST_KNOWN = 16  # hosts; a process has an API and perhaps a proxy

# Of the process, not of a connection: a lookup that hangs would otherwise be begun
# again by every connection that is made after it.
_under_way: dict[str, _Lookup] = {}
_known: dict[str, list[Address]] = {}


def addresses(host: str, port: int, timeout: float) -> list[Address]:
    """Return where *host* is reached, best first, within *timeout* seconds.

    The name is looked up by a thread of its own, one for each host, that goes on when
    the caller has given up. Where no thread starts, what was found last time must do.

    Raises:
        TransportError: If nobody knows the host.
        TimeoutError: If nobody knows it in time.
    """
    number = _number(host, port)
    if number is not None:
        return [number]
    lookup = _Lookup(host)
    current = _under_way.setdefault(host, lookup)
    if current.pid != lookup.pid:  # the parent's, whose threads are not here
        current = _under_way[host] = lookup
    if current is lookup:
        lookup.start()
    found = current.wait(timeout)
    return [(family, (at[0], port, *at[2:])) for family, at in found]


def _number(host: str, port: int) -> Address | None:
    """Return the address that *host* already is; no thread needs to look it up."""
    for family, rest in ((socket.AF_INET, ()), (socket.AF_INET6, (0, 0))):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return family, (host, port, *rest)
    return None


class _Lookup:
    """One question to the system, and whoever waits for its answer."""

    def __init__(self, host: str) -> None:
        self.pid = os.getpid()
        self._host = host
        self._done = False
        self._found: list[Address] = []
        self._failure = ""
        # An Event has a lock that a signal handler in the same thread would wait for.
        self._gates: list[threading.Lock] = []

    def start(self) -> None:
        """Ask in a thread, or do without one."""
        thread = threading.Thread(target=self._run, name="mbuzz-resolver", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # at the interpreter's end, or a limit of the system
            if self._host in _known:
                self._settle(_known[self._host])
            else:
                self._run()

    def _run(self) -> None:
        self._settle(guard.attempt(self._ask, self._failed))

    def _ask(self) -> list[Address]:
        found = socket.getaddrinfo(self._host, None, type=socket.SOCK_STREAM)
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        unique: dict[Address, None] = {(entry[0], entry[4]): None for entry in found}
        _known[self._host] = list(unique)
        return list(unique)

    def _failed(self, error: Exception) -> list[Address]:
        self._failure = type(error).__name__
        return []

    def _settle(self, found: list[Address]) -> None:
        self._found = found
        self._done = True
        if _under_way.get(self._host) is self:
            del _under_way[self._host]
        for gate in list(self._gates):
            gate.release()

    def wait(self, timeout: float) -> list[Address]:
        """Return the answer; for its errors see `addresses`."""
        if not self._done:
            gate = threading.Lock()
            gate.acquire()
            self._gates.append(gate)
            if not self._done and not gate.acquire(timeout=max(timeout, 0.0)):
                self._gates.remove(gate)  # or they pile up while it hangs
                raise TimeoutError
        if not self._found:
            raise TransportError(self._failure or "gaierror")
        return self._found
