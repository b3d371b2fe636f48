"""One batch, one request: the step that every way of delivering shares."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Mapping

from mbuzz import __version__, guard, protocol
from mbuzz.clock import iso
from mbuzz.delivery import retry
from mbuzz.delivery.queue import Answer
from mbuzz.delivery.transport import TransportError
from mbuzz.values import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from mbuzz.clock import Clock
    from mbuzz.delivery.breaker import Breaker
    from mbuzz.delivery.counters import Counters
    from mbuzz.delivery.queue import Item
    from mbuzz.delivery.transport import Response, Transport

_logger = logging.getLogger("mbuzz.delivery")
_decode = json.JSONDecoder().decode
_LONGEST_REASON = 200  # characters
_GZIP = 31  # zlib's window bits for the format of gzip
_EFFORT = 3  # as fast as 1 on events, and smaller
_NOTHING: dict[str, Any] = {}


class Outcome(Frozen):
    """What came of a batch."""

    verdict: str  # one of `retry`'s
    reason: str = ""  # why it is not delivered
    wait: float = 0.0  # seconds that the server asked for
    said: Mapping[str, Any] = _NOTHING  # the server's words
    rejected: Mapping[int, str] = {}  # by index: why these were not taken
    cookies: tuple[str, ...] = ()

    def answers(self, count: int) -> list[Answer]:
        """Return the answers to a batch of *count* items, in its order.

        Rejections carry the index; the accepted ones follow in order. An edge proxy
        that answers 202 without either has taken everything.
        """
        if self.verdict != retry.DELIVERED:
            return [Answer(delivered=False, error=self.reason)] * count
        accepted = iter(_dicts(self.said.get("events")))
        cookies = self.cookies if count == 1 else ()
        return [
            Answer(delivered=False, error=self.rejected[index])
            if index in self.rejected
            else Answer(delivered=True, body=next(accepted, {}), cookies=cookies)
            for index in range(count)
        ]


class Sender:
    """Posts batches of encoded items and reads what the server says of each."""

    def __init__(
        self, api_key: str, clock: Clock, counters: Counters, breaker: Breaker
    ) -> None:
        self._clock = clock
        self._counters = counters
        self._breaker = breaker
        self._headers = {
            "Authorization": f"{protocol.AUTHORIZATION_SCHEME} {api_key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"mbuzz-python/{__version__}",
        }
        self._packed = {**self._headers, "Content-Encoding": "gzip"}

    def send(
        self, items: Sequence[Item], transport: Transport, timeout: float
    ) -> Outcome:
        """Post *items* and return the outcome within *timeout* seconds."""
        body, headers = self._envelope(items)
        size = len(body)
        self._counters.sent_bytes += size
        try:
            response = transport.post("/events", body, headers, timeout)
        except TransportError as error:
            return self._failed(str(error), len(items))
        verdict = retry.judge(response.status)
        if verdict == retry.RETRY:
            asked = response.header("retry-after")
            wait = retry.retry_after(asked, self._clock.now_ms())
            return self._failed(f"http_{response.status}", len(items), wait)
        if verdict == retry.DELIVERED:
            said = _said(response)
            if said is None:
                return self._failed("no_json", len(items))
            self._breaker.succeeded()
            self._counters.batches += 1
            _debug("batch delivered (events=%d)", len(items))
            return Outcome(
                verdict=verdict,
                said=said,
                rejected=_rejected(said, len(items)),
                cookies=response.headers.get("set-cookie", ()),
            )
        self._breaker.succeeded()
        reason = f"http_{response.status}"
        self._counters.last_error = reason
        return Outcome(verdict=verdict, reason=reason)

    def _envelope(self, items: Sequence[Item]) -> tuple[bytes, Mapping[str, str]]:
        sent_at = iso(self._clock.now_ms()).encode()
        events = b",".join([item.body for item in items])
        body = b'{"sent_at":"' + sent_at + b'","events":[' + events + b"]}"
        if len(body) < protocol.GZIP_FROM_BYTES:
            return body, self._headers
        return zlib.compress(body, _EFFORT, _GZIP), self._packed

    def _failed(self, reason: str, count: int, wait: float = 0.0) -> Outcome:
        self._breaker.failed()
        self._counters.last_error = reason
        _debug("batch failed (events=%d, reason=%s)", count, reason)
        return Outcome(verdict=retry.RETRY, reason=reason, wait=wait)


def _debug(text: str, *facts: object) -> None:
    """Log what a handler that fails must not turn into another outcome."""
    if _logger.isEnabledFor(logging.DEBUG):
        with guard.swallowing("debug log"):
            _logger.debug(text, *facts)


def _said(response: Response) -> Mapping[str, Any] | None:
    """Return the JSON object of a success; None if something else answered.

    A proxy that asks to log in or the wrong address says 200, too, and keeps nothing.
    """
    if not response.body:
        return {}
    try:
        said = _decode(response.body.decode())
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _rejected(said: Mapping[str, Any], count: int) -> dict[int, str]:
    """Return why items were not taken, by their index in the batch."""
    found = {}
    for entry in _dicts(said.get("rejected")):
        index = entry.get("index")
        if type(index) is int and 0 <= index < count:
            found[index] = _reason(entry)
    return found


def _reason(rejection: Mapping[str, Any]) -> str:
    """Return the first error; as a log and a counter may show it."""
    errors = rejection.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else errors
    text = first if isinstance(first, str) and first.isprintable() else ""
    return text[:_LONGEST_REASON] or "rejected"


def _dicts(value: object) -> list[dict[str, Any]]:
    return [e for e in value if isinstance(e, dict)] if isinstance(value, list) else []
