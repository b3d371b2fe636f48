"""One client's connection: request after request, each under a deadline.

All of this runs on the loop's thread and never waits. Requests are read whole, then
answered one after the other, in the order in which they came.
"""

from __future__ import annotations

import io
import logging
import socket
from enum import Enum, auto
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final

from mbuzz import guard
from mbuzz.server.http.answer import Answer, error_answer, whole_answer
from mbuzz.server.http.call import Call
from mbuzz.server.http.channel import Channel, Way
from mbuzz.server.http.incoming import Incoming
from mbuzz.server.http.loop import READ, WRITE, Handler
from mbuzz.server.http.request_head import Head, RequestError

if TYPE_CHECKING:
    from mbuzz.server.http.deferred import Deferred
    from mbuzz.server.http.service import Service

_logger = logging.getLogger("mbuzz.server")

LINGER: Final = 1.0  # seconds a refused client has to read its answer
_AHEAD: Final = 65_536  # bytes of later requests taken in while one is answered
_LONG: Final = 4_096  # bytes of a body that takes long to begin with


class _State(Enum):
    IDLE = auto()  # nothing of a request is here
    RECEIVING = auto()  # a part is
    ANSWERING = auto()  # it is run, or its answer leaves
    LINGERING = auto()  # all is said; the client has a moment to read that
    CLOSED = auto()


# Looking up a member costs more than comparing it.
_IDLE, _RECEIVING, _ANSWERING, _LINGERING, _CLOSED = _State


