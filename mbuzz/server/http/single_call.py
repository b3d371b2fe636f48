"""One call that a request's body is: read, checked, and carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from mbuzz import protocol
from mbuzz.clock import Clock
from mbuzz.server.http.errors import HttpError, unprocessable
from mbuzz.server.http.idempotency import idempotency_key
from mbuzz.server.http.known_fields import unknown_fields
from mbuzz.server.http.request import Request
from mbuzz.server.ingestion.fields import InvalidError
from mbuzz.server.ingestion.timing import Timing
from mbuzz.server.ingestion.validation import check_size
from mbuzz.server.model import (
    AliasCall,
    Call,
    ConversionCall,
    GroupCall,
    IdentifyCall,
)
from mbuzz.server.storage.port import Storage
from mbuzz.server.storage.rows.accounts import ApiKey
from mbuzz.server.tracking.processor import process
from mbuzz.server.tracking.recorded import Recorded, Refused

T = TypeVar("T")

_KINDS: Final[Mapping[type, str]] = {
    IdentifyCall: protocol.IDENTIFY,
    AliasCall: protocol.ALIAS,
    GroupCall: protocol.GROUP,
    ConversionCall: protocol.CONVERSION,
}


def read_call(
    clock: Clock,
    request: Request,
    key: ApiKey,
    check: Callable[[Mapping[str, object], Timing, list[str]], T],
    warnings: list[str],
) -> T:
    """Return the call that a request's body is.

    Raises:
        HttpError: If it is none.
    """
    item = dict(request.json_object())
    if "idempotency_key" not in item:
        item["idempotency_key"] = idempotency_key(request)
    try:
        check_size(item)
        return check(item, timing_of(clock, key), warnings)
    except InvalidError as error:
        raise unprocessable(error.errors) from None


def timing_of(clock: Clock, key: ApiKey) -> Timing:
    """Return what a call that comes now, with *key*, is judged by."""
    return Timing(
        received_at_ms=clock.now_ms(),
        currency=key.account.currency,
        any_age="import" in key.scopes,
        max_age_days=key.account.policy.max_event_age,
    )


def carry_out(
    storage: Storage,
    clock: Clock,
    request: Request,
    key: ApiKey,
    check: Callable[[Mapping[str, object], Timing, list[str]], Call],
) -> tuple[Recorded, list[str]]:
    """Carry out the one call that a request's body is; return that, and warnings.

    Raises:
        HttpError: If it is none, or cannot be carried out.
    """
    warnings: list[str] = []
    call = read_call(clock, request, key, check, warnings)
    recorded = storage.write(
        lambda stores: process(stores.tracking, key.tenant, key.account.policy, call)
    )
    if isinstance(recorded, Refused):
        raise refusal(recorded)
    if not key.live:
        warnings += unknown_fields(request.json_object(), _KINDS[type(call)])
    return recorded, warnings


def refusal(refused: Refused) -> HttpError:
    """Return the answer to a call that is well-formed, but cannot be carried out."""
    if refused.unknown:
        return HttpError(404, "not_found", refused.error)
    return unprocessable([refused.error])
