"""The routes that take calls: from HTTP to the pipeline, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

from mbuzz import protocol
from mbuzz.clock import Clock
from mbuzz.server.http.access import KeyRoute
from mbuzz.server.http.bodies import (
    conversion_body,
    conversion_warnings,
    echo,
    identity_body,
    item_body,
    rejection,
)
from mbuzz.server.http.cookies import visitor_cookies
from mbuzz.server.http.errors import HttpError, unprocessable
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, json_response
from mbuzz.server.ingestion.fields import InvalidError, unquote
from mbuzz.server.ingestion.timing import Timing
from mbuzz.server.ingestion.validation import (
    Checked,
    check_alias,
    check_conversion,
    check_group,
    check_identify,
    check_item,
    check_size,
)
from mbuzz.server.model import Call
from mbuzz.server.storage.port import ApiKey, Storage, Stores
from mbuzz.server.tracking.processor import (
    ConversionRecorded,
    IdentityRecorded,
    Recorded,
    Refused,
    process,
)


class IntakeApi:
    """Takes events and the other calls, in batches or one by one."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def routes(self) -> list[KeyRoute]:
        """Return the routes."""
        table = {
            "/events": self.events,
            "/identify": self.identify,
            "/alias": self.alias,
            "/group": self.group,
            "/conversions": self.conversions,
        }
        return [
            KeyRoute(method="POST", path=path, handler=handler, scope="ingest")
            for path, handler in table.items()
        ]

    def events(self, request: Request, key: ApiKey) -> Response:
        """Take a batch; each item is accepted or rejected by itself."""
        envelope = request.json_object()
        items = _items(envelope)
        idempotency_key = _idempotency_key(request)
        digest = hashlib.sha256(request.body()).hexdigest()
        now = self._clock.now_ms()
        timing = Timing.of_batch(now, envelope.get("sent_at"), key.account.currency)
        checked = _check_items(items, timing, _own_visitor(request), request)

        def work(stores: Stores) -> dict[str, object]:
            if idempotency_key is not None:
                known = stores.tracking.reply(key.tenant, idempotency_key)
                if known is not None:
                    return _replay(known, digest)
            reply = _process_batch(stores, key, items, checked)
            if idempotency_key is not None:
                text = json.dumps(reply)
                stores.tracking.save_reply(
                    key.tenant, idempotency_key, digest, text, now
                )
            return reply

        reply = self._storage.write(work)
        return json_response(reply, 202, visitor_cookies(reply["events"]))

    def identify(self, request: Request, key: ApiKey) -> Response:
        """Link a visitor to a user."""
        recorded = self._single(request, key, check_identify)
        assert isinstance(recorded[0], IdentityRecorded)
        return json_response({"success": True, **identity_body(recorded[0])})

    def alias(self, request: Request, key: ApiKey) -> Response:
        """Make two ids one person."""
        self._single(request, key, check_alias)
        return json_response({"success": True})

    def group(self, request: Request, key: ApiKey) -> Response:
        """Keep what is said of a group."""
        self._single(request, key, check_group)
        return json_response({"success": True})

    def conversions(self, request: Request, key: ApiKey) -> Response:
        """Record a conversion and answer with its credits."""
        recorded, warnings = self._single(request, key, check_conversion)
        assert isinstance(recorded, ConversionRecorded)
        body = conversion_body(recorded)
        if warnings or recorded.amount_differs:
            body["warnings"] = conversion_warnings(recorded, warnings)
        return json_response(body, 200 if recorded.duplicate else 201)

    def _single(
        self,
        request: Request,
        key: ApiKey,
        check: Callable[[Mapping[str, object], Timing, list[str]], Call],
    ) -> tuple[Recorded, list[str]]:
        """Carry out the one call that a request's body is."""
        item = request.json_object()
        if "idempotency_key" not in item:
            item["idempotency_key"] = _idempotency_key(request)
        timing = Timing(
            received_at_ms=self._clock.now_ms(), currency=key.account.currency
        )
        warnings: list[str] = []
        try:
            check_size(item)
            call = check(item, timing, warnings)
        except InvalidError as error:
            raise unprocessable(error.errors) from None
        recorded = self._storage.write(
            lambda stores: process(
                stores.tracking, key.tenant, key.account.policy, call
            )
        )
        if isinstance(recorded, Refused):
            raise unprocessable([recorded.error])
        return recorded, warnings


def _items(envelope: Mapping[str, object]) -> list[object]:
    if "events" not in envelope:
        raise HttpError(400, "missing_events", "Missing 'events' parameter")
    items = envelope["events"]
    if not isinstance(items, list):
        raise HttpError(400, "invalid_events", "Events must be an array")
    if len(items) > protocol.MAX_BATCH_EVENTS:
        raise HttpError(
            413,
            "batch_too_large",
            f"a batch may have {protocol.MAX_BATCH_EVENTS} events, not {len(items)}",
        )
    return items


def _idempotency_key(request: Request) -> str | None:
    key = request.header("X-Idempotency-Key") or request.header("Idempotency-Key")
    return key[: protocol.MAX_USER_ID] if key else None


def _own_visitor(request: Request) -> str | None:
    """Return the visitor of the request's own cookie, if it is well-formed."""
    value = unquote(request.cookie(protocol.VISITOR_COOKIE) or "")
    return value if protocol.WIRE_ID.fullmatch(value) else None


def _check_items(
    items: Sequence[object],
    timing: Timing,
    cookie_visitor: str | None,
    request: Request,
) -> list[Checked | InvalidError]:
    may_be_large = len(request.body()) > protocol.MAX_EVENT_BYTES
    checked: list[Checked | InvalidError] = []
    for item in items:
        try:
            if may_be_large:
                check_size(item)
            checked.append(check_item(item, timing, cookie_visitor))
        except InvalidError as error:
            checked.append(error)
    return checked


def _replay(known: tuple[str, str], digest: str) -> dict[str, object]:
    known_digest, text = known
    if known_digest != digest:
        raise HttpError(
            409,
            "idempotency_conflict",
            "this idempotency key was used for another body; use a new key",
        )
    reply: dict[str, object] = json.loads(text)
    return reply


def _process_batch(
    stores: Stores,
    key: ApiKey,
    items: Sequence[object],
    checked: Sequence[Checked | InvalidError],
) -> dict[str, object]:
    accepted: list[dict[str, object]] = []
    rejected: list[dict[str, object]] = []
    for index, (item, outcome) in enumerate(zip(items, checked, strict=True)):
        if isinstance(outcome, InvalidError):
            rejected.append(rejection(index, item, outcome.errors))
            continue
        recorded = process(
            stores.tracking, key.tenant, key.account.policy, outcome.call
        )
        if isinstance(recorded, Refused):
            rejected.append(rejection(index, item, [recorded.error]))
        else:
            body = item_body(recorded, outcome.warnings, live=key.live)
            sent_id = echo(item, "id")
            accepted.append({"id": sent_id, "status": "accepted", **body})
    return {"accepted": len(accepted), "rejected": rejected, "events": accepted}
