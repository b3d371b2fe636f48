"""Who is at the other end, and by which address, when proxies are in between."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from mbuzz.forwarded import Trust, forwarded_value


class Edge:
    """Puts what trusted proxies say of a request in the place of what they are.

    From anybody else `X-Forwarded-For`, `-Proto` and `-Host` count for nothing. With
    a *public_url* a request for its host came by its scheme, whatever proxies say.
    """

    def __init__(self, trusted_proxies: int | tuple[str, ...], public_url: str) -> None:
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

    @staticmethod
    def _believe(trust: Trust, environ: dict[str, Any]) -> None:
        peer = str(environ.get("REMOTE_ADDR") or "")
        environ["mbuzz.peer"] = peer
        said = str(environ.get("HTTP_X_FORWARDED_FOR", ""))
        if not trust.hops(peer, said):
            return
        environ["REMOTE_ADDR"] = trust.client(peer, said) or ""
        scheme = forwarded_value(str(environ.get("HTTP_X_FORWARDED_PROTO", "")))
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        host = forwarded_value(str(environ.get("HTTP_X_FORWARDED_HOST", "")))
        if host:
            environ["HTTP_HOST"] = host
