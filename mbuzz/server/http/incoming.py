"""What a client has sent so far: bytes in, whole requests out, no sockets."""

from __future__ import annotations

from typing import Final

from mbuzz.server.http.request_head import (
    MAX_HEAD,
    MAX_HEADERS,
    MAX_LINE,
    Head,
    RequestError,
    check_line,
    read_head,
)

_EMPTY_LINES: Final = (b"\r\n", b"\n")


class Incoming:
    """The bytes of one connection that are not yet an answered request."""

    __slots__ = (
        "_buffer",
        "_continued",
        "_first",
        "_head",
        "_line",
        "_lines",
        "_need",
        "_skipped",
    )

    def __init__(self) -> None:
        self._buffer: bytes | bytearray = b""
        self._head: Head | None = None
        self._continued = False  # the client was told to go on
        self._begin()

    def __len__(self) -> int:
        """Return how many bytes wait here."""
        return len(self._buffer)

    @property
    def begun(self) -> bool:
        """Tell whether a part of a request is here."""
        return bool(self._buffer) or self._head is not None

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        if not self._buffer:
            self._buffer = data  # most requests are this one piece
            return
        if isinstance(self._buffer, bytes):
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    def next(self, max_body: int) -> tuple[Head, bytes] | None:
        """Return the next request with its body, None until it is here whole.

        Raises:
            RequestError: If it is malformed, ambiguous or over a limit; as soon as
                that can be seen.
        """
        head = self._head
        if head is None:
            head = self._read_head(max_body)
            if head is None:
                return None
        need = self._need
        if len(self._buffer) < need:
            return None
        buffer = self._buffer
        if len(buffer) == need:
            body, self._buffer = bytes(buffer), b""
        else:
            body, self._buffer = bytes(buffer[:need]), bytes(buffer[need:])
        self._begin()
        return head, body

    def wants_continue(self) -> bool:
        """Tell, once for a request, whether its client waits to send the body."""
        if self._head is None or self._continued or not self._head.expects_continue():
            return False
        self._continued = True
        return self._need > 0

    def _begin(self) -> None:
        self._head = None
        self._need = 0  # bytes of body
        self._line = 0  # where the first line begins that is not looked at
        self._lines = 0  # how many were
        self._first = 0  # where the second of them begins
        self._skipped = False
        self._continued = False

    def _read_head(self, max_body: int) -> Head | None:
        """Return the head if it is here whole, and take it off the buffer."""
        if self._buffer[:1] in (b"\r", b"\n") and not self._skip():
            return None
        end = self._head_end()
        if end < 0:
            return None
        block = bytes(self._buffer[:end])
        head = read_head(block)
        head.expects_continue()  # it may expect the moon
        self._need = head.body_length(max_body)
        begin = end + (2 if self._buffer[end : end + 1] == b"\r" else 1)
        self._buffer = self._buffer[begin:]
        self._head = head
        return head

    def _skip(self) -> bool:
        """Drop one empty line, with which some clients end their bodies."""
        for line in _EMPTY_LINES:
            if self._buffer.startswith(line):
                if self._skipped:
                    raise RequestError("The request line is malformed.")
                self._skipped = True
                self._buffer = self._buffer[len(line) :]
                return bool(self._buffer)
        if len(self._buffer) > 1:
            raise RequestError("The head has a control character.")
        return False  # a carriage return, and its line feed is on the way

    def _head_end(self) -> int:
        """Return where the empty line after the head begins, -1 if not here.

        Each byte is looked at once, however slowly they drip in.
        """
        buffer = self._buffer
        if not self._line:
            end = buffer.find(b"\n\r\n")
            if end >= 0 and buffer.find(b"\n\n", 0, end) < 0:
                return end + 1
        while True:
            at = buffer.find(b"\n", self._line)
            length = (at if at >= 0 else len(buffer)) - self._line
            if length > MAX_LINE or not self._line:
                check_line(buffer[: length + 1], MAX_LINE)
            if length > MAX_LINE:
                raise RequestError(f"A header line exceeds {MAX_LINE} bytes.", 431)
            if at < 0:
                return -1
            if self._line and (not length or buffer[self._line : at] == b"\r"):
                return self._line
            self._count_line(at)

    def _count_line(self, at: int) -> None:
        self._lines += 1
        self._line = at + 1
        self._first = self._first or self._line
        if self._lines > MAX_HEADERS + 1:
            raise RequestError(f"More than {MAX_HEADERS} headers were sent.", 431)
        if self._line - self._first > MAX_HEAD:
            raise RequestError(f"The headers exceed {MAX_HEAD} bytes.", 431)