class Connection(Handler):
    """Serves one client, whose socket it owns."""

    __slots__ = (
        "_address",
        "_channel",
        "_deferred",
        "_ended",
        "_head",
        "_incoming",
        "_keep",
        "_lingers",
        "_service",
        "_state",
        "_whole",
    )

    def __init__(
        self, raw: socket.socket, address: tuple[Any, ...], service: Service
    ) -> None:
        super().__init__()
        self._address = address
        self._service = service
        self._channel = Channel(raw, service.loop, self)
        self._incoming = Incoming()
        self._state = _IDLE
        self._ended = False  # the client sends no more
        self._head: Head | None = None  # of the request that is answered
        self._deferred: Deferred | None = None
        self._whole = False  # nothing is to be added to the answer
        self._keep = False  # another request may follow it
        self._lingers = False  # the client may still be sending

    def open(self) -> None:
        """Wait for the first request."""
        self._service.open.add(self)
        self._channel.resume_reading()
        self._service.loop.set_deadline(self, self._service.request_timeout)

    def turn_away(self, answer: bytes) -> None:
        """Say *answer* to a client there is no room for, and nothing else."""
        self._lingers = True
        self.put(answer)
        self.done(keep=False)

    def handle(self, events: int) -> None:
        """Read and write what is possible without waiting."""
        try:
            if events & WRITE and self._state is not _CLOSED:
                self._flush()
            if events & READ and self._state is not _CLOSED:
                self._read()
        except OSError:  # reset: whoever wrote that does not read, either
            self.close()

    def expire(self) -> None:
        """Cut a client that took too long; tell it, if it listens."""
        if self._state is _RECEIVING:
            timeout = self._service.request_timeout
            sentence = f"The request did not arrive within {timeout:g} s."
            self._refuse(RequestError(sentence, 408))
        else:
            self.close()

    def abandon(self) -> None:
        """Close at once."""
        self.close()

    def stop(self) -> None:
        """Close if no request is under way; its answer else is the last."""
        if self._state is _IDLE:
            self.close()

    def expel(self) -> None:
        """Give back the memory of what a slow client sends, or does not take."""
        if self._state is _RECEIVING:
            self._refuse(_no_memory())
        elif self._channel.size:
            _logger.debug("client cut, too slow (waiting=%d)", self._channel.size)
            self.close()

    def close(self) -> None:
        """Let the client, the application and all memory of them go."""
        if self._state is _CLOSED:
            return
        self._state = _CLOSED
        self._service.loop.deadlines.forget(self)
        self._service.open.discard(self)
        self._incoming = Incoming()
        self._deferred = None
        self._service.hold(self, 0)
        self._channel.close()

    # The request

    def _read(self) -> None:
        data = self._channel.read()
        if data is None:
            return
        if not data:
            self._ended = True
            self._channel.pause_reading()
        if self._state is _LINGERING:
            if not data:
                self.close()
            return
        self._incoming.feed(data)
        if self._state is not _ANSWERING:
            self._advance()
        elif len(self._incoming) > _AHEAD:
            self._channel.pause_reading()

    def _advance(self) -> None:
        """Answer the next request, if it is here whole."""
        if self._state is _CLOSED:
            return
        try:
            request = self._incoming.next(self._service.max_body_bytes)
        except RequestError as error:
            self._refuse(error)
            return
        if request is not None:
            self._answer(*request)
        elif self._ended:
            self.close()
        elif self._incoming.begun:
            self._receive_more()
        elif self._state is not _IDLE:
            self._rest()

    def _receive_more(self) -> None:
        """Wait for the rest of a request."""
        if self._state is not _RECEIVING:
            self._state = _RECEIVING
            self._service.loop.set_deadline(self, self._service.request_timeout)
            self._channel.resume_reading()
        self._service.hold(self, len(self._incoming))
        if self._state is _RECEIVING and self._incoming.wants_continue():
            self.put(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _rest(self) -> None:
        """Wait for another request."""
        self._state = _IDLE
        if self._service.stopping:
            self.close()
            return
        self._channel.resume_reading()
        self._service.loop.set_deadline(self, self._service.idle_timeout)

    def _refuse(self, error: RequestError) -> None:
        """Answer in the application's place and let the client read that.

        Closing with unread bytes of the client's would reset the connection, and the
        answer with it; so what still comes is thrown away for a moment.
        """
        retry = b"Retry-After: 1\r\n" if error.status == 503 else b""
        self._state = _ANSWERING
        self.due = inf
        self._lingers = True
        self._incoming = Incoming()
        self.put(error_answer(error.status, str(error), retry))
        self.done(keep=False)

    # The answer

    def _answer(self, head: Head, body: bytes) -> None:
        self._state = _ANSWERING
        self.due = inf
        self._head = head
        service = self._service
        environ = {
            **service.environ,
            **head.headers,
            "REQUEST_METHOD": head.method,
            "PATH_INFO": head.path,
            "QUERY_STRING": head.query,
            "SERVER_PROTOCOL": "HTTP/1.1" if head.minor else "HTTP/1.0",
            "REMOTE_ADDR": self._address[0],
            "REMOTE_PORT": str(self._address[1]),
            "wsgi.input": io.BytesIO(body),
        }
        if service.begin is None or head.method != "POST":
            self._service.hold(self, len(body) + len(self._incoming))
            self._call(environ, head)
        elif len(body) < _LONG or service.held + len(body) > service.max_held:
            self._offer(environ, head, len(body))
        else:  # after whoever asks for little, while there is room to wait
            service.hold(self, len(body) + len(self._incoming))
            service.loop.call_long(self, self._offer, environ, head, len(body))

    def _offer(self, environ: dict[str, Any], head: Head, size: int) -> None:
        """Begin with a request if the application can, else have it run."""
        if self._state is _CLOSED:
            return
        if guard.attempt(partial(self._begin, environ), self._failed):
            return
        environ["wsgi.input"].seek(0)
        self._service.hold(self, size + len(self._incoming))
        self._call(environ, head)

    def _begin(self, environ: dict[str, Any]) -> bool:
        """Offer a request to the application's fast way; return whether it took it."""
        begin = self._service.begin
        deferred = begin(environ) if begin is not None else None
        if deferred is None:
            return False
        self._deferred = deferred
        deferred.when_done(self._deferred_done)
        return True

    def _deferred_done(self) -> None:
        """Have the answer sent; this may be any thread."""
        self._service.loop.call_soon(self, self._send_deferred)

    def _send_deferred(self) -> None:
        deferred, self._deferred = self._deferred, None
        if deferred is not None:  # else the client is gone
            guard.attempt(partial(self._send_response, deferred), self._failed)

    def _send_response(self, deferred: Deferred) -> bool:
        response = deferred.response()
        keep = self._may_keep()
        http11 = self._head is not None and self._head.minor > 0
        data = whole_answer(response, keep=keep, http11=http11)
        _logger.debug("answered (status=%d)", response.status)
        self.put(data)
        self.done(keep=keep)
        return True

    def _failed(self, error: Exception) -> bool:
        """Answer 500 to a request that the application could not begin or finish."""
        self._deferred = None
        self.put(error_answer(500, "The server failed; it was logged."))
        self.done(keep=False)
        self._service.failed(error)
        return True

    def _call(self, environ: dict[str, Any], head: Head) -> None:
        """Run a request as a WSGI call, on a thread of the pool."""
        service = self._service
        call = Call(
            service.app,
            environ,
            Answer(
                head_only=head.method == "HEAD",
                http11=head.minor > 0,
                keep=self._may_keep,
            ),
            Way(self._channel, self, service.loop),
            failed=service.failed,
            again=partial(service.pool.submit, again=True),
        )
        if service.overfull:
            self._refuse(_no_memory())
        elif not service.submit(head.path, call):
            self._refuse(RequestError("Too many requests wait for a thread.", 503))

    def _may_keep(self) -> bool:
        head = self._head
        return head is not None and head.keeps_alive and not self._service.stopping

    def put(self, data: bytes) -> None:
        """Send *data* now as far as the client takes it, the rest when it does."""
        if self._state is _CLOSED:
            return
        waited = self._channel.size
        try:
            self._channel.send(data)
        except OSError:
            self.close()
            return
        if self._channel.size:
            self._service.hold(self, len(self._incoming) + self._channel.size)
            if not waited and self._state is not _RECEIVING:
                self._service.loop.set_deadline(self, self._service.request_timeout)

    def done(self, keep: bool) -> None:  # noqa: FBT001 - as `Way` calls it
        """Go on once all that was put has left."""
        if self._state is _CLOSED:
            return
        self._whole = True
        self._keep = keep
        if not self._channel.size:
            self._next()

    def _flush(self) -> None:
        self._channel.flush()
        self._service.hold(self, len(self._incoming) + self._channel.size)
        if self._state is not _ANSWERING:
            return
        if not self._channel.size:
            self.due = inf
            if self._whole:
                self._next()
        elif self._channel.moved():
            self._service.loop.set_deadline(self, self._service.request_timeout)

    def _next(self) -> None:
        """Take the next request up, or end."""
        self._whole = False
        self._head = None
        self._service.hold(self, len(self._incoming))
        if not self._keep or self._service.stopping:
            self._leave()
        elif self._incoming.begun or self._ended:
            # Not at once: many small requests in a row would nest as deeply.
            self._service.loop.call_soon(self, self._advance)
        else:
            self._rest()

    def _leave(self) -> None:
        """Close, at once only if the client has nothing under way to us."""
        if self._ended or not (self._lingers or self._incoming.begun):
            self.close()
            return
        self._state = _LINGERING
        self._incoming = Incoming()
        self._service.hold(self, 0)
        self._channel.finish()
        self._channel.resume_reading()
        self._service.loop.set_deadline(self, LINGER)


def _no_memory() -> RequestError:
    return RequestError("The server has no memory left for slow clients.", 503)
