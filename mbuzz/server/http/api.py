"""The API's handlers: from HTTP to calls, through the pipeline, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources

from mbuzz import __version__, guard, protocol
from mbuzz.clock import Clock
from mbuzz.server import money
from mbuzz.server.http.bodies import (
    conversion_body,
    conversion_warnings,
    echo,
    identity_body,
    item_body,
    rejection,
)
from mbuzz.server.http.cookies import visitor_cookies
from mbuzz.server.http.errors import HttpError
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, json_response, text_response
from mbuzz.server.http.routes import Handler, Route
from mbuzz.server.ingestion import keys
from mbuzz.server.ingestion.fields import InvalidError, unquote
from mbuzz.server.ingestion.ratelimit import Allowance, RateLimiter
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
from mbuzz.server.reporting.channels import channel_report
from mbuzz.server.reporting.export import report_as_csv, report_as_dict
from mbuzz.server.reporting.period import Period
from mbuzz.server.storage.port import ApiKey, Storage, StorageError, Stores
from mbuzz.server.tracking.processor import (
    ConversionRecorded,
    IdentityRecorded,
    Recorded,
    Refused,
    process,
)

KeyHandler = Callable[[Request, ApiKey], Response]


class Api:
    """The routes under ``/api/v1``, and the document that describes them."""

    def __init__(self, storage: Storage, clock: Clock, limiter: RateLimiter) -> None:
        self._storage = storage
        self._clock = clock
        self._limiter = limiter

    def routes(self) -> list[Route]:
        """Return the routes; all but health and the document need a key."""
        prefix = protocol.API_PREFIX
        keyed: list[tuple[str, str, KeyHandler]] = [
            ("POST", "/events", self.events),
            ("POST", "/identify", self.identify),
            ("POST", "/alias", self.alias),
            ("POST", "/group", self.group),
            ("POST", "/conversions", self.conversions),
            ("GET", "/validate", self.validate),
            ("GET", "/reports/channels", self.report_channels),
        ]
        routes = [
            Route(method=method, path=prefix + path, handler=self._with_key(handler))
            for method, path, handler in keyed
        ]
        routes += [
            Route(method="GET", path=f"{prefix}/health", handler=self.health),
            Route(method="GET", path="/openapi.json", handler=self.openapi),
        ]
        return routes

    # -- who may --

    def _with_key(self, handler: KeyHandler) -> Handler:
        """Let a handler see only requests with a key that has allowance left."""

        def answer(request: Request) -> Response:
            key = self._authenticate(request)
            allowance = self._limiter.take(key.id)
            headers = _rate_headers(allowance)
            if not allowance.allowed:
                raise HttpError(
                    429,
                    "rate_limited",
                    f"too many requests with this key; wait {allowance.retry_after} s",
                    headers=[*headers, ("Retry-After", str(allowance.retry_after))],
                )
            try:
                return handler(request, key).with_headers(headers)
            except HttpError as error:
                error.headers = [*error.headers, *headers]
                raise

        return answer

    def _authenticate(self, request: Request) -> ApiKey:
        header = request.header("Authorization")
        try:
            key = self._storage.read(
                lambda stores: keys.authenticate(stores.accounts, header)
            )
        except keys.KeyRefusedError as error:
            raise HttpError(
                401,
                "unauthorized",
                str(error),
                headers=[("WWW-Authenticate", "Bearer")],
            ) from None
        now = self._clock.now_ms()
        if keys.needs_touch(key, now):
            self._storage.write(
                lambda stores: stores.accounts.touch_key(key.account.id, key.id, now)
            )
        return key

    # -- writing --

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
            raise _unprocessable(error.errors) from None
        recorded = self._storage.write(
            lambda stores: process(
                stores.tracking, key.tenant, call, key.account.currency
            )
        )
        if isinstance(recorded, Refused):
            raise _unprocessable([recorded.error])
        return recorded, warnings

    # -- reading --

    def validate(self, _request: Request, key: ApiKey) -> Response:
        """Say whom the key belongs to."""
        return json_response(
            {
                "valid": True,
                "account": {"id": key.account.public_id, "name": key.account.name},
                "environment": key.tenant.environment,
            }
        )

    def health(self, _request: Request) -> Response:
        """Say whether events can be taken."""
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

    def report_channels(self, request: Request, key: ApiKey) -> Response:
        """Say what each channel earned under each model."""
        query = request.query()
        try:
            period = Period.parse(
                query.get("from"),
                query.get("to"),
                key.account.timezone,
                self._clock.now_ms(),
            )
            models = [name for name in query.get("model", "").split(",") if name]
            currency = query.get("currency")
            report = self._storage.read(
                lambda stores: channel_report(
                    stores.reports,
                    key.tenant,
                    period,
                    default_currency=key.account.currency,
                    currency=money.currency_code(currency) if currency else None,
                    models=models,
                )
            )
        except ValueError as error:
            raise _unprocessable([str(error)]) from None
        if query.get("format") == "csv" or "text/csv" in (
            request.header("Accept") or ""
        ):
            return text_response(report_as_csv(report), "text/csv")
        return json_response(report_as_dict(report))


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
            stores.tracking, key.tenant, outcome.call, key.account.currency
        )
        if isinstance(recorded, Refused):
            rejected.append(rejection(index, item, [recorded.error]))
        else:
            body = item_body(recorded, outcome.warnings, live=key.live)
            sent_id = echo(item, "id")
            accepted.append({"id": sent_id, "status": "accepted", **body})
    return {"accepted": len(accepted), "rejected": rejected, "events": accepted}


def _rate_headers(allowance: Allowance) -> list[tuple[str, str]]:
    return [
        ("X-RateLimit-Limit", str(allowance.limit)),
        ("X-RateLimit-Remaining", str(allowance.remaining)),
        ("X-RateLimit-Reset", str(allowance.reset_after)),
    ]


def _unprocessable(errors: Sequence[str]) -> HttpError:
    return HttpError(422, "invalid", "; ".join(errors), details=list(errors))
