"""The two cookies: read defensively, always built anew."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from mbuzz import protocol

_LONGEST_HEADER = 65_536
_MOST_COOKIES = 500
_LONGEST_AGE = 400 * 86_400  # seconds; browsers cut there (RFC 6265bis)
_PATTERNS = {
    protocol.VISITOR_COOKIE: protocol.COOKIE_VISITOR_ID,
    protocol.SESSION_COOKIE: protocol.COOKIE_SESSION_ID,
}
# Possessive: what is no id is looked at once, however long the header is.
_FINDERS = {
    name: re.compile(rf'{name}="?+((?>{one.pattern}))"?+[ \t]*+(?=[;,]|\Z)').finditer
    for name, one in _PATTERNS.items()
}
_MAX_AGE = re.compile(
    r";\s*max-age\s*=\s*(\d{1,10})\s*(?:;|$)", re.IGNORECASE | re.ASCII
)


def read_cookie(header: str, name: str) -> str | None:
    """Return the first well-formed value of one of our cookies.

    Other cookies are not parsed: one odd cookie makes the standard parser drop all.
    Commas separate too, since some servers join split cookie headers with them.
    """
    for match in _FINDERS[name](header):
        at = match.start()
        if at == 0 or header[at - 1] in "; \t,":
            return match[1]
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


def set_cookies(cookies: Iterable[Cookie]) -> list[tuple[str, str]]:
    """Return the headers that carry *cookies*."""
    return [("Set-Cookie", cookie.header()) for cookie in cookies]


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
