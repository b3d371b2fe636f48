"""One WSGI call: run on threads of the pool, its bytes handed to the loop.

A client that reads slowly must not hold a thread: when more than a little of a body
waits to leave, the call is put aside, and goes on, perhaps on another thread but in
the same context variables, once the client has read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

from mbuzz import guard

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from mbuzz.server.http.answer import Answer, ExcInfo

_logger = logging.getLogger("mbuzz.server")


class ClientGoneError(Exception):
    """The client went away, or stopped reading its answer."""


class Outlet(Protocol):
    """Where an answer goes; its methods may be called from any thread."""

    @property
    def full(self) -> bool:
        """Tell whether enough waits to leave for now."""
        ...

    @property
    def gone(self) -> bool:
        """Tell whether nobody reads this any more."""
        ...

    def put(self, data: bytes) -> None:
        """Send *data* after what was put before."""
        ...

    def done(self, *, keep: bool) -> None:
        """Say that the answer is whole, or given up."""
        ...

    def later(self, resume: Callable[[], object]) -> None:
        """Call *resume* once when there is room, or the client is gone."""
        ...

    def wait(self) -> None:
        """Return when there is room, or the client is gone."""
        ...


class Call:
    """Calls an application once; to be called itself, and again after `later`."""

    def __init__(
        self,
        app: WSGIApplication,
        environ: dict[str, Any],
        answer: Answer,
        outlet: Outlet,
        *,
        failed: Callable[[Exception], object],
        again: Callable[[Callable[[], object]], object],
    ) -> None:
        self._app = app
        self._environ = environ
        self._answer = answer
        self._outlet = outlet
        self._report = failed
        self._again = again
        self._context = copy_context()
        self._result: Iterable[Any] | None = None
        self._pieces: Iterator[Any] | None = None

    def __call__(self) -> None:
        """Run the application as far as its client reads."""
        self._context.run(guard.attempt, self._advance, self._broken)

    def _advance(self) -> None:
        if self._pieces is None:
            result: Any = self._app(self._environ, self._start_response)
            self._result = result
            if isinstance(result, list | tuple | bytes) and not self._answer.begun:
                body = result if isinstance(result, bytes) else b"".join(result)
                self._put(*self._answer.whole(body))
                self._finish()
                return
            self._pieces = iter(result)
        if self._outlet.gone:
            raise ClientGoneError
        for piece in self._pieces:
            self._put(self._answer.piece(piece))
            if self._answer.begun and self._answer.bodiless:
                break  # the rest would not be sent either
            if self._outlet.full:
                self._outlet.later(self._resume)
                return
        self._put(*self._answer.end())
        self._finish()

    def _resume(self) -> None:
        self._again(self)

    def _start_response(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: ExcInfo | None = None,
        /,
    ) -> Callable[[bytes], object]:
        self._answer.start(status, headers, exc_info)
        return self._write

    def _write(self, data: bytes) -> None:
        """Send a piece now: what PEP 3333 keeps for old applications."""
        self._put(self._answer.piece(data))
        if self._outlet.full:
            self._outlet.wait()

    def _put(self, *parts: bytes) -> None:
        if self._outlet.gone:
            raise ClientGoneError
        for data in parts:
            if data:
                self._outlet.put(data)

    def _finish(self) -> None:
        self._close()
        _logger.debug("answered (status=%d)", self._answer.status)
        self._outlet.done(keep=self._answer.keep_alive)

    def _close(self) -> None:
        """Let the application clean up, once."""
        result, self._result = self._result, None
        close = getattr(result, "close", None)
        if close is not None:
            close()

    def _broken(self, error: Exception) -> None:
        guard.attempt(self._close, self._report)
        if isinstance(error, ClientGoneError):
            _logger.debug("client gone (status=%d)", self._answer.status)
        elif failure := self._answer.failure():
            self._outlet.put(failure)
        self._outlet.done(keep=False)
        if not isinstance(error, ClientGoneError):
            self._report(error)
