"""The client: turns calls into encoded items and hands them to delivery."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from mbuzz import context as contexts
from mbuzz import events, guard, ids, protocol, serialization
from mbuzz.clock import SYSTEM_CLOCK, Clock
from mbuzz.config import Config
from mbuzz.delivery.queue import Answer, Item
from mbuzz.delivery.worker import Delivery
from mbuzz.results import ConversionResult, TrackResult

if TYPE_CHECKING:
    from datetime import datetime

    from mbuzz.delivery.stats import Stats
    from mbuzz.delivery.transport import Transport

_EXIT_TIMEOUT = 2.0  # seconds that the end of the process may wait for delivery
_LONGEST_WAIT = 86_400.0


def _failed_track() -> TrackResult:
    return TrackResult(success=False, error="internal_error")


def _failed_conversion() -> ConversionResult:
    return ConversionResult(success=False, error="internal_error")


def _false() -> bool:
    return False


class Client:
    """One configured connection to one account; safe to use from any thread.

    Its tracking calls never raise and, but for `conversion`, never wait.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock = SYSTEM_CLOCK,
        transport: Callable[[], Transport] | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        self._transport = transport
        self._lock = threading.RLock()  # a finalizer may track at any point
        self._delivery = self._new_delivery()
        self._exit_hook = False
        self._leave_by: float | None = None  # set when the process ends

    def _new_delivery(self) -> Delivery:
        return Delivery(self.config, self.clock, self._transport)

    @property
    def delivery(self) -> Delivery:
        """Return this process's delivery, a new one after a fork or a close."""
        if self._delivery.foreign:
            self._lock = threading.RLock()  # the parent's may be held for ever
            self._exit_hook = False
        if self._delivery.foreign or self._delivery.closed:
            with self._lock:
                if self._delivery.foreign or self._delivery.closed:
                    self._delivery = self._new_delivery()
        return self._delivery

    # -- calls --

    @guard.guarded(_failed_track)
    def track(
        self,
        event: str,
        *,
        user_id: str | int | None = None,
        visitor_id: str | None = None,
        anonymous_id: str | None = None,
        properties: Mapping[str, object] | None = None,
        timestamp: datetime | float | str | None = None,
        event_id: str | None = None,
        session_id: str | None = None,
        request_id: str | None = None,
        flow_id: str | None = None,
        parent_id: str | None = None,
        wait: float | None = None,
        context: contexts.RequestContext | None = None,
        express: Future[Answer] | None = None,
    ) -> TrackResult:
        """Record that *event* happened; see `mbuzz.track`.

        The middleware alone passes *context* and *express*: the request it serves, and
        the reply it watches for the backend's cookies.
        """
        if not self.config.enabled:
            return TrackResult(success=False, error="disabled")
        around = context or contexts.current()
        try:
            event_type = events.name(event, "missing_event")
            now = self.clock.now_ms()
            item_id = events.item_id(event_id) or ids.event_id(now)
            item: dict[str, object] = {
                "type": protocol.TRACK,
                "id": item_id,
                "event_type": event_type,
                **events.identity(user_id, visitor_id or anonymous_id, around),
                "timestamp": events.when(timestamp, now),
                "properties": events.with_page(properties, around),
            }
            session = events.text_id(session_id, "invalid_session_id")
            if session is not None:
                item["session_id"] = session
            tied = events.correlation(
                around, request_id=request_id, flow_id=flow_id, parent_id=parent_id
            )
            if tied:
                item["correlation"] = tied
            seconds = self._patience(wait or 0.0)
            answer = self._submit(item, item_id, wait=seconds, express=express)
        except (events.InvalidEventError, serialization.EventTooLargeError) as error:
            return TrackResult(success=False, error=self._refuse(error))
        if answer is not None and not answer.delivered:
            return TrackResult(success=False, event_id=item_id, error=answer.error)
        return TrackResult(success=True, event_id=item_id)

    @guard.guarded(_failed_track)
    def page(
        self,
        *,
        url: str | None = None,
        referrer: str | None = None,
        user_id: str | int | None = None,
        visitor_id: str | None = None,
        properties: Mapping[str, object] | None = None,
        timestamp: datetime | float | str | None = None,
        event_id: str | None = None,
        session_id: str | None = None,
    ) -> TrackResult:
        """Record a page view; see `mbuzz.page`."""
        try:
            page = events.mapping(properties, "invalid_properties")
        except events.InvalidEventError as error:
            return TrackResult(success=False, error=self._refuse(error))
        if url is not None:
            page["url"] = url
        if referrer is not None:
            page["referrer"] = referrer
        return self.track(
            protocol.PAGE_VIEW,
            user_id=user_id,
            visitor_id=visitor_id,
            properties=page,
            timestamp=timestamp,
            event_id=event_id,
            session_id=session_id,
        )

    @guard.guarded(_false)
    def identify(
        self,
        user_id: str | int,
        *,
        visitor_id: str | None = None,
        traits: Mapping[str, object] | None = None,
        timestamp: datetime | float | str | None = None,
    ) -> bool:
        """Say who the visitor is; see `mbuzz.identify`."""
        if not self.config.enabled:
            return False
        around = contexts.current()
        try:
            user = events.text_id(user_id, "invalid_user_id")
            if user is None:
                raise events.InvalidEventError("missing_identity")
            if around is not None and visitor_id is None:
                around.user_id = user  # a log-in: the request's visitor is this user
            now = self.clock.now_ms()
            item_id = ids.event_id(now)
            who = events.identity(user, visitor_id, around)
            item = {
                "type": protocol.IDENTIFY,
                "id": item_id,
                **who,
                "timestamp": events.when(timestamp, now),
                "traits": events.mapping(traits, "invalid_traits"),
            }
            answer = self._submit(item, item_id)
        except (events.InvalidEventError, serialization.EventTooLargeError) as error:
            self._refuse(error)
            return False
        return answer is None or answer.delivered

    @guard.guarded(_false)
    def alias(self, user_id: str | int, previous_id: str) -> bool:
        """Say that two ids are one person; see `mbuzz.alias`."""
        if not self.config.enabled:
            return False
        try:
            user = events.text_id(user_id, "invalid_user_id")
            previous = events.text_id(previous_id, "invalid_previous_id")
            if user is None or previous is None:
                raise events.InvalidEventError("missing_identity")
            now = self.clock.now_ms()
            item_id = ids.event_id(now)
            item = {
                "type": protocol.ALIAS,
                "id": item_id,
                "user_id": user,
                "previous_id": previous,
                "timestamp": events.when(None, now),
            }
            answer = self._submit(item, item_id)
        except (events.InvalidEventError, serialization.EventTooLargeError) as error:
            self._refuse(error)
            return False
        return answer is None or answer.delivered

    @guard.guarded(_failed_conversion)
    def conversion(
        self,
        conversion_type: str,
        *,
        user_id: str | int | None = None,
        visitor_id: str | None = None,
        event_id: str | None = None,
        revenue: Decimal | float | str | None = None,
        currency: str | None = None,
        order_id: str | int | None = None,
        idempotency_key: str | None = None,
        properties: Mapping[str, object] | None = None,
        is_acquisition: bool = False,
        inherit_acquisition: bool = False,
        timestamp: datetime | float | str | None = None,
        wait: bool = True,
    ) -> ConversionResult:
        """Record that a goal was reached; see `mbuzz.conversion`."""
        if not self.config.enabled:
            return ConversionResult(success=False, error="disabled")
        around = contexts.current()
        try:
            goal = events.name(conversion_type, "missing_conversion_type")
            now = self.clock.now_ms()
            item_id = ids.conversion_id(now)
            item: dict[str, object] = {
                "type": protocol.CONVERSION,
                "id": item_id,
                "conversion_type": goal,
                "timestamp": events.when(timestamp, now),
                "properties": events.with_page(properties, around),
            }
            item |= _who_converted(user_id, visitor_id, event_id, around)
            key = events.text_id(idempotency_key, "invalid_idempotency_key")
            optional = {
                "event_id": events.text_id(event_id, "invalid_event_id"),
                "revenue": events.money(revenue),
                "currency": events.text_id(currency, "invalid_currency"),
                "order_id": events.text_id(order_id, "invalid_order_id"),
                "idempotency_key": key,
                "is_acquisition": True if is_acquisition else None,
                "inherit_acquisition": True if inherit_acquisition else None,
            }
            item |= {k: v for k, v in optional.items() if v is not None}
            seconds = self._patience(self.config.conversion_timeout if wait else 0.0)
            answer = self._submit(item, item_id, wait=seconds)
        except (events.InvalidEventError, serialization.EventTooLargeError) as error:
            return ConversionResult(success=False, error=self._refuse(error))
        return _conversion_result(item_id, answer)

    def _patience(self, seconds: float) -> float:
        """Return *seconds*, bounded; 0 in an event loop, which must not be blocked."""
        seconds = min(max(float(seconds), 0.0), _LONGEST_WAIT)
        asyncio = sys.modules.get("asyncio")
        if asyncio is None or self.config.delivery == "sync":
            return seconds
        return 0.0 if asyncio._get_running_loop() is not None else seconds

    def _submit(
        self,
        item: Mapping[str, object],
        item_id: str,
        *,
        wait: float = 0.0,
        express: Future[Answer] | None = None,
    ) -> Answer | None:
        body = serialization.encode(item, redact=self.config.pii != "off")
        ready = Item(
            kind=cast("str", item["type"]),
            id=item_id,
            body=body,
            enqueued_at=self.clock.monotonic(),
            reply=express,
        )
        delivery = self.delivery
        if not self._exit_hook:
            self._exit_hook = True
            self._close_at_exit()
        answer = delivery.submit(ready, wait=wait, express=express is not None)
        if self._leave_by is not None:  # nobody comes after us
            delivery.flush(self._leave_by - SYSTEM_CLOCK.monotonic())
        return answer

    def _close_at_exit(self) -> None:
        atexit.register(self._leave)
        loaded = sys.modules.get("multiprocessing")
        if loaded is not None and loaded.parent_process() is not None:
            # A child of multiprocessing ends without atexit, but not without these.
            from multiprocessing.util import Finalize

            Finalize(None, self._leave, exitpriority=0)

    def _leave(self) -> None:
        """Close for good: what the host's own exit handlers track is sent at once."""
        self._leave_by = SYSTEM_CLOCK.monotonic() + _EXIT_TIMEOUT
        self.close(_EXIT_TIMEOUT)

    def _refuse(self, error: Exception) -> str:
        reason = (
            str(error)
            if isinstance(error, events.InvalidEventError)
            else "event_too_large"
        )
        self.delivery.refuse(reason)
        return reason

    # -- delivery --

    @guard.guarded(_false)
    def flush(self, timeout: float = 5.0) -> bool:
        """Send what is queued; return whether all of it was settled in time."""
        return self.delivery.flush(min(timeout, _LONGEST_WAIT))

    @guard.guarded(_false)
    def close(self, timeout: float = 2.0) -> bool:
        """Flush and stop; return whether all was settled. A later call starts anew."""
        if self._delivery.foreign:
            return True
        if self._exit_hook:
            self._exit_hook = False
            atexit.unregister(self._leave)
        return self._delivery.close(min(timeout, _LONGEST_WAIT))

    def stats(self) -> Stats:
        """Return what became of every event since the client was made or closed."""
        # Not of the parent of a fork, whose locks may be held for ever.
        own = self.delivery if self._delivery.foreign else self._delivery
        return own.stats()


def _who_converted(
    user_id: object,
    visitor_id: object,
    event_id: object,
    around: contexts.RequestContext | None,
) -> dict[str, object]:
    """Return the identity of a conversion; the id of its event is one as well."""
    try:
        return events.identity(user_id, visitor_id, around)
    except events.InvalidEventError as error:
        if event_id is None or str(error) != "missing_identity":
            raise
        return {}


def _conversion_result(item_id: str, answer: Answer | None) -> ConversionResult:
    if answer is None:
        return ConversionResult(success=True, conversion_id=item_id)
    if not answer.delivered:
        return ConversionResult(
            success=False, conversion_id=item_id, error=answer.error
        )
    credits_ = answer.body.get("attribution_credits")
    return ConversionResult(
        success=True,
        conversion_id=str(answer.body.get("conversion_id") or item_id),
        attribution=credits_ if isinstance(credits_, dict) else None,
        duplicate=answer.body.get("duplicate") is True,
    )
