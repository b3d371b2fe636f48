"""What a response says of itself: whether it is a page, and who may keep it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

# Any name that ends in -cache-control speaks to one CDN or another.
_WANTED = frozenset(
    "content-type content-disposition x-inertia cache-control surrogate-control "
    "edge-control x-accel-expires".split()
)
_FOR_CDNS = "-cache-control"


class Head(NamedTuple):
    """The start of a response; texts are lower-case."""

    status: int
    content_type: str = ""
    disposition: str = ""
    inertia: bool = False
    shared: bool = False  # caches between here and the browser may keep it

    def may_carry_cookies(self, method: str) -> bool:
        """Tell whether a cookie on this response reaches this browser and no other.

        What a shared cache may keep, it may keep with the cookie (RFC 9111, 7.3); the
        answer to a form is nobody else's.
        """
        if method == "HEAD" or self.status < 200:
            return False
        if method != "GET":
            return True
        return not self.shared and self.status not in (206, 304)


def read_head(status: str | int, headers: Iterable[tuple[str, str]]) -> Head:
    """Return what *headers* say; those of other names are passed over.

    *status* is a number, or a WSGI status line.
    """
    content_type = disposition = ""
    inertia = shared = False
    for given_name, given in headers:
        name = given_name.lower()
        if name not in _WANTED and not name.endswith(_FOR_CDNS):
            continue
        value = given.lower()
        if name == "content-type":
            content_type = value.partition(";")[0].strip()
        elif name == "content-disposition":
            disposition = value.strip()
        elif name == "x-inertia":
            inertia = bool(value)
        elif _is_shared(name, value):
            shared = True
    number = status if isinstance(status, int) else status_code(status)
    return Head(number, content_type, disposition, inertia, shared)


def read_raw_head(status: int, headers: Iterable[tuple[Any, Any]]) -> Head:
    """Return what the headers of an ASGI message say."""
    return read_head(
        status,
        [
            (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
            for name, value in headers
            if not isinstance(name, str)  # as ASGI forbids: for the server to judge
        ],
    )


def _is_shared(name: str, value: str) -> bool:
    """Tell whether a header lets a shared cache keep the response."""
    if name == "x-accel-expires":
        return value.strip() != "0"
    said = {part.strip(" \t") for part in value.replace(";", ",").split(",")}
    if "private" in said or "no-store" in said:
        return False
    if name == "cache-control":  # max-age is for browsers where s-maxage is there, too
        return "public" in said or any(
            part.startswith("s-maxage") and part != "s-maxage=0" for part in said
        )
    return "max-age=0" not in said


def status_code(status: str) -> int:
    """Return the number of a WSGI status line; 0 if there is none."""
    digits = str(status)[:3]
    return int(digits) if digits.isascii() and digits.isdigit() else 0
