"""The client: turns calls into encoded items and hands them to delivery."""

from __future__ import annotations

import sys
from os import getpid

from mbuzz import (
    asynchronous,
    events,
    guard,
    ids,
    protocol,
    results,
    serialization,
    warmup,
)
from mbuzz import context as contexts
from mbuzz.clock import SYSTEM_CLOCK, iso
from mbuzz.delivery import lifetime as ends
from mbuzz.delivery import worker
from mbuzz.fragments import Fragments
from mbuzz.gate import Gate
from mbuzz.results import ConversionResult, TrackResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from datetime import datetime
    from decimal import Decimal

    from mbuzz.clock import Clock
    from mbuzz.config import Config
    from mbuzz.delivery.queue import Answer
    from mbuzz.delivery.stats import Health, Stats
    from mbuzz.delivery.transport import Transport

_LONGEST_WAIT = 86_400.0
_MOST_CLOSES = 3  # that one call may run into
_BAD_CALL = (events.InvalidEventError, serialization.EventTooLargeError)
_TRACKING = guard.swallowing("Client.track")
_current = contexts.current


def _failed_track(client: Client) -> TrackResult:
    return TrackResult(success=False, error=client.count_failure())


def _failed_conversion(client: Client) -> ConversionResult:
    return ConversionResult(success=False, error=client.count_failure())


