"""The API put together: every route, with the key that it needs."""

from __future__ import annotations

from mbuzz.clock import Clock
from mbuzz.server.http.access import Access
from mbuzz.server.http.intake_api import IntakeApi
from mbuzz.server.http.report_api import ReportApi
from mbuzz.server.http.routes import Route
from mbuzz.server.http.service_api import ServiceApi
from mbuzz.server.ingestion.ratelimit import RateLimiter
from mbuzz.server.storage.port import Storage


class Api:
    """The routes under ``/api/v1``, and the document that describes them."""

    def __init__(self, storage: Storage, clock: Clock, limiter: RateLimiter) -> None:
        self._access = Access(storage, clock, limiter)
        self._service = ServiceApi(storage)
        self._groups = (
            IntakeApi(storage, clock),
            ReportApi(storage, clock),
            self._service,
        )

    def routes(self) -> list[Route]:
        """Return the routes; all but health and the document need a key."""
        keyed = [route for group in self._groups for route in group.routes()]
        return [*map(self._access.route, keyed), *self._service.open_routes()]
