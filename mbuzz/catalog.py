"""Central event definitions: a project declares its events once, typed, in one module.

::

    class Signup(catalog.Event, name="Signup"):
        \"\"\"A visitor made an account.\"\"\"

        plan: Literal["free", "pro"]
        seats: int = 1
        coupon: Annotated[str | None, "code typed at the till"] = None

    Signup(plan="pro").track(user_id="42")

A type checker refuses what does not fit. At run time nothing raises: with
`strict_events` the client refuses the event (tests, debug) or warns (production),
without it a warning is logged and the event is recorded as it was given.
"""

from __future__ import annotations

import logging
import typing
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from inspect import cleandoc

from mbuzz import api, definitions, guard, protocol
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.definitions import Definition, describe, is_declared, problems, registered
from mbuzz.results import ConversionResult, TrackResult

if typing.TYPE_CHECKING:
    from mbuzz.client import Client

__all__ = [
    "Conversion",
    "Definition",
    "Event",
    "describe",
    "is_declared",
    "problems",
    "registered",
]

_QUIET_FOR = 60.0  # seconds between two warnings about one event

_logger = logging.getLogger("mbuzz.catalog")
_warned: dict[str, float] = {}


class _Declared:
    """What events and conversions share: a frozen dataclass that cannot fail to be.

    Its fields are the properties. What does not fit them is kept, since the event is
    recorded with it, and found by `problems`.
    """

    _kind: typing.ClassVar[str]
    _definition: typing.ClassVar[Definition | None] = None

    def __init_subclass__(
        cls, *, name: str | None = None, abstract: bool = False
    ) -> None:
        """Declare the class as *name*, by default its own; abstract ones lend fields.

        Raises:
            ConfigurationError: If the declaration cannot work or is there already.
        """
        doc = cleandoc(cls.__dict__.get("__doc__") or "")
        dataclass(frozen=True, kw_only=True, init=False)(cls)
        cls._definition = None
        if not abstract and "_kind" not in cls.__dict__:
            cls._definition = definitions.declare(
                cls, cls._kind, cls.__name__ if name is None else name, doc
            )

    def __init__(self, /, *positional: object, **given: object) -> None:
        sent: dict[str, object] = {}
        declared = fields(self)  # type: ignore[arg-type]
        for entry in declared:
            if entry.default is not MISSING:
                sent[entry.name] = entry.default
            elif entry.default_factory is not MISSING:
                with guard.swallowing("default of a declared event"):
                    sent[entry.name] = entry.default_factory()
        names = [entry.name for entry in declared]
        for number, value in enumerate(positional):
            known = number < len(names)
            sent[names[number] if known else f"positional_{number}"] = value
        sent.update(given)
        for one in names:
            object.__setattr__(self, one, sent.get(one))
        object.__setattr__(self, "_sent", sent)

    def _ready(self, client: Client | None) -> tuple[str, dict[str, object]]:
        """Return name and properties; say what is wrong if the client will not."""
        sent: dict[str, object] = self.__dict__["_sent"]
        definition = self._definition
        if definition is None:  # an abstract one: refused below as nameless
            return "", sent
        with guard.swallowing("check of a declared event"):
            asked = client or api.default_client()
            strict = asked is None or asked.config.strict_events
            wrong = [] if strict else definitions.misfits(definition, sent)
            if wrong:
                _warn(definition, wrong)
        return definition.name, sent


@typing.dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(field,)
)
class Event(_Declared):
    """Base of a project's events: ``class Signup(Event, name="Signup")``."""

    _kind = protocol.TRACK

    def track(
        self,
        *,
        user_id: str | int | None = None,
        visitor_id: str | None = None,
        anonymous_id: str | None = None,
        timestamp: datetime | float | str | None = None,
        event_id: str | None = None,
        session_id: str | None = None,
        request_id: str | None = None,
        flow_id: str | None = None,
        parent_id: str | None = None,
        wait: float | None = None,
        client: Client | None = None,
    ) -> TrackResult:
        """Record it as `mbuzz.track` does, through *client* or the default one."""
        name, properties = self._ready(client)
        return (client.track if client is not None else api.track)(
            name,
            properties=properties,
            user_id=user_id,
            visitor_id=visitor_id,
            anonymous_id=anonymous_id,
            timestamp=timestamp,
            event_id=event_id,
            session_id=session_id,
            request_id=request_id,
            flow_id=flow_id,
            parent_id=parent_id,
            wait=wait,
        )


@typing.dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(field,)
)
class Conversion(_Declared):
    """Base of a project's conversions: ``class Purchase(Conversion, name="...")``."""

    _kind = protocol.CONVERSION

    def record(
        self,
        *,
        user_id: str | int | None = None,
        visitor_id: str | None = None,
        event_id: str | None = None,
        revenue: Decimal | float | str | None = None,
        currency: str | None = None,
        order_id: str | int | None = None,
        idempotency_key: str | None = None,
        is_acquisition: bool = False,
        inherit_acquisition: bool = False,
        timestamp: datetime | float | str | None = None,
        request_id: str | None = None,
        flow_id: str | None = None,
        parent_id: str | None = None,
        wait: bool = True,
        client: Client | None = None,
    ) -> ConversionResult:
        """Record it as `mbuzz.conversion` does, through *client* or the default one."""
        name, properties = self._ready(client)
        return (client.conversion if client is not None else api.conversion)(
            name,
            properties=properties,
            user_id=user_id,
            visitor_id=visitor_id,
            event_id=event_id,
            revenue=revenue,
            currency=currency,
            order_id=order_id,
            idempotency_key=idempotency_key,
            is_acquisition=is_acquisition,
            inherit_acquisition=inherit_acquisition,
            timestamp=timestamp,
            request_id=request_id,
            flow_id=flow_id,
            parent_id=parent_id,
            wait=wait,
        )

    async def arecord(self, **options: typing.Any) -> ConversionResult:
        """Do `record` without blocking the event loop, waiting for the answer."""
        import asyncio

        return await asyncio.to_thread(lambda: self.record(**options))


def _warn(definition: Definition, wrong: list[str]) -> None:
    now = SYSTEM_CLOCK.monotonic()
    if now - _warned.get(definition.name, -_QUIET_FOR) >= _QUIET_FOR:
        _warned[definition.name] = now
        _logger.warning(
            "event does not fit its declaration (name=%s, problems=%s)",
            definition.name,
            "; ".join(wrong),
        )