def _failed(client: Client) -> bool:
    client.count_failure()
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
        warmup.load(config)
        self._encoder = serialization.Encoder(
            pii=config.pii,
            redact_keys=config.redact_keys,
            redact_patterns=config.redact_patterns,
            allow_keys=config.allow_keys,
        )
        self._fragments = Fragments(self._encoder)
        self._gate = Gate(config)
        self._reviews = config.before_send is not None
        self._picky = self._gate.samples or config.strict_events
        self._lifetime = ends.Lifetime(
            lambda: worker.Delivery(config, clock, transport)
        )

    @property
    def delivery(self) -> worker.Delivery:
        """Return this process's delivery, a new one after a fork or a close."""
        return self._lifetime.delivery()

    # -- calls --

    def track(  # noqa: C901 - in one piece: every call here is time of the host's
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
        with _TRACKING:
            if not self.config.enabled:
                return TrackResult(success=False, error="disabled")
            try:
                around = context or _current()
                name = self._fragments.names.get(event) if type(event) is str else None
                if name is None:
                    name = self._fragments.name(event)
                now = self.clock.now_ms()
                delivery = self._lifetime.latest
                if delivery is None or delivery.pid != getpid() or delivery.closed:
                    delivery = self._lifetime.delivery()
                if event_id is None:
                    item_id = delivery.ids.event_id(now)
                    text = f'{{"type":"track","id":"{item_id}","event_type":{name}'
                else:
                    item_id = events.item_id(event_id) or ids.event_id(now)
                    own = self._encoder.text(item_id)
                    text = f'{{"type":"track","id":{own},"event_type":{name}'
                if visitor_id is None:
                    visitor_id = anonymous_id
                who = self._fragments.who(user_id, visitor_id, session_id, around)
                if around is not None:
                    properties = events.with_page(properties, around)
                elif type(properties) is not dict:
                    properties = events.mapping(properties)
                if self._picky:
                    self._pick(event, who, properties)
                at = iso(now) if timestamp is None else events.when(timestamp, now)
                packed = self._encoder.mapping(properties)
                text = f'{text}{who},"timestamp":"{at}","properties":{packed}'
                if not (
                    around is None
                    and request_id is None
                    and flow_id is None
                    and parent_id is None
                ):
                    text += self._fragments.correlation(
                        around, request_id, flow_id, parent_id
                    )
                body = f"{text}}}".encode("ascii")
                if not (
                    wait is None
                    and express is None
                    and ends.leave_by is None
                    and not self._reviews
                ):
                    seconds = 0.0 if wait is None else self._patience(wait)
                    answer = self._submit(body, wait=seconds, express=express)
                elif len(body) > protocol.MAX_EVENT_BYTES:
                    raise serialization.EventTooLargeError
                else:
                    answer = delivery.submit(body)
                    if answer is worker.CLOSED:
                        answer = self._submit(body)
            except _BAD_CALL as error:
                return TrackResult(success=False, error=self._refuse(error))
            if answer is None or answer.delivered:
                return results.tracked(item_id)
            return TrackResult(success=False, event_id=item_id, error=answer.error)
        return _failed_track(self)

    def _pick(self, event: object, who: str, properties: Mapping[str, object]) -> None:
        if self.config.strict_events:
            name = events.name(event, "missing_event")
            self._gate.check_declared(
                protocol.TRACK, name, properties, self.delivery.warn
            )
        if self._gate.samples:
            self._gate.sample(who)

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
        page = events.mapping(properties)
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

    @guard.guarded(_failed)
    def identify(
        self,
        user_id: str | int,
        *,
        visitor_id: str | None = None,
        traits: Mapping[str, object] | None = None,
        timestamp: datetime | float | str | None = None,
    ) -> bool:
        """Say who the visitor is; see `mbuzz.identify`."""

        def item(now: int) -> dict[str, object]:
            user = events.required_id(user_id, "invalid_user_id")
            around = _current()
            events.check_consent(around)
            if around is not None and visitor_id is None:
                around.user_id = user  # a log-in: the request's visitor is this user
            return {
                **events.identity(user, visitor_id, around),
                "timestamp": events.when(timestamp, now),
                "traits": events.mapping(traits),
            }

        return self._say(protocol.IDENTIFY, item)

    @guard.guarded(_failed)
    def alias(self, user_id: str | int, previous_id: str) -> bool:
        """Say that two ids are one person; see `mbuzz.alias`."""

        def item(now: int) -> dict[str, object]:
            events.check_consent(_current())
            return {
                "user_id": events.required_id(user_id, "invalid_user_id"),
                "previous_id": events.required_id(previous_id, "invalid_previous_id"),
                "timestamp": iso(now),
            }

        return self._say(protocol.ALIAS, item)

    @guard.guarded(_failed)
    def group(
        self,
        group_id: str | int,
        *,
        user_id: str | int | None = None,
        visitor_id: str | None = None,
        traits: Mapping[str, object] | None = None,
        timestamp: datetime | float | str | None = None,
    ) -> bool:
        """Say what a group is, and that somebody belongs to it; see `mbuzz.group`."""

        def item(now: int) -> dict[str, object]:
            return {
                "group_id": events.required_id(group_id, "invalid_group_id"),
                **events.identity(user_id, visitor_id, _current(), needed=False),
                "timestamp": events.when(timestamp, now),
                "traits": events.mapping(traits),
            }

        return self._say(protocol.GROUP, item)

    def _say(self, kind: str, item: Callable[[int], dict[str, object]]) -> bool:
        """Send what is not an event of its own; return whether it was taken."""
        if not self.config.enabled:
            return False
        now = self.clock.now_ms()
        try:
            whole = {"type": kind, "id": ids.event_id(now), **item(now)}
            answer = self._submit(self._encoder.item(whole), important=True)
        except _BAD_CALL as error:
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
        request_id: str | None = None,
        flow_id: str | None = None,
        parent_id: str | None = None,
        wait: bool = True,
    ) -> ConversionResult:
        """Record that a goal was reached; see `mbuzz.conversion`."""
        if not self.config.enabled:
            return ConversionResult(success=False, error="disabled")
        now = self.clock.now_ms()
        item_id = ids.conversion_id(now)
        try:
            item = events.conversion(
                item_id,
                now,
                _current(),
                conversion_type=conversion_type,
                user_id=user_id,
                visitor_id=visitor_id,
                event_id=event_id,
                revenue=revenue,
                currency=currency,
                order_id=order_id,
                idempotency_key=idempotency_key,
                properties=properties,
                is_acquisition=is_acquisition,
                inherit_acquisition=inherit_acquisition,
                timestamp=timestamp,
                tied={
                    "request_id": request_id,
                    "flow_id": flow_id,
                    "parent_id": parent_id,
                },
            )
            if self.config.strict_events:
                self._gate.check_declared(
                    protocol.CONVERSION,
                    str(item["conversion_type"]),
                    events.mapping(properties),
                    self.delivery.warn,
                )
            seconds = self._patience(self.config.conversion_timeout if wait else 0.0)
            body = self._encoder.item(item)
            answer = self._submit(body, important=True, wait=seconds)
        except _BAD_CALL as error:
            return ConversionResult(success=False, error=self._refuse(error))
        if answer is None:
            return ConversionResult(success=True, conversion_id=item_id)
        if not answer.delivered:
            return ConversionResult(
                success=False, conversion_id=item_id, error=answer.error
            )
        return results.converted(item_id, answer.body)

    def _patience(self, seconds: float) -> float:
        """Return *seconds*, bounded; 0 in an event loop, which must not be blocked."""
        given = guard.attempt(lambda: float(seconds), lambda _: 0.0)
        seconds = min(max(given, 0.0), _LONGEST_WAIT) if given == given else 0.0
        asyncio = sys.modules.get("asyncio")
        if asyncio is None or self.config.delivery == "sync":
            return seconds
        return 0.0 if asyncio._get_running_loop() is not None else seconds

    def _submit(
        self,
        body: bytes,
        *,
        important: bool = False,
        wait: float = 0.0,
        express: Future[Answer] | None = None,
    ) -> Answer | None:
        if len(body) > protocol.MAX_EVENT_BYTES:
            raise serialization.EventTooLargeError
        if self._reviews:
            body = self._gate.review(body)
        for _ in range(_MOST_CLOSES):
            answer = self.delivery.submit(
                body,
                important=important,
                wait=wait,
                express=express,
            )
            if answer is not worker.CLOSED:
                break  # or another thread has closed it at this very moment
        else:
            self.delivery.refuse("closed")
        self._lifetime.after_submission()
        return answer

    def count_failure(self) -> str:
        """Count a call that a bug, here or in what was handed in, has ended."""
        with guard.swallowing("count"):
            self.delivery.refuse("internal_error")
        return "internal_error"

    def _refuse(self, error: Exception) -> str:
        if isinstance(error, events.LeftOutError):
            self.delivery.leave_out(str(error))
            return str(error)
        known = isinstance(error, events.InvalidEventError)
        reason = str(error) if known else "event_too_large"
        self.delivery.refuse(reason)
        return reason

    # -- delivery --

    @guard.guarded(_failed)
    def flush(self, timeout: float = 5.0) -> bool:
        """Send what is queued; return whether all of it was settled in time."""
        return self.delivery.flush(min(timeout, _LONGEST_WAIT))

    @guard.guarded(_failed)
    def close(self, timeout: float = 2.0) -> bool:
        """Flush and stop; return whether all was settled. A later call starts anew."""
        return self._lifetime.close(min(timeout, _LONGEST_WAIT))

    def stats(self) -> Stats:
        """Return what became of every event since the client was made or closed."""
        return self._own_delivery().stats()

    def health(self) -> Health:
        """Return whether events arrive; true unless they do not."""
        return self._own_delivery().health()

    def _own_delivery(self) -> worker.Delivery:
        # Not that of the parent of a fork, whose locks may be held for ever.
        return self._lifetime.own or self.delivery

    atrack = asynchronous.twin(track)
    apage = asynchronous.twin(page)
    aidentify = asynchronous.twin(identify)
    aalias = asynchronous.twin(alias)
    agroup = asynchronous.twin(group)
    aconversion = asynchronous.twin(conversion)
    aflush = asynchronous.twin(flush)
    aclose = asynchronous.twin(close)
