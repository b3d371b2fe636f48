"""What delivery needs of a connection to the API, and nothing heavier."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol
else:
    Protocol = object  # importing typing costs more than this whole package


class TransportError(Exception):
    """No usable answer came; whether the request arrived cannot be known.

    The text is one word for logs and counters, `TimeoutError` or `bad_answer`.
    """


class Response:
    """An HTTP answer; header names are lower-case, repeated headers a tuple."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self, *, status: int, headers: Mapping[str, tuple[str, ...]], body: bytes
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def header(self, name: str) -> str | None:
        """Return the first header of that (lower-case) name."""
        values = self.headers.get(name)
        return values[0] if values else None


class Transport(Protocol):
    """What delivery needs of a connection; `mbuzz.testing` has one without sockets."""

    def post(
        self, path: str, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> Response:
        """Send *body* and return the answer within *timeout* seconds.

        Raises:
            TransportError: If no usable answer came in time.
        """

    def close(self) -> None:
        """Let the connection go."""
