"""The module-level functions: one default client, found or made when first needed."""

from __future__ import annotations

import logging
import os
import threading

from mbuzz import asynchronous, guard, travel
from mbuzz import context as contexts
from mbuzz.client import Client
from mbuzz.config import Config
from mbuzz.results import ConversionResult, TrackResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

    from mbuzz.context import RequestContext
    from mbuzz.delivery.stats import Health, Stats

_logger = logging.getLogger("mbuzz")
_lock = threading.RLock()
_WRONG = "not configured, nothing will be tracked: %s"
_STAYS = "not configured anew, the options before stay in force: %s"
_MISSING = (
    "not configured, nothing is tracked; call mbuzz.configure(api_key=...) "
    "or set MBUZZ_API_KEY"
)

_client: Client | None = None
_configured: Mapping[str, object] = {}  # by the program itself, not by a framework
_asked_environment = False


def _renew_lock() -> None:
    """Make what a thread of the parent may hold for ever anew, in a child of a fork."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def configure(*, strict: bool = False, **options: object) -> bool:
    """Set up the default client; return whether the options work.

    Every option of `mbuzz.Config` can be given here or as an environment variable
    ``MBUZZ_<OPTION>``; what is given here wins. What was queued under an earlier
    configuration is sent first.

    Raises:
        ConfigurationError: If *strict* and an option cannot work; without it the
            same text is logged once as an error.
    """
    return _configure(options, options, strict=strict)


def _configure(
    options: Mapping[str, object], own: Mapping[str, object], *, strict: bool = False
) -> bool:
    """Do `configure`; *own* is what the program itself has a part in it."""
    global _asked_environment, _configured
    config = guard.attempt(lambda: _loaded(options), lambda error: error)
    if isinstance(config, Exception):
        if strict:
            raise config
        with guard.swallowing("configure"):
            _logger.error(_WRONG if _client is None else _STAYS, config)
        # Without these options, such as consent, the environment's are not enough.
        _asked_environment = True
        return False
    if _client is None or _client.config != config:  # or a factory runs again
        if config.debug:
            logging.getLogger("mbuzz").setLevel(logging.DEBUG)
        use(Client(config))
    _configured = own
    return True


init = configure


def configure_also(options: Mapping[str, object]) -> bool:
    """Do `configure` for the settings of a framework.

    What the program itself has configured stays where the settings say nothing else: a
    consent function, or the address of the backend, must not get lost.
    """
    return _configure(completed(options), _configured)


def completed(options: Mapping[str, object]) -> dict[str, object]:
    """Return a framework's settings with what the program itself has configured."""
    given = {name: value for name, value in options.items() if value is not None}
    if _client is not None:  # a test's may be all there is
        key = _configured.get("api_key") or _client.config.api_key
        given.setdefault("api_key", key or None)
    return {**_configured, **given}


def _loaded(options: Mapping[str, object]) -> Config | Exception:
    return Config.load(options)


def use(client: Client | None) -> Client | None:
    """Make *client* the default one and return the one before, flushed."""
    global _client, _configured, _asked_environment
    with _lock:
        before, _client = _client, client
        _configured = {}
        _asked_environment = client is not None
    if before is not None:
        before.close()
    return before


def swap(client: Client | None) -> Client | None:
    """Make *client* the default one for a while; return the one before, untouched."""
    global _client
    with _lock:
        before, _client = _client, client
    return before


def current_client() -> Client | None:
    """Return the default client if there is one already."""
    return _client


def default_client() -> Client | None:
    """Return the default client, made from `MBUZZ_API_KEY` if that is set."""
    if _client is None:
        with guard.swallowing("default client"):
            _ask_environment()
    return _client


def _ask_environment() -> None:
    """Make the client that `MBUZZ_API_KEY` asks for, once; say so if it does not."""
    global _client, _asked_environment
    with _lock:  # nobody passes by with "not configured" while another makes it
        if _client is not None or _asked_environment:
            return
        _asked_environment = True
        config = guard.attempt(_from_environment, lambda error: error)
        if isinstance(config, Config):
            _client = Client(config)
            return
    # Not under the lock: a handler may wait for a thread that tracks.
    if config is None:
        _logger.warning(_MISSING)
    else:
        _logger.error(_WRONG, config)


def _from_environment() -> Config | Exception | None:
    return Config.load({}) if os.environ.get("MBUZZ_API_KEY") else None


def track(
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
) -> TrackResult:
    """Record that *event* happened, and return at once.

    Who it happened to is the visitor of the request being served, unless a
    `user_id` or `visitor_id` (also called `anonymous_id`) says otherwise.
    `timestamp` is a datetime (naive: local time), ISO 8601 text or Unix seconds.
    `wait` asks for the server's answer, for at most so many seconds.
    """
    client = _client or default_client()
    if client is None:
        return TrackResult(success=False, error="not_configured")
    return client.track(
        event,
        user_id=user_id,
        visitor_id=visitor_id,
        anonymous_id=anonymous_id,
        properties=properties,
        timestamp=timestamp,
        event_id=event_id,
        session_id=session_id,
        request_id=request_id,
        flow_id=flow_id,
        parent_id=parent_id,
        wait=wait,
    )


