"""HTTP/1.1 answers, read strictly: whole and well-formed, or an error."""

from __future__ import annotations

from mbuzz.delivery.transport import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Headers = dict[str, tuple[str, ...]]

_LARGEST_HEAD = 65_536  # bytes, interim answers included
_MOST_HEADERS = 200
_LARGEST_BODY = 4_194_304  # bytes; an answer to 500 events has about 100 KiB
_LONGEST_LINE = 4_096  # bytes; a chunk's size and its extensions
_START, _HEAD_END = b"HTTP/1.", b"\r\n\r\n"
_HEX = frozenset(b"0123456789abcdefABCDEF")


class AnswerError(OSError):
    """No whole answer came; *reason* is the word for logs and counters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AnswerReader:
    """Reads one answer from what *receive* returns: some bytes, none at the end."""

    __slots__ = ("_begun", "_data", "_receive")

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._begun = False
        self._data = bytearray()

    def read(self, *, tunnel: bool = False) -> tuple[Response, bool]:
        """Return the answer, and whether the connection may be used again.

        A *tunnel* has no body when the proxy has opened it.

        Raises:
            AnswerError: If it is not HTTP, or ends too early.
            ValueError: If its body has more than 4 MiB.
        """
        version, status, headers = self._head()
        if status in (204, 304) or (tunnel and 200 <= status < 300):
            body, ended = b"", False
        else:
            body, ended = self._body(headers)
        answer = Response(status=status, headers=headers, body=body)
        return answer, not (ended or self._data) and _keeps(version, headers)

    def _more(self) -> None:
        data = self._receive()
        if not data:
            raise AnswerError("IncompleteRead" if self._begun else "RemoteDisconnected")
        self._begun = True
        self._data += data

    def _cut(self, length: int, skip: int = 0) -> bytes:
        """Take *length* bytes, and *skip* more that nobody needs."""
        found = bytes(self._data[:length])
        del self._data[: length + skip]
        return found

    # -- the head --

    def _head(self) -> tuple[str, int, Headers]:
        left = _LARGEST_HEAD
        while True:
            head = self._until(_HEAD_END, left)
            left -= len(head)
            first, *lines = head.decode("latin-1").split("\r\n")
            version, _, rest = first.partition(" ")
            code = rest[:3]
            if version not in ("HTTP/1.1", "HTTP/1.0") or rest[3:4] not in ("", " "):
                raise AnswerError("bad_answer")
            if not (len(code) == 3 and code.isascii() and code.isdigit()):
                raise AnswerError("bad_answer")
            headers = _headers(lines)
            status = int(code)
            if status < 100 or status == 101:  # nobody asked to switch protocols
                raise AnswerError("bad_answer")
            if status >= 200:
                return version, status, headers

    def _until(self, end: bytes, most: int) -> bytes:
        """Take what comes before *end*, and *end* itself."""
        searched = 0
        while (at := self._data.find(end, searched)) < 0:
            if len(self._data) > most:
                raise AnswerError("bad_answer")
            searched = max(0, len(self._data) - len(end) + 1)
            self._more()
            if end == _HEAD_END and self._data[:7] != _START[: len(self._data)]:
                raise AnswerError(
                    "bad_answer"
                )  # another protocol, whose end may never come
        if at > most:
            raise AnswerError("bad_answer")
        return self._cut(at, len(end))

    # -- the body --

    def _body(self, headers: Headers) -> tuple[bytes, bool]:
        """Return the body, and whether the connection's end was its end."""
        coding = headers.get("transfer-encoding")
        lengths = set(headers.get("content-length", ()))
        if coding is not None:
            if [word.lower() for word in coding] != ["chunked"]:
                raise AnswerError("bad_answer")
            # Two lengths: somebody on the way may believe the other one.
            return self._chunks(), bool(lengths)
        if not lengths:
            return self._rest(), True
        length = lengths.pop()
        if lengths or not (length.isascii() and length.isdigit()) or len(length) > 18:
            raise AnswerError("bad_answer")
        return self._exactly(int(length)), False

    def _exactly(self, length: int) -> bytes:
        if length > _LARGEST_BODY:
            raise ValueError("the answer is too large")
        while len(self._data) < length:
            self._more()
        return self._cut(length)

    def _rest(self) -> bytes:
        while piece := self._receive():
            self._data += piece
            if len(self._data) > _LARGEST_BODY:
                raise ValueError("the answer is too large")
        return self._cut(len(self._data))

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := self._chunk_size():
            if len(body) + size > _LARGEST_BODY:
                raise ValueError("the answer is too large")
            body += self._exactly(size)
            if self._exactly(2) != b"\r\n":
                raise AnswerError("bad_answer")
        left = _LARGEST_HEAD
        while trailer := self._until(b"\r\n", left):
            left -= len(trailer) + 2
        return bytes(body)

    def _chunk_size(self) -> int:
        size = self._until(b"\r\n", _LONGEST_LINE).partition(b";")[0].strip(b" \t")
        if not size or len(size) > 16 or not _HEX.issuperset(size):
            raise AnswerError("bad_answer")
        return int(size, 16)


def _headers(lines: list[str]) -> Headers:
    if len(lines) > _MOST_HEADERS:
        raise AnswerError("bad_answer")
    found: Headers = {}
    name = ""
    for line in lines:
        if line[:1] in (" ", "\t") and name:  # folded, as long ago
            *others, last = found[name]
            found[name] = (*others, f"{last} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not (name.isascii() and name.isprintable()) or " " in name:
            raise AnswerError("bad_answer")
        if not name or "\r" in value or "\n" in value or "\0" in value:
            raise AnswerError("bad_answer")
        found[name] = (*found.get(name, ()), value.strip(" \t"))
    return found


def _keeps(version: str, headers: Headers) -> bool:
    said = ",".join(headers.get("connection", ())).lower()
    words = [word.strip() for word in said.split(",")]
    return "close" not in words and (version == "HTTP/1.1" or "keep-alive" in words)
