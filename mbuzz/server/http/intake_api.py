"""The routes that take calls: from HTTP to the pipeline, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from mbuzz import protocol
from mbuzz.clock import Clock
from mbuzz.server.http.access import KeyRoute
from mbuzz.server.http.bodies import (
    echo,
    identity_body,
    item_body,
    rejection,
)
from mbuzz.server.http.cookies import visitor_cookies
from mbuzz.server.http.errors import HttpError
from mbuzz.server.http.idempotency import (
    KEPT_MS,
    body_digest,
    idempotency_key,
    replay,
)
from mbuzz.server.http.known_fields import unknown_fields
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, json_response
from mbuzz.server.http.single_call import carry_out
from mbuzz.server.ingestion.fields import InvalidError, unquote
from mbuzz.server.ingestion.timing import Timing
from mbuzz.server.ingestion.validation import (
    Checked,
    check_alias,
    check_group,
    check_identify,
    check_item,
    check_size,
)
from mbuzz.server.metrics import Metrics
from mbuzz.server.model import (
    EMPTY,
    Call,
    TrackCall,
)
from mbuzz.server.storage.pending import Pending
from mbuzz.server.storage.port import Storage, Stores
from mbuzz.server.storage.rows.accounts import ApiKey
from mbuzz.server.tracking.intake import Batch, Intake
from mbuzz.server.tracking.recorded import (
    IdentityRecorded,
    Recorded,
    Refused,
)

Outcome = TypeVar("Outcome")

_RECENT_MS: Final = 3_600_000


class IntakeApi:
    """Takes events and the other calls, in batches or one by one."""

    def __init__(self, storage: Storage, clock: Clock, metrics: Metrics) -> None:
        self._storage = storage
        self._clock = clock
        self._metrics = metrics
        self._intake = Intake()

    def routes(self) -> list[KeyRoute]:
        """Return the routes."""
        table = {
            "/events": self.events,
            "/identify": self.identify,
            "/alias": self.alias,
            "/group": self.group,
        }
        return [
            KeyRoute(method="POST", path=path, handler=handler, scope="ingest")
            for path, handler in table.items()
        ]

    def events(self, request: Request, key: ApiKey) -> Response:
        """Take a batch; each item is accepted or rejected by itself."""
        return self.begin_events(request, key).response()

    def begin_events(
        self, request: Request, key: ApiKey, *, wake: bool = True
    ) -> Taking:
        """Begin to take a batch; it is taken once it is on disk.

        Without *wake* it may not go on before the storage is woken.

        Raises:
            HttpError: If it is no batch.
            StorageBusyError: If too many wait.
        """
        envelope = request.json_object()
        items = _items(envelope)
        batch_key = idempotency_key(request)
        now = self._clock.now_ms()
        timing = Timing.of_batch(
            now,
            envelope.get("sent_at"),
            key.account.currency,
            any_age="import" in key.scopes,
            max_age_days=key.account.policy.max_event_age,
        )
        checked = _check_items(items, timing, request)
        if not key.live:
            _tell_unknown(items, checked)
        taken = _Items(items, checked, key)

        def noted(reply: dict[str, object]) -> None:
            self._metrics.took_batch(reply, repeated=taken.repeated)

        if batch_key is None:
            batch = Batch(key.tenant, key.account.policy, taken.calls)
            # Calls about people may change much that was known of them, and those of
            # long ago ask for much that came since: neither is for the loop.
            wake = wake or any(
                type(call) is not TrackCall or call.occurred_at_ms < now - _RECENT_MS
                for call in taken.calls
            )
            pending = self._storage.submit(
                self._intake.record, batch, len(items), wake=wake
            )
            return Taking(self._storage, pending, taken.reply, taken.calls, noted)
        digest = body_digest(request, envelope)

        def once(stores: Stores, _payloads: Sequence[None]) -> list[dict[str, object]]:
            return [_once(stores, self._intake, taken, batch_key, digest, now)]

        pending_reply = self._storage.submit(once, None, len(items))
        return Taking(
            self._storage, pending_reply, lambda reply: reply, taken.calls, noted
        )

    def identify(self, request: Request, key: ApiKey) -> Response:
        """Link a visitor to a user."""
        recorded, warnings = carry_out(
            self._storage, self._clock, request, key, check_identify
        )
        assert isinstance(recorded, IdentityRecorded)
        return _success(warnings, identity_body(recorded))

    def alias(self, request: Request, key: ApiKey) -> Response:
        """Make two ids one person."""
        _, warnings = carry_out(self._storage, self._clock, request, key, check_alias)
        return _success(warnings)

    def group(self, request: Request, key: ApiKey) -> Response:
        """Keep what is said of a group."""
        _, warnings = carry_out(self._storage, self._clock, request, key, check_group)
        return _success(warnings)


def _success(warnings: list[str], more: Mapping[str, object] = EMPTY) -> Response:
    told: dict[str, object] = {"warnings": warnings} if warnings else {}
    return json_response({"success": True, **more, **told})


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


def _own_visitor(request: Request) -> str | None:
    """Return the visitor of the request's own cookie, if it is well-formed."""
    given = request.cookie(protocol.VISITOR_COOKIE)
    value = unquote(given) if given else ""
    return value if value and protocol.WIRE_ID.fullmatch(value) else None


