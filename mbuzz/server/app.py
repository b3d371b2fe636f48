"""The composition root: settings in, WSGI application out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from mbuzz import guard
from mbuzz.clock import SYSTEM_CLOCK, Clock
from mbuzz.server.dashboard.pages import Dashboard
from mbuzz.server.http.api import Api
from mbuzz.server.http.errors import HttpError
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, error_response
from mbuzz.server.http.routes import Router
from mbuzz.server.ingestion.ratelimit import RateLimiter
from mbuzz.server.settings import ServerSettings
from mbuzz.server.storage.port import Storage, StorageBusyError, StorageError
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
        self.router = Router(
            [
                *Api(storage, clock, limiter).routes(),
                *Dashboard(storage, clock).routes(),
            ]
        )

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        """Serve one request."""
        request = Request(environ)
        response = guard.attempt(partial(self._answer, request), _broken)
        length = ("Content-Length", str(len(response.body)))
        start_response(response.status_line, [*response.headers, length])
        return [] if request.method == "HEAD" else [response.body]

    def _answer(self, request: Request) -> Response:
        try:
            return self.router.find(request)(request)
        except HttpError as error:
            return error_response(error)
        except (StorageBusyError, StorageError) as error:
            _logger.warning("storage unavailable (error=%s)", type(error).__name__)
            return error_response(
                HttpError(
                    503, "unavailable", str(error), headers=[("Retry-After", "1")]
                )
            )

    def close(self) -> None:
        """Finish what is queued and let the database go."""
        self.storage.close()


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
