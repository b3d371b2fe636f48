"""The two cookies: read defensively, always built anew."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from mbuzz import protocol

_MOST_CANDIDATES = 8
_LONGEST_HEADER = 65_536
_MOST_COOKIES = 500
_LONGEST_AGE = 400 * 86_400  # seconds; browsers cut there (RFC 6265bis)
_PATTERNS = {
    protocol.VISITOR_COOKIE: protocol.COOKIE_VISITOR_ID,
    protocol.SESSION_COOKIE: protocol.COOKIE_SESSION_ID,
}
_MAX_AGE = re.compile(
    r";\s*max-age\s*=\s*(\d{1,10})\s*(?:;|$)", re.IGNORECASE | re.ASCII
)


def read_cookie(header: str, name: str) -> str | None:
    """Return the first well-formed value of one of our cookies.

    Other cookies are not parsed: one odd cookie makes the standard parser drop all.
    Commas separate too, since some servers join split cookie headers with them.
    """
    pattern = _PATTERNS[name]
    mark = f"{name}="
    at = -1
    for _ in range(_MOST_CANDIDATES):
        at = header.find(mark, at + 1)
        if at < 0:
            return None
        if at > 0 and header[at - 1] not in "; \t,":
            continue
        start = at + len(mark)
        if header[start : start + 1] == '"':
            start += 1
        match = pattern.match(header, start)
        if match is None:
            continue
        rest = header[match.end() :].removeprefix('"').lstrip(" \t")
        if not rest or rest[0] in ";,":
            return match[0]
    return None


def read_all(header: str) -> dict[str, str]:
    """Return all cookies by name, as they are; of doubles the first counts."""
    found: dict[str, str] = {}
    for part in header[:_LONGEST_HEADER].split(";"):
        name, equals, value = part.strip(" \t").partition("=")
        if equals and len(found) < _MOST_COOKIES:
            found.setdefault(name, value.strip('"'))
    return found


class Cookie(NamedTuple):
    """One of our cookies, on its way to the browser; an age of 0 takes it away."""

    name: str
    value: str
    max_age: int  # seconds
    secure: bool
    domain: str | None = None

    def header(self) -> str:
        """Return the value of a Set-Cookie header."""
        return (
            f"{self.name}={self.value}; Path=/; Max-Age={self.max_age}; HttpOnly;"
            f" SameSite=Lax{'; Secure' if self.secure else ''}"
            f"{f'; Domain={self.domain}' if self.domain else ''}"
        )


def read_set_cookies(headers: Iterable[str]) -> dict[str, tuple[str, int | None]]:
    """Return what the backend says of our two cookies: value and Max-Age.

    Everything else in its headers is ignored: other names, other attributes, and
    values that are not ids, so that nothing can be smuggled to the browser.
    """
    found: dict[str, tuple[str, int | None]] = {}
    for header in headers:
        name, _, rest = header.partition("=")
        pattern = _PATTERNS.get(name.strip())
        value = rest.partition(";")[0].strip()
        if pattern is None or not pattern.fullmatch(value):
            continue
        age = _MAX_AGE.search(rest)
        found[name.strip()] = (
            value,
            min(int(age[1]), _LONGEST_AGE) if age else None,
        )
    return found
