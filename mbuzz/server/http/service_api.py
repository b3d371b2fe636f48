"""The routes about the service itself: whose key, is it well, what can it do."""

from __future__ import annotations

from importlib import resources
from typing import Final

from mbuzz import __version__, guard, protocol
from mbuzz.server.http.access import ANY, KeyRoute
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, json_response, text_response
from mbuzz.server.http.routes import Route
from mbuzz.server.storage.errors import StorageError
from mbuzz.server.storage.port import Storage
from mbuzz.server.storage.rows.accounts import ApiKey

LIVE_PATH: Final = "/health/live"
READY_PATHS: Final = (f"{protocol.API_PREFIX}/health", "/health")


class ServiceApi:
    """Answers clients and operators about the backend."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def routes(self) -> list[KeyRoute]:
        """Return the routes that need a key, whatever it may do."""
        return [
            KeyRoute(method="GET", path="/validate", handler=self.validate, scope=ANY)
        ]

    def open_routes(self) -> list[Route]:
        """Return the routes that need no key."""
        ready = [
            Route(method="GET", path=path, handler=self.health) for path in READY_PATHS
        ]
        return [
            *ready,
            Route(method="GET", path=LIVE_PATH, handler=self.live),
            Route(method="GET", path="/openapi.json", handler=self.openapi),
        ]

    def validate(self, _request: Request, key: ApiKey) -> Response:
        """Say whom the key belongs to."""
        return json_response(
            {
                "valid": True,
                "account": {"id": key.account.public_id, "name": key.account.name},
                "environment": key.tenant.environment,
            }
        )

    def live(self, _request: Request) -> Response:
        """Say that the process answers, whatever becomes of its database."""
        return json_response({"status": "ok", "version": __version__})

    def health(self, _request: Request) -> Response:
        """Say whether events can be taken: is it ready?"""
        problem = guard.attempt(self._problem, lambda error: type(error).__name__)
        if problem is None:
            return json_response({"status": "ok", "version": __version__})
        failing = {"status": "failing", "version": __version__, "database": problem}
        return json_response(failing, 503, (("Retry-After", "5"),))

    def _problem(self) -> str | None:
        try:
            self._storage.check()
        except StorageError as error:
            return str(error)
        return None

    def openapi(self, _request: Request) -> Response:
        """Serve the description of all this."""
        file = resources.files("mbuzz.server").joinpath("openapi.json")
        return text_response(file.read_text("utf-8"), "application/json")
