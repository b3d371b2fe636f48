"""The routes of conversions: record one, look at it, refund it, take it back."""

from __future__ import annotations

from mbuzz.clock import Clock
from mbuzz.server.http.access import KeyRoute
from mbuzz.server.http.bodies import conversion_body, conversion_warnings
from mbuzz.server.http.conversion_bodies import conversion_in_full, refund_body
from mbuzz.server.http.errors import HttpError, unprocessable
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, json_response
from mbuzz.server.http.single_call import carry_out, read_call
from mbuzz.server.ingestion.fields import InvalidError, read_reason
from mbuzz.server.ingestion.validation import check_conversion, check_refund
from mbuzz.server.storage.port import Storage, Stores
from mbuzz.server.storage.rows.accounts import ApiKey
from mbuzz.server.storage.rows.conversions import ConversionRow
from mbuzz.server.tracking.identity import RefusedError
from mbuzz.server.tracking.recorded import ConversionRecorded
from mbuzz.server.tracking.refunds import RefundRecorded, refund, void


class ConversionApi:
    """Takes conversions, and what becomes of them later."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def routes(self) -> list[KeyRoute]:
        """Return the routes."""
        one = "/conversions/{id}"
        table = [
            ("POST", "/conversions", self.record, "ingest"),
            ("GET", one, self.show, "read"),
            ("POST", f"{one}/refunds", self.refund, "ingest"),
            ("POST", f"{one}/void", self.void, "ingest"),
        ]
        return [
            KeyRoute(method=method, path=path, handler=handler, scope=scope)
            for method, path, handler, scope in table
        ]

    def record(self, request: Request, key: ApiKey) -> Response:
        """Record a conversion and answer with its credits."""
        recorded, warnings = carry_out(
            self._storage, self._clock, request, key, check_conversion
        )
        assert isinstance(recorded, ConversionRecorded)
        body = conversion_body(recorded)
        warnings = conversion_warnings(recorded, warnings)
        if warnings:
            body["warnings"] = warnings
        return json_response(body, 200 if recorded.duplicate else 201)

    def show(self, request: Request, key: ApiKey) -> Response:
        """Tell all about a conversion: its journey, its credits and why they are so."""
        return json_response(
            self._storage.read(
                lambda stores: conversion_in_full(
                    stores.tracking,
                    key.tenant,
                    key.account.policy,
                    _named(stores, request, key),
                )
            )
        )

    def refund(self, request: Request, key: ApiKey) -> Response:
        """Give a conversion's revenue back, or a part of it."""
        warnings: list[str] = []
        call = read_call(self._clock, request, key, check_refund, warnings)

        def work(stores: Stores) -> tuple[RefundRecorded, dict[str, object]]:
            done = refund(
                stores.tracking,
                key.tenant,
                key.account.policy,
                _named(stores, request, key),
                call,
            )
            return done, refund_body(stores.tracking, key.tenant, done)

        try:
            done, body = self._storage.write(work)
        except RefusedError as error:
            raise unprocessable([str(error)]) from None
        return json_response(body, 200 if done.duplicate else 201)

    def void(self, request: Request, key: ApiKey) -> Response:
        """Take a conversion out of all counts; it is kept."""
        now_ms = self._clock.now_ms()
        errors: list[str] = []
        body = request.json_object() if request.body() else {}
        reason = read_reason(body, errors)
        if errors:
            raise unprocessable(InvalidError(*errors).errors)

        def work(stores: Stores) -> dict[str, object]:
            policy = key.account.policy
            was = _named(stores, request, key)
            is_now = void(stores.tracking, key.tenant, policy, was, now_ms, reason)
            if was.voided_at_ms is None:
                details = {"conversion": was.public_id, "live": key.live}
                stores.accounts.audit(
                    key.account.id, now_ms, key.actor, "conversion.void", details
                )
            return conversion_in_full(stores.tracking, key.tenant, policy, is_now)

        return json_response(self._storage.write(work))


def _named(stores: Stores, request: Request, key: ApiKey) -> ConversionRow:
    """Return the conversion that the path names."""
    public_id = request.parameters["id"]
    found = stores.tracking.find_conversion(key.tenant, public_id, None)
    if found is None:
        raise HttpError(
            404,
            "not_found",
            f"there is no conversion {public_id[:80]} here; "
            "test and live keys see their own only",
        )
    return found
