"""The composition root: settings in, WSGI application out."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from mbuzz import guard
from mbuzz.clock import SYSTEM_CLOCK, Clock
from mbuzz.server import gauges, logs, model_jobs
from mbuzz.server import settings as options
from mbuzz.server.dashboard.pages import Dashboard
from mbuzz.server.http.api import EVENTS_PATH, Api
from mbuzz.server.http.deferred import Deferred, Done
from mbuzz.server.http.edge import Edge
from mbuzz.server.http.errors import HttpError
from mbuzz.server.http.metrics_api import PATH as METRICS_PATH
from mbuzz.server.http.metrics_api import MetricsApi
from mbuzz.server.http.observer import REQUEST_ID, Observer
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, error_response
from mbuzz.server.http.routes import Router
from mbuzz.server.http.service_api import LIVE_PATH, READY_PATHS
from mbuzz.server.ingestion.ratelimit import RateLimiter
from mbuzz.server.jobs import Job, Scheduler
from mbuzz.server.metrics import Metrics
from mbuzz.server.networks import read_networks
from mbuzz.server.passwords import COST, Cost
from mbuzz.server.privacy import erasure, retention
from mbuzz.server.settings import ServerSettings
from mbuzz.server.storage.errors import StorageError
from mbuzz.server.storage.port import Storage
from mbuzz.server.storage.sqlite import SqliteStorage

# All that is done beside answering; `mbuzz serve` does it, elsewhere `mbuzz jobs run`.
JOBS: Final[tuple[Job, ...]] = (*erasure.JOBS, *retention.JOBS, *model_jobs.JOBS)

_logger = logging.getLogger("mbuzz.server")


class Application:
    """The backend as a WSGI application; `close` it to let the database go."""

    # What is asked to see whether it is well, above all while everybody else waits.
    urgent_paths = frozenset({*READY_PATHS, LIVE_PATH, METRICS_PATH})

    def __init__(
        self,
        storage: Storage,
        settings: ServerSettings,
        clock: Clock,
        password_cost: Cost = COST,
    ) -> None:
        limiter = RateLimiter(
            clock, rate=settings.rate_limit, burst=settings.rate_burst
        )
        self.storage = storage
        self.metrics = Metrics()
        self._edge = Edge(
            settings.trusted_proxies,
            settings.public_url,
            settings.client_address_header,
        )
        self._observer = Observer(self.metrics, settings.access_log)
        listed = settings.datacenter_ranges
        datacenters = read_networks(listed) if listed else None
        self._api = Api(storage, clock, limiter, self.metrics, datacenters)
        shown = MetricsApi(self.metrics, settings.metrics, settings.metrics_token)
        self.router = Router(
            [
                *self._api.routes(),
                *shown.routes(),
                *Dashboard(storage, clock, password_cost).routes(),
            ]
        )

    def begin(self, environ: dict[str, Any]) -> Deferred | None:
        """Begin to take a batch of events, without waiting for it to be on disk.

        Everything else is None: it is to be called as WSGI has it, where it may wait.
        """
        if environ.get("PATH_INFO") != EVENTS_PATH:
            return None
        began = SYSTEM_CLOCK.monotonic()
        self._edge.apply(environ)
        request = Request(environ)
        request.route = EVENTS_PATH
        deferred = guard.attempt(
            partial(self._begin, request), lambda error: Done(_broken(error))
        )
        if deferred is None:
            return None
        return _Answering(deferred, partial(self._seen_off, request, began))

    def settle(self) -> bool:
        """Go on with what was begun, all of it together."""
        return self.storage.settle()

    def _begin(self, request: Request) -> Deferred | None:
        try:
            taking = self._api.begin_events(request)
        except (HttpError, StorageError) as error:
            return Done(_refused(error))
        return taking

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        """Serve one request."""
        began = SYSTEM_CLOCK.monotonic()
        self._edge.apply(environ)
        request = Request(environ)
        response = guard.attempt(partial(self._answer, request), _broken)
        response = self._seen_off(request, began, response)
        length = ("Content-Length", str(len(response.body)))
        start_response(response.status_line, [*response.headers, length])
        return [] if request.method == "HEAD" else [response.body]

    def _answer(self, request: Request) -> Response:
        try:
            return self.router.find(request)(request)
        except (HttpError, StorageError) as error:
            return _refused(error)

    def _seen_off(self, request: Request, began: float, response: Response) -> Response:
        """Note the answer, and give it what every answer to the request says."""
        request_id = self._observer.answered(request, response, began)
        return response.with_headers(
            [*request.answer_headers, (REQUEST_ID, request_id)]
        )

    def close(self) -> None:
        """Finish what is queued and let the database go."""
        atexit.unregister(self.close)
        self.storage.close()


class _Answering:
    """A batch that is being taken; whatever comes of it is an answer, and noted."""

    def __init__(
        self, taking: Deferred, seen_off: Callable[[Response], Response]
    ) -> None:
        self.when_done = taking.when_done
        self._taking = taking
        self._seen_off = seen_off

    def response(self) -> Response:
        """Return the answer, waiting for it if need be."""
        return self._seen_off(guard.attempt(self._outcome, _broken))

    def _outcome(self) -> Response:
        try:
            return self._taking.response()
        except (HttpError, StorageError) as error:
            return _refused(error)


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
    settings: ServerSettings | None = None,
    *,
    clock: Clock = SYSTEM_CLOCK,
    password_cost: Cost = COST,
) -> Application:
    """Return the backend; without *settings* they come from the environment.

    ``gunicorn 'mbuzz.server:create_app()'`` runs it, too: then its log is set up as
    the settings say, unless the program has handlers of its own.

    Raises:
        ConfigurationError: If a setting cannot work.
        StorageError: If the database cannot be opened or is of a newer version.
    """
    if settings is None:
        loaded = options.load(os.environ)
        settings = loaded.settings
        logs.configure_unless_done(settings.log_format, settings.log_level)
        for warning in loaded.warnings:
            _logger.warning("option ignored (why=%s)", warning)
    storage = SqliteStorage(settings.database, lazy=True)
    app = Application(storage, settings, clock, password_cost)
    gauges.attach(app.metrics, storage)
    # Not every server tells an application that it ends.
    atexit.register(app.close)
    return app


def scheduler(storage: Storage, clock: Clock = SYSTEM_CLOCK) -> Scheduler:
    """Return what does the backend's jobs on a database."""
    return Scheduler(storage, clock, JOBS)
