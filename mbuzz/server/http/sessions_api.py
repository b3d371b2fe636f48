"""The route for clients that announce visits: ``POST /sessions``."""

from __future__ import annotations

from mbuzz.clock import Clock
from mbuzz.server.http.access import KeyRoute
from mbuzz.server.http.errors import unprocessable
from mbuzz.server.http.known_fields import unknown_fields
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, json_response
from mbuzz.server.http.single_call import timing_of
from mbuzz.server.ingestion.fields import InvalidError
from mbuzz.server.ingestion.landings import check_landing
from mbuzz.server.ingestion.validation import check_size
from mbuzz.server.storage.port import Storage
from mbuzz.server.storage.rows.accounts import ApiKey
from mbuzz.server.tracking.arrival import record_landing


class SessionsApi:
    """Takes the visits that clients announce by themselves."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def routes(self) -> list[KeyRoute]:
        """Return the routes."""
        return [
            KeyRoute(
                method="POST", path="/sessions", handler=self.sessions, scope="ingest"
            )
        ]

    def sessions(self, request: Request, key: ApiKey) -> Response:
        """Take a landing and say what channel the visit came by."""
        item = request.json_object()
        timing = timing_of(self._clock, key)
        warnings: list[str] = []
        try:
            check_size(item)
            call, session_id = check_landing(item, timing, warnings)
        except InvalidError as error:
            raise unprocessable(error.errors) from None
        landed = self._storage.write(
            lambda stores: record_landing(
                stores.tracking, key.tenant, key.account.policy, call
            )
        )
        if not key.live:
            warnings += unknown_fields(item, "session")
            warnings += ["bot"] if landed.event.bot else []
        body: dict[str, object] = {
            "status": "accepted",
            "visitor_id": call.visitor_id,
            "session_id": session_id,
            "channel": landed.channel,
        }
        if landed.event.duplicate:
            body["duplicate"] = True
        if warnings:
            body["warnings"] = warnings
        return json_response(body, 202)
