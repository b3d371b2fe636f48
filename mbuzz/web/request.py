"""A web request as mbuzz sees it, whatever framework serves it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from mbuzz.context import read_traceparent

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_SAFE_IN_PATH = "/:@!$&'()*+,;=~-._"

_LONGEST_URL = 4_096
_LONGEST_REFERRER = 2_048
_LONGEST_AGENT = 1_024


class WebRequest:
    """The parts of a request that tracking reads; headers only when asked for.

    `path` is what the browser asked for, percent-decoded; `cookie` holds all cookie
    headers.
    """

    __slots__ = ("_host", "cookie", "header", "method", "path", "query", "scheme")

    def __init__(
        self,
        *,
        method: str,
        scheme: str,
        host: str,
        path: str,
        query: str,
        cookie: str,
        header: Callable[[str], str | None],
    ) -> None:
        self.method = method
        self.scheme = scheme
        self._host = host
        self.path = path
        self.query = query
        self.cookie = cookie
        self.header = header  # takes a lower-case name

    @property
    def secure(self) -> bool:
        """Tell whether the browser speaks https, here or to a proxy before us.

        Believing the proxy's header is harmless: who forges it only marks the cookies
        of his own answer.
        """
        forwarded = self.header("x-forwarded-proto") or ""
        nearest_browser = forwarded.partition(",")[0].strip().lower()
        return self.scheme == "https" or nearest_browser == "https"

    @property
    def host(self) -> str | None:
        """Return the host that was asked for, or None if it is no host."""
        host = self._host.strip().lower()
        if not _HOST.fullmatch(host):
            return None
        return host.removesuffix(_DEFAULT_PORTS[self._browser_scheme])

    @property
    def _browser_scheme(self) -> str:
        return "https" if self.secure else "http"

    @property
    def url(self) -> str | None:
        """Return the whole URL, bounded; None if the host is none."""
        host = self.host
        if host is None:
            return None
        path = quote(self.path, safe=_SAFE_IN_PATH, errors="replace")
        url = f"{self._browser_scheme}://{host}{path}"
        if self.query:
            url = f"{url}?{self.query}"
        return _CONTROLS.sub("", url)[:_LONGEST_URL]

    @property
    def referrer(self) -> str | None:
        """Return the page the browser came from, without its fragment."""
        referrer = _bounded(self.header("referer"), _LONGEST_REFERRER)
        return referrer.partition("#")[0] or None if referrer else None

    @property
    def user_agent(self) -> str | None:
        """Return what the browser calls itself."""
        return _bounded(self.header("user-agent"), _LONGEST_AGENT)

    @property
    def request_id(self) -> str | None:
        """Return what a proxy calls the request; None if that is no id."""
        given = (self.header("x-request-id") or "").strip(" \t")
        return given if _REQUEST_ID.fullmatch(given) else None

    @property
    def traceparent(self) -> str | None:
        """Return the trace that the request is a part of, as the header says it."""
        return read_traceparent(self.header("traceparent"))


def _bounded(text: str | None, longest: int) -> str | None:
    return _CONTROLS.sub("", text)[:longest] if text else None


def from_environ(environ: Mapping[str, Any]) -> WebRequest:
    """Return the request of a WSGI environ, or of Django's ``request.META``."""

    def header(name: str) -> str | None:
        key = name.upper().replace("-", "_")
        if key != "CONTENT_TYPE":
            key = f"HTTP_{key}"
        value = environ.get(key)
        return value if isinstance(value, str) else None

    script = str(environ.get("SCRIPT_NAME", "") or "")
    path = script + str(environ.get("PATH_INFO", "") or "")
    return WebRequest(
        method=str(environ.get("REQUEST_METHOD", "GET")),
        scheme=str(environ.get("wsgi.url_scheme", "http")),
        host=str(environ.get("HTTP_HOST") or environ.get("SERVER_NAME") or ""),
        path=_unlatin(path) or "/",
        query=_unlatin(str(environ.get("QUERY_STRING", "") or "")),
        cookie=str(environ.get("HTTP_COOKIE", "") or ""),
        header=header,
    )


def _unlatin(text: str) -> str:
    """Undo WSGI's way of putting bytes into text (PEP 3333)."""
    if text.isascii():
        return text
    return text.encode("latin-1", "replace").decode("utf-8", "replace")