def _check_items(
    items: Sequence[object], timing: Timing, request: Request
) -> list[Checked | InvalidError]:
    cookie_visitor = _own_visitor(request)
    may_be_large = len(request.body()) > protocol.MAX_EVENT_BYTES
    checked: list[Checked | InvalidError] = []
    for item in items:
        try:
            if may_be_large:
                check_size(item)
            checked.append(check_item(item, timing, cookie_visitor))
        except InvalidError as error:
            checked.append(error)
    environ = request.environ
    if environ.get("HTTP_SEC_GPC") == "1" or environ.get("HTTP_DNT") == "1":
        for one in checked:
            if isinstance(one, Checked) and isinstance(one.call, TrackCall):
                refused = one.call.refused | {"gpc"}
                one.call = one.call._replace(refused=refused)
    return checked


def _tell_unknown(
    items: Sequence[object], checked: Sequence[Checked | InvalidError]
) -> None:
    for item, outcome in zip(items, checked, strict=True):
        if isinstance(outcome, Checked):
            outcome.warnings += unknown_fields(item)


class _Items:
    """A batch's items: the calls among them, and what is said of each in the end."""

    def __init__(
        self,
        items: Sequence[object],
        checked: Sequence[Checked | InvalidError],
        key: ApiKey,
    ) -> None:
        self._items = items
        self._checked = checked
        self.key = key
        self.repeated = False  # the whole batch, by its idempotency key
        self.calls = [one.call for one in checked if isinstance(one, Checked)]

    def reply(self, recorded: Sequence[Recorded]) -> dict[str, object]:
        """Return the answer to the batch."""
        live = self.key.live
        done = iter(recorded)
        accepted: list[dict[str, object]] = []
        rejected: list[dict[str, object]] = []
        for index, (item, one) in enumerate(
            zip(self._items, self._checked, strict=True)
        ):
            if isinstance(one, InvalidError):
                rejected.append(rejection(index, item, one.errors))
                continue
            outcome = next(done)
            if isinstance(outcome, Refused):
                rejected.append(rejection(index, item, [outcome.error]))
                continue
            body = item_body(outcome, one.warnings, live=live)
            body["status"] = "accepted"
            if "id" not in body:
                body["id"] = echo(item, "id")
            accepted.append(body)
        return {"accepted": len(accepted), "rejected": rejected, "events": accepted}


class Taking:
    """A batch that is being taken, and its answer once that is done."""

    def __init__(
        self,
        storage: Storage,
        pending: Pending[Outcome],
        reply: Callable[[Outcome], dict[str, object]],
        calls: Sequence[Call],
        noted: Callable[[dict[str, object]], None],
    ) -> None:
        self._storage = storage
        self._pending = pending
        self._reply = reply
        self._calls = calls
        self._noted = noted

    def when_done(self, callback: Callable[[], None]) -> None:
        """Have *callback* called once the answer is there, on any thread."""
        self._pending.when_done(callback)

    def response(self) -> Response:
        """Return the answer, waiting for it if need be.

        Raises:
            HttpError: If the batch is refused after all.
            StorageBusyError: If it cannot be stored just now.
        """
        if not self._pending.done():
            self._storage.wake()  # whoever waits here has nothing more to begin
        reply = self._reply(self._storage.outcome(self._pending))
        self._noted(reply)
        return json_response(reply, 202, visitor_cookies(reply["events"], self._calls))


def _once(
    stores: Stores,
    intake: Intake,
    taken: _Items,
    batch_key: str,
    digest: str,
    now_ms: int,
) -> dict[str, object]:
    """Take a batch unless one with its idempotency key was taken before."""
    tenant = taken.key.tenant
    known = stores.tracking.reply(tenant, batch_key, now_ms - KEPT_MS)
    if known is not None:
        taken.repeated = True
        return replay(known, digest)
    batch = Batch(tenant, taken.key.account.policy, taken.calls)
    reply = taken.reply(intake.record(stores, [batch])[0])
    text = json.dumps(reply)
    stores.tracking.save_reply(tenant, batch_key, digest, text, now_ms)
    return reply
