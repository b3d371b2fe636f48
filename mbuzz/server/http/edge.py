"""Who is at the other end, and by which address, when proxies are in between."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from mbuzz.forwarded import Trust
from mbuzz.server.http.address_headers import READERS


class Edge:
    """Puts what trusted proxies say of a request in the place of what they are.

    They say it in one *header*, by name one of `address_headers.READERS`, and what
    goes with it. From anybody else it counts for nothing, and so do other such headers
    from everybody: proxies hand on what they do not know. With a *public_url* a request
    for its host came by its scheme, whatever proxies say.
    """

    def __init__(
        self,
        trusted_proxies: int | tuple[str, ...],
        public_url: str,
        header: str = "x-forwarded-for",
    ) -> None:
        self._read = READERS[header]
        self._trust = Trust.of(trusted_proxies) if trusted_proxies else None
        parts = urlsplit(public_url)
        self._public_host = parts.netloc
        self._public_scheme = parts.scheme

    def apply(self, environ: dict[str, Any]) -> None:
        """Change *environ* so that it tells of the client; a second time is harmless.

        What was changed is remembered under ``mbuzz.peer``, the peer's own address.
        """
        if self._trust is not None and "mbuzz.peer" not in environ:
            self._believe(self._trust, environ)
        if self._public_host and (
            str(environ.get("HTTP_HOST", "")).lower() == self._public_host
        ):
            environ["wsgi.url_scheme"] = self._public_scheme

    def _believe(self, trust: Trust, environ: dict[str, Any]) -> None:
        environ["mbuzz.peer"] = str(environ.get("REMOTE_ADDR") or "")
        behind = self._read(trust, environ)
        if behind is None:
            return
        environ["REMOTE_ADDR"] = behind.address
        if behind.scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = behind.scheme
        if behind.host:
            environ["HTTP_HOST"] = behind.host
