"""What Django knows of a request, read without setting anything in motion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from mbuzz import guard
from mbuzz.forwarded import Trust
from mbuzz.web.request import NOBODY, EnvironRequest


class DjangoRequest(EnvironRequest):
    """The request as Django's settings for hosts and proxies see it."""

    __slots__ = ("_came_by", "_lines", "_request")

    def __init__(self, request: HttpRequest, trust: Trust = NOBODY) -> None:
        scope = getattr(request, "scope", None)
        self._lines = None if scope is None else scope.get("headers") or ()
        self._came_by = "" if scope is None else str(scope.get("scheme") or "")
        self._environ = request.META
        self._request: HttpRequest | None = request
        self.trust = trust
        self.method = request.method or ""
        self.path = request.path

    @property
    def lives_on(self) -> bool:  # noqa: D102 - the base says it
        return self._lines is not None  # ASGI's own, which nothing else depends on

    def release(self) -> None:  # noqa: D102
        self._request = None
        if not self.lives_on:
            super().release()

    @property
    def cookie(self) -> str:  # noqa: D102
        if self._lines is None:
            return super().cookie
        # Django up to 5.2 joins those of HTTP/2 with commas, which values may hold.
        found = [value for name, value in self._lines if name == b"cookie"]
        return b"; ".join(found).decode("latin-1")

    @property
    def _scheme(self) -> str:
        return self._asked().scheme or ""

    @property
    def _host(self) -> str:
        """Return the host; none if Django refuses it: the page is no page of ours."""
        return str(guard.attempt(self._asked().get_host, lambda _: ""))

    def _asked(self) -> HttpRequest:
        return self._request or _LateRequest(self._environ, self._came_by)


class _LateRequest(HttpRequest):  # type: ignore[misc]  # Django has no types
    """What is left of a request that is over: enough to tell its host and scheme."""

    def __init__(self, meta: Mapping[str, Any], came_by: str) -> None:
        super().__init__()
        self.META = meta
        self._came_by = came_by

    def _get_scheme(self) -> str:
        return self._came_by or super()._get_scheme()


def logged_in(request: HttpRequest) -> object:
    """Return the key of the user, if a view or another middleware has loaded him.

    Asking `request.user` would load the session and make every page vary by cookie;
    what has been loaded lies in the request, and looking there costs nothing.
    """
    held: dict[str, Any] = request.__dict__
    # Log-in and log-out set `user` alone; the caches hold who was there before.
    for name in ("user", "_acached_user", "_cached_user"):
        user = _loaded(held.get(name))
        if user is not None:
            return _key(user)
    return None


def _loaded(user: object) -> object:
    """Return a user that is no promise of one."""
    if not issubclass(type(user), LazyObject):
        return user
    inner = object.__getattribute__(user, "__dict__").get("_wrapped", empty)
    return None if inner is empty else inner


def _key(user: object) -> object:
    if not getattr(user, "is_authenticated", False):
        return None
    key = getattr(user, "pk", None)
    return key if key is not None else getattr(user, "id", None)
