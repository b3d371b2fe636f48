"""What a handler may ask of an HTTP request; here all from outside is bounded."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from mbuzz import protocol
from mbuzz.server.http.errors import HttpError
from mbuzz.server.model import EMPTY

Environ = Mapping[str, Any]


class Request:
    """One HTTP request, read from its WSGI environ when asked."""

    def __init__(self, environ: Environ) -> None:
        self.environ = environ
        self.method = str(environ.get("REQUEST_METHOD", "GET")).upper()
        path = str(environ.get("PATH_INFO", "")) or "/"
        if not path.isascii():
            path = path.encode("latin-1", "replace").decode("utf-8", "replace")
        self.path = path
        self.parameters: Mapping[str, str] = EMPTY  # of the path, by name
        self.route = ""  # the path as the table of routes has it, once that is known
        self.key_id = ""  # the public id of the key that it came with
        self.answer_headers: list[tuple[str, str]] = []  # of whatever is answered
        self._body: bytes | None = None

    def header(self, name: str) -> str | None:
        """Return a header by its name, such as ``X-Idempotency-Key``."""
        value = self.environ.get(_variable(name))
        return str(value) if value else None

    @property
    def secure(self) -> bool:
        """Tell whether the browser speaks https, as far as the server knows."""
        return self.environ.get("wsgi.url_scheme") == "https"

    @property
    def host(self) -> str:
        """Return the host and port that the client asked for."""
        return self.header("Host") or ""

    def query(self) -> dict[str, str]:
        """Return the query parameters; the last of a repeated one.

        Raises:
            HttpError: If there are too many.
        """
        text = str(self.environ.get("QUERY_STRING", ""))
        try:
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100))
        except ValueError:
            raise HttpError(400, "bad_request", "the query cannot be read") from None

    def cookie(self, name: str) -> str | None:
        """Return a cookie's value, the first of several.

        Not by `http.cookies`: it stops at the first cookie it finds malformed, such
        as another program's with JSON inside, and what comes after that is lost.
        """
        cookies = self.environ.get("HTTP_COOKIE")
        if not cookies:
            return None
        for pair in str(cookies).split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                return value
        return None

    def body(self) -> bytes:
        """Return the body, unpacked.

        Raises:
            HttpError: If it is too large, or packed in a way that is not known.
        """
        if self._body is None:
            self._body = self._unpack(self._read())
        return self._body

    def _read(self) -> bytes:
        text = self.header("Content-Length")
        if text is None:
            return self._read_to_end()
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise HttpError(400, "bad_request", "Content-Length must be a number")
        size = int(text)
        if size > protocol.MAX_BODY_BYTES:
            _too_large(f"a body may have {protocol.MAX_BODY_BYTES} bytes, not {size}")
        body: bytes = self.environ["wsgi.input"].read(size)
        if len(body) < size:
            raise HttpError(400, "bad_request", "the body ended before its length")
        return body

    def _read_to_end(self) -> bytes:
        """Return a body without a declared length.

        There is none, unless a server such as Gunicorn has taken the chunks of one
        apart: then it says that its stream ends.
        """
        if not self.environ.get("wsgi.input_terminated"):
            return b""
        body: bytes = self.environ["wsgi.input"].read(protocol.MAX_BODY_BYTES + 1)
        if len(body) > protocol.MAX_BODY_BYTES:
            _too_large(f"a body may have {protocol.MAX_BODY_BYTES} bytes")
        return body

    def _unpack(self, body: bytes) -> bytes:
        coding = (self.header("Content-Encoding") or "identity").strip().lower()
        if coding == "identity":
            return body
        if coding != "gzip":
            raise HttpError(
                415,
                "unsupported_media_type",
                f"Content-Encoding must be gzip or absent, not {coding[:40]!r}",
            )
        unpacker = zlib.decompressobj(wbits=31)
        try:
            unpacked = unpacker.decompress(body, protocol.MAX_UNPACKED_BYTES + 1)
        except zlib.error:
            raise HttpError(400, "bad_request", "the body is not gzip") from None
        if len(unpacked) > protocol.MAX_UNPACKED_BYTES:
            limit = protocol.MAX_UNPACKED_BYTES
            _too_large(f"an unpacked body may have {limit} bytes")
        if not unpacker.eof or unpacker.unused_data:
            raise HttpError(400, "bad_request", "the body is not one whole gzip")
        return unpacked

    def json(self) -> object:
        """Return the body as JSON.

        Raises:
            HttpError: If it is none.
        """
        body = self.body()
        try:
            # A byte order mark is no part of JSON, but editors and shells write it.
            text = body.decode("utf-8-sig")
            if not text or text.isspace():
                raise ValueError("it is empty")
            return _DECODER.decode(text)
        except RecursionError:
            why = "it is nested too deeply"
        except ValueError as error:
            why = str(error)[:120]
        raise HttpError(400, "invalid_json", f"the body must be JSON: {why}")

    def json_object(self) -> dict[str, object]:
        """Return the body as a JSON object.

        Raises:
            HttpError: If it is none.
        """
        value = self.json()
        if not isinstance(value, dict):
            raise HttpError(400, "invalid_json", "the body must be a JSON object")
        return value

    def form(self) -> dict[str, str]:
        """Return the fields of a submitted HTML form.

        Raises:
            HttpError: If it is none.
        """
        try:
            text = self.body().decode("utf-8")
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100))
        except ValueError:
            raise HttpError(400, "bad_request", "the form cannot be read") from None


@lru_cache(maxsize=64)
def _variable(header: str) -> str:
    """Return the name that WSGI has for a header."""
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)


def _too_large(sentence: str) -> NoReturn:
    raise HttpError(413, "payload_too_large", f"{sentence}; send smaller batches")
