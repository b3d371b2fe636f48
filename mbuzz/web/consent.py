"""Whether the person served agrees to be recorded, and what stays out in any case."""

from __future__ import annotations

import re
from collections.abc import Coroutine

from mbuzz import guard
from mbuzz.context import DENIED, GRANTED, UNKNOWN
from mbuzz.web.request import WebRequest
from mbuzz.web_options import WebOptions

_ANSWERS = {word: word for word in (GRANTED, DENIED, UNKNOWN)}
_CLICK_IDS = re.compile(
    r"([?&](?:gclid|gclsrc|gbraid|wbraid|dclid|fbclid|msclkid|ttclid|twclid|li_fat_id"
    r"|yclid|epik|rdt_cid|sccid|igshid)=)[^&#]+",
    re.IGNORECASE,
)


def consent_of(request: WebRequest, options: WebOptions) -> str:
    """Return "granted", "denied" or "unknown".

    A `consent` function that raises leaves it unknown: nothing is recorded, and its bug
    does not make the cookies of those who did agree expire. So does one that is
    `async`: nobody waits for what it says, and that it says something is no consent.
    """
    if options.respect_gpc and has_gpc(request):
        return DENIED
    if options.respect_dnt and request.header("dnt") == "1":
        return DENIED
    ask = options.consent
    if ask is None:
        return GRANTED
    said = guard.attempt(lambda: _plain(ask(request)), _unknown)
    if isinstance(said, str):
        return _ANSWERS[said]
    if said is None:
        return UNKNOWN
    return GRANTED if said else DENIED


def _plain(said: object) -> str | bool | None:
    """Return an answer as what it means.

    Raises:
        TypeError: If it is not there yet.
        ValueError: If it is another word than ours, such as "no".
    """
    if hasattr(said, "__await__"):
        if isinstance(said, Coroutine):
            said.close()  # or Python warns of one that was never awaited
        raise TypeError("consent must answer at once: use a function without async")
    if isinstance(said, str) and said not in _ANSWERS:
        raise ValueError(f"consent must return one of {[*_ANSWERS]}, or True or False")
    return said if isinstance(said, str) or said is None else bool(said)


def _unknown(error: Exception) -> None:
    guard.report("consent", error)


def has_gpc(request: WebRequest) -> bool:
    """Tell whether the browser forbids to sell or share what it does.

    Source: Global Privacy Control, the header Sec-GPC.
    """
    return request.header("sec-gpc") == "1"


def without_click_ids(url: str) -> str:
    """Return *url* without what advertisers know the click by; that it was one stays.

    The channel can still be told: only the value is gone.
    """
    return _CLICK_IDS.sub(r"\1[redacted]", url)
