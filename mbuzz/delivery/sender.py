"""One batch, one request: the step that every way of delivering shares."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbuzz import __version__, protocol
from mbuzz.clock import Clock, iso
from mbuzz.delivery.breaker import Breaker
from mbuzz.delivery.queue import Answer, Item
from mbuzz.delivery.retry import Verdict, judge, retry_after
from mbuzz.delivery.stats import Counters
from mbuzz.delivery.transport import Response, Transport, TransportError

_logger = logging.getLogger("mbuzz.delivery")
_decode = json.JSONDecoder().decode
_LONGEST_REASON = 200  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a batch: answers in its order, or None where it is to be retried."""

    verdict: Verdict
    answers: Sequence[Answer] = ()
    wait: float = 0.0  # seconds that the server asked for


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

    def send(
        self, items: Sequence[Item], transport: Transport, timeout: float
    ) -> Outcome:
        """Post *items* and return the outcome within *timeout* seconds."""
        body, headers = self._envelope(items)
        try:
            response = transport.post("/events", body, headers, timeout)
        except TransportError as error:
            self._failed(str(error), len(items))
            return Outcome(verdict=Verdict.RETRY)
        verdict = judge(response.status)
        if verdict is Verdict.RETRY:
            self._failed(f"http_{response.status}", len(items))
            wait = retry_after(response.header("retry-after"), self._clock.now_ms())
            return Outcome(verdict=verdict, wait=wait)
        if verdict is Verdict.DELIVERED:
            said = _said(response)
            if said is None:
                self._failed("no_json", len(items))
                return Outcome(verdict=Verdict.RETRY)
            self._breaker.succeeded()
            self._counters.add("batches")
            _logger.debug("batch delivered (events=%d)", len(items))
            return Outcome(verdict=verdict, answers=_read(items, said, response))
        self._breaker.succeeded()
        reason = f"http_{response.status}"
        self._counters.last_error = reason
        refused = Answer(delivered=False, error=reason)
        return Outcome(verdict=verdict, answers=[refused] * len(items))

    def _envelope(self, items: Sequence[Item]) -> tuple[bytes, Mapping[str, str]]:
        sent_at = iso(self._clock.now_ms()).encode()
        events = b",".join(item.body for item in items)
        body = b'{"sent_at":"' + sent_at + b'","events":[' + events + b"]}"
        if len(body) < protocol.GZIP_FROM_BYTES:
            return body, self._headers
        packed = gzip.compress(body, compresslevel=1)
        return packed, {**self._headers, "Content-Encoding": "gzip"}

    def _failed(self, reason: str, count: int) -> None:
        self._breaker.failed()
        self._counters.last_error = reason
        _logger.debug("batch failed (events=%d, reason=%s)", count, reason)


def _said(response: Response) -> Mapping[str, object] | None:
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


def _read(
    items: Sequence[Item], said: Mapping[str, object], response: Response
) -> list[Answer]:
    """Match the server's words to *items*.

    Rejections carry the index; the accepted ones follow in order. An edge proxy that
    answers 202 without either has taken everything.
    """
    rejected = {
        entry.get("index"): entry
        for entry in _dicts(said.get("rejected"))
        if isinstance(entry.get("index"), int)
    }
    accepted = iter(_dicts(said.get("events")))
    cookies = response.headers.get("set-cookie", ()) if len(items) == 1 else ()
    answers = []
    for index in range(len(items)):
        if index in rejected:
            entry = rejected[index]
            answers.append(Answer(delivered=False, error=_reason(entry), body=entry))
        else:
            body = dict(next(accepted, {}))
            answers.append(Answer(delivered=True, body=body, cookies=cookies))
    return answers


def _reason(rejection: Mapping[str, object]) -> str:
    """Return the first error; as a log and a counter may show it."""
    errors = rejection.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else errors
    return (first if isinstance(first, str) and first else "rejected")[:_LONGEST_REASON]


def _dicts(value: object) -> list[dict[str, object]]:
    return [e for e in value if isinstance(e, dict)] if isinstance(value, list) else []
