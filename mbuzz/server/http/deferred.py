"""The fast way into an application: answers that somebody else completes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mbuzz.server.http.response import Response


class Deferred(Protocol):
    """An answer that is on its way, such as one that waits for a commit."""

    def when_done(self, callback: Callable[[], None], /) -> None:
        """Call *callback* once, when `response` is ready: on any thread, or at once."""
        ...

    def response(self) -> Response:
        """Return the answer; called earlier than done, it waits."""
        ...


class Done:
    """An answer that is there already."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def when_done(self, callback: Callable[[], None], /) -> None:
        """Call *callback* at once."""
        callback()

    def response(self) -> Response:
        """Return the answer."""
        return self._response


class Begins(Protocol):
    """What an application offers that need not occupy a thread while it waits."""

    def begin(self, environ: dict[str, Any], /) -> Deferred | None:
        """Take a POST on the server's one loop, which must not be held up.

        None declines: the request is then run as a WSGI call, in a thread.
        """
        ...

    def settle(self) -> bool:
        """Go on with what was begun; called after each round of requests.

        On the loop as well, so for some ms at most: True asks for another call once
        the loop has looked at who else is waiting.
        """
        ...
