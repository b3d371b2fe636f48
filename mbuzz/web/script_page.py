"""The page that a script of the site runs in, as the script tells of it."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from mbuzz.web.request import Names, WebRequest

_PORTS = {"http": 80, "https": 443}


class ScriptPage(WebRequest):
    """The page that a script runs in, as a request for it would have looked."""

    __slots__ = ("_asked", "_referrer", "_url")

    def __init__(
        self, asked: WebRequest, url: str | None, referrer: str | None
    ) -> None:
        self._asked = asked
        self._url = url
        self._referrer = referrer
        self.trust = asked.trust
        self.method = "GET"
        path = urlsplit(url).path if url else ""
        self.path = unquote(path, errors="replace") or "/"

    @property
    def url(self) -> str | None:  # noqa: D102 - the base says it
        return self._url

    @property
    def referrer(self) -> str | None:  # noqa: D102
        return self._referrer

    def header(self, name: str) -> str | None:  # noqa: D102
        return self._referrer if name == "referer" else self._asked.header(name)

    def has_any(self, names: Names) -> bool:  # noqa: D102
        return self._asked.has_any(names)

    @property
    def cookie(self) -> str:  # noqa: D102
        return self._asked.cookie

    @property
    def query(self) -> str:  # noqa: D102
        return urlsplit(self._url).query if self._url else ""

    @property
    def secure(self) -> bool:  # noqa: D102
        return self._asked.secure

    @property
    def host(self) -> str | None:  # noqa: D102
        return self._asked.host

    @property
    def client_ip(self) -> str | None:  # noqa: D102
        return self._asked.client_ip


def is_page_of(request: WebRequest, url: str) -> bool:
    """Tell whether *url* is the site's, as asked for or as the browser calls it.

    A proxy may ask for another host than the browser does; Origin is the browser's.
    """
    page = _place(url)
    asked = _place(f"{request.scheme}://{request.host or ''}")
    return page is not None and page in (asked, _place(request.header("origin") or ""))


def _place(url: str) -> tuple[str, int] | None:
    """Return host and port of *url*; None if it is not a page's."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
            return None
        return parts.hostname, parts.port or _PORTS[parts.scheme]
    except ValueError:  # a port, or brackets, that are none
        return None
