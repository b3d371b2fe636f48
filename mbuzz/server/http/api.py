"""The API put together: every route, with the key that it needs."""

from __future__ import annotations

from typing import Final

from mbuzz import protocol
from mbuzz.clock import Clock
from mbuzz.server.http.access import Access
from mbuzz.server.http.conversion_api import ConversionApi
from mbuzz.server.http.deferred import Deferred
from mbuzz.server.http.intake_api import IntakeApi
from mbuzz.server.http.models_api import ModelsApi
from mbuzz.server.http.privacy_api import PrivacyApi
from mbuzz.server.http.report_api import ReportApi
from mbuzz.server.http.request import Request
from mbuzz.server.http.routes import Route
from mbuzz.server.http.service_api import ServiceApi
from mbuzz.server.http.sessions_api import SessionsApi
from mbuzz.server.ingestion.ratelimit import RateLimiter
from mbuzz.server.metrics import Metrics
from mbuzz.server.networks import Networks
from mbuzz.server.storage.port import Storage

EVENTS_PATH: Final = f"{protocol.API_PREFIX}/events"

# What the server's one loop reads by itself, some ms of work; more goes to a thread.
_AT_ONCE_BYTES: Final = 524_288  # also unpacked


class Api:
    """The routes under ``/api/v1``, and the document that describes them."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        limiter: RateLimiter,
        metrics: Metrics,
        datacenters: Networks | None = None,
    ) -> None:
        self._access = Access(storage, clock, limiter, datacenters)
        self._service = ServiceApi(storage)
        self._intake = IntakeApi(storage, clock, metrics)
        self._groups = (
            self._intake,
            SessionsApi(storage, clock),
            ConversionApi(storage, clock),
            ReportApi(storage, clock),
            ModelsApi(storage, clock),
            PrivacyApi(storage, clock),
            self._service,
        )

    def begin_events(self, request: Request) -> Deferred | None:
        """Begin to take a batch, if that does not keep the caller for long.

        It goes on once the storage is woken or settled.

        Raises:
            HttpError: If it is refused.
            StorageError: If it cannot be stored just now.
        """
        if int(request.header("Content-Length") or 0) > _AT_ONCE_BYTES:
            return None
        key = self._access.authenticate(request)
        if len(request.body()) > _AT_ONCE_BYTES:
            return None
        self._access.admit(request, key, "ingest")
        return self._intake.begin_events(request, key, wake=False)

    def routes(self) -> list[Route]:
        """Return the routes; all but health and the document need a key."""
        keyed = [route for group in self._groups for route in group.routes()]
        return [*map(self._access.route, keyed), *self._service.open_routes()]
