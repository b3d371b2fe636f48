"""The way to a host: straight, or through the proxy that the environment names."""

from __future__ import annotations

import os

from mbuzz.delivery.transport import TransportError

_PORTS = {"http": 80, "https": 443}


class Origin:
    """Where a URL leads: scheme, host (no brackets), port, path (no slash after it).

    A port that is none is 0; no error says so, it might quote a proxy's password.
    """

    __slots__ = ("host", "path", "port", "scheme", "user")

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        authority, _, path = rest.partition("/")
        self.user, _, place = authority.rpartition("@")
        host, colon, port = place.rpartition(":")
        if not colon or place.endswith("]"):
            host, port = place, ""
        self.scheme = scheme.lower()
        self.host = host.strip("[]").lower()
        number = port if port.isascii() and port.isdigit() else "0"
        self.port = int(number[:6]) if port else _PORTS.get(self.scheme, 80)
        self.path = f"/{path}".rstrip("/")

    @property
    def place(self) -> str:
        """Return host and port, as an order to a proxy has them."""
        return f"{self._bracketed}:{self.port}"

    @property
    def name(self) -> str:
        """Return the same as a Host header has it: without the usual port."""
        usual = self.port == _PORTS.get(self.scheme)
        return self._bracketed if usual else self.place

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


class Proxy:
    """A proxy that is spoken to in plain HTTP; *authorization* is for it alone."""

    __slots__ = ("authorization", "host", "port")

    def __init__(self, host: str, port: int, authorization: str) -> None:
        self.host = host
        self.port = port
        self.authorization = authorization  # a header's line with its end, or nothing


def configured() -> bool:
    """Tell whether the environment says anything about proxies."""
    return any(name.lower().endswith("_proxy") for name in os.environ)


def proxy_for(origin: Origin) -> Proxy | None:
    """Return the proxy that the environment wants for *origin*, if any.

    `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are read as `urllib.request`
    reads them. This machine itself is never asked for through a proxy.

    Raises:
        TransportError: If it is none that plain HTTP can be spoken to.
    """
    if not configured():
        return None
    if _loopback(origin.host):
        return None
    from urllib import request

    proxies = request.getproxies_environment()
    url = proxies.get(origin.scheme) or proxies.get("all")
    # typeshed does not know this one
    bypass = request.proxy_bypass_environment  # type: ignore[attr-defined]
    if not url or bypass(origin.place, proxies):
        return None
    return _parse(url)


def _loopback(host: str) -> bool:
    return host in ("localhost", "::1") or (
        host.startswith("127.") and host.replace(".", "").isdigit()
    )


def _parse(url: str) -> Proxy:
    found = Origin(url if "://" in url else f"http://{url}")
    if found.scheme != "http":
        raise TransportError("proxy_is_not_http")
    if not found.host or not 0 < found.port < 65_536:
        raise TransportError("bad_proxy")
    return Proxy(found.host, found.port, _authorization(found.user))


def _authorization(user: str) -> str:
    if not user:
        return ""
    from binascii import b2a_base64
    from urllib.parse import unquote_to_bytes

    name, _, password = user.partition(":")
    pair = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
    return f"Proxy-Authorization: Basic {b2a_base64(pair, newline=False).decode()}\r\n"
