"""The composition root: settings in, WSGI application out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from mbuzz import guard
from mbuzz.clock import SYSTEM_CLOCK, Clock
from mbuzz.server.dashboard.pages import Dashboard
from mbuzz.server.http.api import EVENTS_PATH, Api
from mbuzz.server.http.deferred import Deferred, Done
from mbuzz.server.http.errors import HttpError
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, error_response
from mbuzz.server.http.routes import Router
from mbuzz.server.ingestion.ratelimit import RateLimiter
from mbuzz.server.settings import ServerSettings
from mbuzz.server.storage.port import Storage, StorageError
from mbuzz.server.storage.sqlite import SqliteStorage

_logger = logging.getLogger("mbuzz.server")


class Application:
    """The backend as a WSGI application; `close` it to let the database go."""

    def __init__(
        self, storage: Storage, settings: ServerSettings, clock: Clock
    ) -> None:
        limiter = RateLimiter(
            clock, rate=settings.rate_limit, burst=settings.rate_burst
        )
        self.storage = storage
        self._api = Api(storage, clock, limiter)
        self.router = Router([*self._api.routes(), *Dashboard(storage, clock).routes()])

    def begin(self, environ: dict[str, Any]) -> Deferred | None:
        """Begin to take a batch of events, without waiting for it to be on disk.

        Everything else is None: it is to be called as WSGI has it, where it may wait.
        """
        if environ.get("PATH_INFO") != EVENTS_PATH:
            return None
        request = Request(environ)
        return guard.attempt(
            partial(self._begin, request),
            lambda error: Done(_whole(request, _broken(error))),
        )

    def _begin(self, request: Request) -> Deferred | None:
        try:
            taking = self._api.begin_events(request)
        except (HttpError, StorageError) as error:
            return Done(_whole(request, _refused(error)))
        return None if taking is None else _Answering(request, taking)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        """Serve one request."""
        request = Request(environ)
        response = _whole(
            request, guard.attempt(partial(self._answer, request), _broken)
        )
        length = ("Content-Length", str(len(response.body)))
        start_response(response.status_line, [*response.headers, length])
        return [] if request.method == "HEAD" else [response.body]

    def _answer(self, request: Request) -> Response:
        try:
            return self.router.find(request)(request)
        except (HttpError, StorageError) as error:
            return _refused(error)

    def close(self) -> None:
        """Finish what is queued and let the database go."""
        self.storage.close()


class _Answering:
    """A batch that is being taken; whatever comes of it is an answer."""

    def __init__(self, request: Request, taking: Deferred) -> None:
        self.when_done = taking.when_done
        self._request = request
        self._taking = taking

    def response(self) -> Response:
        """Return the answer, waiting for it if need be."""
        return _whole(self._request, guard.attempt(self._outcome, _broken))

    def _outcome(self) -> Response:
        try:
            return self._taking.response()
        except (HttpError, StorageError) as error:
            return _refused(error)


def _whole(request: Request, response: Response) -> Response:
    """Return *response* with what every answer to this request says."""
    headers = request.answer_headers
    return response.with_headers(headers) if headers else response


def _refused(error: HttpError | StorageError) -> Response:
    if isinstance(error, HttpError):
        return error_response(error)
    _logger.warning("storage unavailable (error=%s)", type(error).__name__)
    return error_response(
        HttpError(503, "unavailable", str(error), headers=[("Retry-After", "1")])
    )


def _broken(error: Exception) -> Response:
    guard.report("request", error)
    return error_response(
        HttpError(500, "internal_error", "something went wrong here; it was logged")
    )


def create_app(
    settings: ServerSettings | None = None, *, clock: Clock = SYSTEM_CLOCK
) -> Application:
    """Return the backend; without *settings* they come from the environment.

    ``gunicorn 'mbuzz.server:create_app()'`` runs it, too.

    Raises:
        ConfigurationError: If a setting cannot work.
        StorageError: If the database cannot be opened or is of a newer version.
    """
    chosen = settings or ServerSettings.from_environment()
    return Application(SqliteStorage(chosen.database), chosen, clock)
