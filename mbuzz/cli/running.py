"""Running servers from the command line: ports, and an orderly end."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mbuzz.cli.console import CliError
from mbuzz.server.app import Application, create_app
from mbuzz.server.http.wsgi_server import WSGIServer
from mbuzz.server.settings import ServerSettings
from mbuzz.server.storage.port import StorageError


def open_app(settings: ServerSettings) -> Application:
    """Return the backend.

    Raises:
        CliError: If its database cannot be used.
    """
    try:
        return create_app(settings)
    except StorageError as error:
        raise CliError(str(error)) from None


def listen(app: Callable[..., Any], host: str, port: int, option: str) -> WSGIServer:
    """Return a server bound to *port*; 0 takes a free one.

    Raises:
        CliError: If the port cannot be had; *option* is how to choose another.
    """
    try:
        return WSGIServer(app, host, port)
    except OverflowError:
        raise CliError(f"a port is from 0 to 65535, got {port}") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"port {port} on {host} is in use"
        elif error.errno == errno.EACCES:
            why = f"port {port} on {host} is reserved for the system"
        else:
            why = f"cannot listen on {host} port {port} ({error.strerror or error})"
        raise CliError(f"{why}; choose another with {option}") from None


@contextmanager
def until_stopped() -> Iterator[threading.Event]:
    """Give out an event that Ctrl-C and SIGTERM set."""
    stopped = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stopped.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
