"""What handlers answer with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Final, NamedTuple

from mbuzz.server.http.errors import HttpError

_ENCODER: Final = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, check_circular=False
)

_JSON: Final = ("Content-Type", "application/json; charset=utf-8")

Headers = tuple[tuple[str, str], ...]


class Response(NamedTuple):
    """An HTTP answer."""

    status: int = 200
    body: bytes = b""
    headers: Headers = ()

    @property
    def status_line(self) -> str:
        """Return the status with its reason, as WSGI wants it."""
        return _status_line(self.status)

    def with_headers(self, headers: Sequence[tuple[str, str]]) -> Response:
        """Return the same answer with more headers."""
        return Response(self.status, self.body, (*self.headers, *headers))


@cache
def _status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def json_response(
    value: Mapping[str, object], status: int = 200, headers: Headers = ()
) -> Response:
    """Return *value* as JSON."""
    return Response(status, _ENCODER.encode(value).encode(), (_JSON, *headers))


def html_response(page: str, status: int = 200, headers: Headers = ()) -> Response:
    """Return a page that may load its own style and script, and nothing else."""
    policy = (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    return Response(
        status=status,
        body=page.encode(),
        headers=(
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
            *headers,
        ),
    )


def text_response(text: str, content_type: str, headers: Headers = ()) -> Response:
    """Return *text* as it is."""
    return Response(
        body=text.encode(),
        headers=(("Content-Type", f"{content_type}; charset=utf-8"), *headers),
    )


def redirect(path: str, headers: Headers = ()) -> Response:
    """Send the browser to *path* with a GET."""
    return Response(status=303, headers=(("Location", path), *headers))


def error_response(error: HttpError) -> Response:
    """Return an error as JSON: a sentence, a machine word, perhaps details."""
    value: dict[str, object] = {"error": error.sentence, "code": error.code}
    if error.details:
        value["details"] = list(error.details)
    return json_response(value, error.status, tuple(error.headers))
