"""A simulated browser: real HTTP, and cookies that expire in simulated time."""

from __future__ import annotations

from http.client import HTTPConnection
from http.cookies import SimpleCookie
from urllib.parse import urlencode

_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36"
)
_NAVIGATION = {
    "User-Agent": _AGENT,
    "Accept": "text/html,application/xhtml+xml",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


class Browser:
    """One device of one person."""

    def __init__(self, connection: HTTPConnection, origin: str) -> None:
        self._connection = connection
        self._origin = origin
        self._cookies: dict[str, tuple[str, int]] = {}  # value, expires (UTC ms)
        self._page = ""

    def arrive(self, path: str, at_ms: int, referrer: str = "") -> None:
        """Open the site from elsewhere; typed addresses have no referrer."""
        self._page = referrer
        self._open("GET", path, at_ms)

    def click(self, path: str, at_ms: int) -> None:
        """Follow a link on the page."""
        self._open("GET", path, at_ms)

    def submit(self, path: str, fields: dict[str, str], at_ms: int) -> None:
        """Submit a form and follow the redirect."""
        location = self._open("POST", path, at_ms, urlencode(fields).encode())
        if location:
            self._open("GET", location, at_ms)

    def _open(
        self, method: str, path: str, at_ms: int, body: bytes | None = None
    ) -> str | None:
        headers = {**_NAVIGATION, "X-Demo-Time": str(at_ms)}
        if self._page:
            headers["Referer"] = self._page
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        cookies = [
            f"{name}={value}"
            for name, (value, expires) in self._cookies.items()
            if expires > at_ms
        ]
        if cookies:
            headers["Cookie"] = "; ".join(cookies)
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        answer.read()
        for line in answer.headers.get_all("Set-Cookie") or ():
            for name, morsel in SimpleCookie(line).items():
                lives_ms = int(morsel["max-age"] or 0) * 1000
                self._cookies[name] = (morsel.value, at_ms + lives_ms)
        if method == "GET":
            self._page = f"{self._origin}{path}"
        return answer.headers.get("Location")