def page(
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
    """Record a page view; the middleware does it for every page it serves."""
    client = default_client()
    if client is None:
        return TrackResult(success=False, error="not_configured")
    return client.page(
        url=url,
        referrer=referrer,
        user_id=user_id,
        visitor_id=visitor_id,
        properties=properties,
        timestamp=timestamp,
        event_id=event_id,
        session_id=session_id,
    )


def identify(
    user_id: str | int,
    *,
    visitor_id: str | None = None,
    traits: Mapping[str, object] | None = None,
    timestamp: datetime | float | str | None = None,
) -> bool:
    """Say who the visitor is, at sign-up and log-in.

    All that the visitor did before belongs to the user from then on, and later calls
    in the same request know the user.
    """
    client = default_client()
    return client is not None and client.identify(
        user_id, visitor_id=visitor_id, traits=traits, timestamp=timestamp
    )


def alias(user_id: str | int, previous_id: str) -> bool:
    """Say that *previous_id*, a visitor's or another user's id, is *user_id*."""
    client = default_client()
    return client is not None and client.alias(user_id, previous_id)


def group(
    group_id: str | int,
    *,
    user_id: str | int | None = None,
    visitor_id: str | None = None,
    traits: Mapping[str, object] | None = None,
    timestamp: datetime | float | str | None = None,
) -> bool:
    """Say what a group (company, team, account) is, and that the user belongs to it.

    Outside a request and without a `user_id` only the group's traits are kept.
    """
    client = default_client()
    return client is not None and client.group(
        group_id,
        user_id=user_id,
        visitor_id=visitor_id,
        traits=traits,
        timestamp=timestamp,
    )


def conversion(
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
    """Record that a goal was reached, and return how the channels share it.

    `revenue` is in units of `currency` (ISO 4217), exact as Decimal or text. An
    `order_id` or `idempotency_key` makes repeats count once.

    It waits for the server's answer, at most `conversion_timeout` seconds (2 by
    default) and not at all inside an event loop or while the server is known to be
    down; then `attribution` is None and the conversion is delivered in the background.
    """
    client = default_client()
    if client is None:
        return ConversionResult(success=False, error="not_configured")
    return client.conversion(
        conversion_type,
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
        request_id=request_id,
        flow_id=flow_id,
        parent_id=parent_id,
        wait=wait,
    )


def flush(timeout: float = 5.0) -> bool:
    """Send what is queued; return whether all of it was settled within *timeout* s."""
    client = default_client()
    return client is None or client.flush(timeout)


def close(timeout: float = 2.0) -> bool:
    """Flush and stop the worker; the end of the process does it by itself."""
    return _client is None or _client.close(timeout)


# For async code: in the background only `conversion`, `flush` and `close` wait, with
# delivery="sync" all of them do.
atrack = asynchronous.twin(track)
apage = asynchronous.twin(page)
aidentify = asynchronous.twin(identify)
aalias = asynchronous.twin(alias)
agroup = asynchronous.twin(group)
aconversion = asynchronous.twin(conversion)
aflush = asynchronous.twin(flush)
aclose = asynchronous.twin(close)


def stats() -> Stats:
    """Return what became of every event: all counts add up."""
    from mbuzz.delivery.stats import Stats

    client = default_client()
    return client.stats() if client is not None else Stats()


def health() -> Health:
    """Return whether events arrive: falsy if they do not; cheap, for health checks."""
    from mbuzz.delivery.stats import Health

    client = default_client()
    if client is None:
        return Health(status="failing", reason="not_configured")
    return client.health()


def visitor_id() -> str | None:
    """Return the visitor of the request being served."""
    current = contexts.current()
    if current is None or current.visitor_id is None:
        return None
    current.visitor_used = True
    return current.visitor_id


def session_id() -> str | None:
    """Return the session of the request being served."""
    current = contexts.current()
    return current.session_id if current is not None else None


def user_id() -> str | None:
    """Return the user of the request being served, once `identify` has said who."""
    current = contexts.current()
    return current.user_id if current is not None else None


def _not_served() -> bool:
    return False


def current() -> RequestContext | None:
    """Return the context of the request being served; a dependency for FastAPI."""
    return contexts.current()


@guard.guarded(_not_served)
def reset() -> bool:
    """Part with the visitor at log-out, as the next one may be somebody else.

    The browser gets a new identity with the response. Returns whether a request is
    being served.
    """
    served = contexts.current()
    if served is None:
        return False
    served.reset()
    return True


@guard.guarded(_not_served)
def forget() -> bool:
    """Forget the visitor, at a refusal: the response makes both cookies expire.

    Nothing that this request goes on to say is recorded. What was recorded before stays
    with the backend. Returns whether a request is being served.
    """
    served = contexts.current()
    if served is None:
        return False
    served.forget()
    return True


context_scope = contexts.context_scope
carrier = travel.carrier
attach = travel.attach
bind = travel.bind
