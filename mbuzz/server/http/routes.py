"""The table of routes: a method and a path, who may call it, and what answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from mbuzz.server.http.errors import HttpError
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response

Handler = Callable[[Request], Response]


_PARAMETER: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path; ``{name}`` in it is any one segment.

    `scope` is what a key must be allowed to do; None where no key is asked for.
    """

    method: str
    path: str
    handler: Handler
    scope: str | None = None


class Router:
    """Finds the handler for a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._paths: dict[str, dict[str, Handler]] = {}
        for route in self.routes:
            self._paths.setdefault(route.path, {})[route.method] = route.handler
        self._patterns = [
            (re.compile(_PARAMETER.sub(r"(?P<\1>[^/]+)", path)), path, methods)
            for path, methods in self._paths.items()
            if "{" in path
        ]

    def find(self, request: Request) -> Handler:
        """Return the handler; HEAD is answered by GET's.

        Raises:
            HttpError: If the path or the method is unknown.
        """
        methods = self._paths.get(request.path) or self._by_pattern(request)
        if methods is None:
            raise HttpError(
                404,
                "not_found",
                f"there is nothing at {request.path[:200]}; see /openapi.json",
            )
        request.route = request.route or request.path
        method = "GET" if request.method == "HEAD" else request.method
        if method not in methods:
            allowed = sorted({*methods, *(["HEAD"] if "GET" in methods else [])})
            raise HttpError(
                405,
                "method_not_allowed",
                f"{request.path} takes {' or '.join(allowed)}, not {request.method}",
                headers=[("Allow", ", ".join(allowed))],
            )
        return methods[method]

    def _by_pattern(self, request: Request) -> dict[str, Handler] | None:
        for pattern, path, methods in self._patterns:
            if found := pattern.fullmatch(request.path):
                request.parameters = found.groupdict()
                request.route = path
                return methods
        return None
