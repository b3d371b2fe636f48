"""A web request as mbuzz sees it, whatever framework serves it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from mbuzz.context import read_traceparent
from mbuzz.forwarded import Trust, forwarded_value
from mbuzz.web.cookies import read_all

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/:@!$&'()*+,;=~._-]*")  # nothing to quote
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_SAFE_IN_PATH = "/:@!$&'()*+,;=~-._"

NOBODY: Final = Trust.of(())

MOST_NAMES = 200  # of headers that are remembered: they come from code, but whose?
_LONGEST_URL = 4_096
_LONGEST_REFERRER = 2_048
_LONGEST_AGENT = 1_024


class _Keys(dict[str, str]):
    """The names of headers as an environ has them."""

    def __missing__(self, name: str) -> str:
        key = name.upper().replace("-", "_")
        if key != "CONTENT_TYPE":
            key = f"HTTP_{key}"
        if len(self) < MOST_NAMES:
            self[name] = key
        return key


_KEYS = _Keys()


class Names:
    """Headers that are asked for together, as each kind of server calls them."""

    __slots__ = ("in_environ", "raw")

    def __init__(self, *names: str) -> None:
        self.in_environ = frozenset(_KEYS[name] for name in names)
        self.raw = frozenset(name.encode() for name in names)


class WebRequest:
    """The parts of a request that tracking reads; all but method and path when asked.

    `path` is what the browser asked for, percent-decoded; `cookie` holds all cookie
    headers. This is also what `consent` and `should_track` are given.
    """

    __slots__ = ("method", "path", "trust")

    method: str
    path: str
    trust: Trust  # in the proxies before us

    # -- what servers and frameworks say, each in its own way --

    def header(self, name: str) -> str | None:
        """Return a header by its lower-case name."""
        raise NotImplementedError

    def has_any(self, names: Names) -> bool:
        """Tell whether any of these headers is there."""
        raise NotImplementedError

    @property
    def lives_on(self) -> bool:
        """Tell whether tasks that the request has begun may ask it when it is over."""
        return False

    def release(self) -> None:
        """Let go of what the server lent; nothing more can be read then."""

    @property
    def cookie(self) -> str:
        """Return all cookie headers as one."""
        raise NotImplementedError

    @property
    def query(self) -> str:
        """Return the query string as it was sent."""
        raise NotImplementedError

    @property
    def _scheme(self) -> str:
        raise NotImplementedError

    @property
    def _host(self) -> str:
        """Return the host that the browser, or a proxy, asked this server for."""
        raise NotImplementedError

    @property
    def _peer(self) -> str | None:
        """Return the address that the connection comes from."""
        raise NotImplementedError

    # -- what follows from it --

    @property
    def cookies(self) -> dict[str, str]:
        """Return the cookies by name, leniently read."""
        return read_all(self.cookie)

    @property
    def secure(self) -> bool:
        """Tell whether the browser speaks https, here or to a proxy before us.

        Believing any proxy's header is harmless: who forges it only marks the cookies
        of his own answer.
        """
        if self._scheme == "https":
            return True
        forwarded = self.header("x-forwarded-proto") or ""
        return forwarded.partition(",")[0].strip().lower() == "https"

    @property
    def scheme(self) -> str:
        """Return "https" or "http", as the browser sees it."""
        return "https" if self.secure else "http"

    @property
    def host(self) -> str | None:
        """Return the host that was asked for, or None if it is no host."""
        return self._host_at(self.scheme)

    def _host_at(self, scheme: str) -> str | None:
        given = self._forwarded("x-forwarded-host") or self._host
        host = given.strip(" \t")
        if not _HOST.fullmatch(host):
            return None
        host = host.lower()
        if scheme != self._scheme:  # a proxy may have added the port it came in by
            host = host.removesuffix(_DEFAULT_PORTS["http"])
        return host.removesuffix(_DEFAULT_PORTS[scheme])

    def _forwarded(self, name: str) -> str | None:
        """Return what the trusted proxies say the browser asked the first of them."""
        if self.trust is NOBODY:
            return None
        hops = self.trust.hops(self._peer, self.header("x-forwarded-for") or "")
        return forwarded_value(self.header(name) or "", hops) if hops else None

    @property
    def client_ip(self) -> str | None:
        """Return the browser's address, as far as the trusted proxies tell it."""
        if self.trust is NOBODY:
            return self._peer
        return self.trust.client(self._peer, self.header("x-forwarded-for") or "")

    @property
    def url(self) -> str | None:
        """Return the whole URL, bounded; None if the host is none."""
        scheme = self.scheme
        host = self._host_at(scheme)
        if host is None:
            return None
        path = self.path
        if not _PLAIN_PATH.fullmatch(path):
            path = quote(path, safe=_SAFE_IN_PATH, errors="replace")
        query = self.query
        url = f"{scheme}://{host}{path}{'?' if query else ''}{query}"
        return _bounded(url, _LONGEST_URL)

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
        given = self.header("x-request-id")
        if given is None:
            return None
        given = given.strip(" \t")
        return given if _REQUEST_ID.fullmatch(given) else None

    @property
    def traceparent(self) -> str | None:
        """Return the trace that the request is a part of, as the header says it."""
        given = self.header("traceparent")
        return None if given is None else read_traceparent(given)


def _bounded(text: str | None, longest: int) -> str | None:
    if not text:
        return None
    if not text.isprintable():  # so says Python of controls, and of a few more
        text = _CONTROLS.sub("", text)
    return text[:longest]


_RETURNED: Final[Mapping[str, Any]] = {}  # to the server


class EnvironRequest(WebRequest):
    """The request of a WSGI environ, or of Django's ``request.META``.

    The environ is read while the request is served and let go by `release`: servers
    use it again.
    """

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any], trust: Trust = NOBODY) -> None:
        self._environ = environ
        self.trust = trust
        self.method = str(environ.get("REQUEST_METHOD", "GET"))
        # now, since applications move parts of it from one to the other
        path = str(environ.get("SCRIPT_NAME") or "")
        path += str(environ.get("PATH_INFO") or "")
        self.path = _unlatin(path) or "/"

    def release(self) -> None:  # noqa: D102
        self._environ = _RETURNED

    def _get(self, key: str) -> str:
        value = self._environ.get(key)
        return value if isinstance(value, str) else ""

    def header(self, name: str) -> str | None:  # noqa: D102 - the base says it
        value = self._environ.get(_KEYS[name])
        return value if isinstance(value, str) else None

    def has_any(self, names: Names) -> bool:  # noqa: D102
        return not self._environ.keys().isdisjoint(names.in_environ)

    @property
    def cookie(self) -> str:  # noqa: D102
        return self._get("HTTP_COOKIE")

    @property
    def query(self) -> str:  # noqa: D102
        return _unlatin(self._get("QUERY_STRING"))

    @property
    def _scheme(self) -> str:
        return self._get("wsgi.url_scheme")

    @property
    def _host(self) -> str:
        return self._get("HTTP_HOST") or self._get("SERVER_NAME")

    @property
    def _peer(self) -> str | None:
        return self._get("REMOTE_ADDR") or None


def _unlatin(text: str) -> str:
    """Undo WSGI's way of putting bytes into text (PEP 3333)."""
    if text.isascii():
        return text
    return text.encode("latin-1", "replace").decode("utf-8", "replace")
