"""Running servers from the command line: ports, and an orderly end."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any

from mbuzz.cli.console import CliError
from mbuzz.server.http import listener
from mbuzz.server.http.wsgi_server import WSGIServer

_LOOK = 0.2  # seconds
# The address is some other machine's, or its name is nobody's; `socket.create_server`
# makes a plain OSError of the latter.
_NO_ADDRESS = (errno.EADDRNOTAVAIL, socket.EAI_NONAME, socket.EAI_AGAIN)


def listen(
    app: Callable[..., Any], host: str, port: int, option: str, **limits: Any
) -> WSGIServer:
    """Return a server bound to *port*; 0 takes a free one.

    *limits* are arguments of `WSGIServer`.

    Raises:
        CliError: If the port cannot be had; *option* is how to choose another.
    """
    if not 0 <= port <= 65_535:
        raise CliError(f"a port is from 0 to 65535, got {port}")
    try:
        return WSGIServer(app, host, port, **limits)
    except OSError as error:
        raise CliError(_refused(error, host, port, option)) from None


def try_port(host: str, port: int, option: str) -> None:
    """Listen for a moment, so that a port that is taken is told before all else.

    A second `mbuzz serve` by mistake, maybe of a newer version, must not get as far
    as the database of the first.

    Raises:
        CliError: If the port cannot be had; *option* is how to choose another.
    """
    try:
        listener.listen(host, port).close()
    except OSError as error:
        raise CliError(_refused(error, host, port, option)) from None


def _refused(error: OSError, host: str, port: int, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        why = f"port {port} on {host} is in use"
    elif error.errno == errno.EACCES:
        why = f"port {port} on {host} is reserved for the system"
    elif error.errno in _NO_ADDRESS:
        return (
            f"cannot listen on {host}: it is no address of this machine; "
            "choose another with --host"
        )
    else:
        why = f"cannot listen on {host} port {port} ({error.strerror or error})"
    return f"{why}; choose another with {option}"


class Stop:
    """Whether the process is to end; a signal's handler may say so at any moment.

    Not a `threading.Event`: the handler runs in between two instructions of the main
    thread, which may hold the event's lock just then, and would wait for itself.
    """

    def __init__(self) -> None:
        self._told: SimpleQueue[None] = SimpleQueue()  # may be put to by handlers
        self._is_set = False

    def set(self) -> None:
        """Say so."""
        self._is_set = True
        self._told.put(None)

    def is_set(self) -> bool:
        """Tell whether somebody has."""
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Wait until somebody does, for so long; return whether somebody has."""
        if not self._is_set:
            with suppress(Empty):
                self._told.get(timeout=seconds)
        return self._is_set


def wait_for(stopped: Stop) -> None:
    """Return once *stopped* is set.

    The system may hand a signal to any thread, and Python runs its handler on this
    one, but does not wake it for that: so it looks by itself now and then.
    """
    while not stopped.wait(_LOOK):
        pass


@contextmanager
def until_stopped(*, insist: bool = True) -> Iterator[Stop]:
    """Give out what Ctrl-C and SIGTERM set; a second one ends the process.

    What was answered is on disk by then, so that loses nothing but answers. Where
    something is cleared away at the end nobody may *insist*.
    """
    stopped = Stop()

    def stop(number: int, _: object) -> None:
        if stopped.is_set() and insist:
            os._exit(128 + number)
        stopped.set()

    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
