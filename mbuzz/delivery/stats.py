"""What became of every event: counters that add up."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from mbuzz import guard
from mbuzz.clock import Clock

_logger = logging.getLogger("mbuzz.delivery")
_QUIET_FOR = 60.0  # seconds between two warnings of one reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts of events, at one moment.

    Always ``accepted == delivered + rejected + sum(dropped) + queued + in_flight``.
    """

    accepted: int = 0
    delivered: int = 0
    rejected: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    queued: int = 0
    in_flight: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)  # never accepted
    batches: int = 0
    retries: int = 0
    last_error: str | None = None


class Counters:
    """The running counts, and the warnings about what was lost.

    Counting may happen under a lock; `report` must not: a handler of the host may
    wait for a thread that waits for that lock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._unreported: Counter[tuple[str, str]] = Counter()
        self._warned: dict[tuple[str, str], float] = {}
        self._silent = True  # nothing is unreported
        self.last_error: str | None = None

    def add(self, name: str, count: int = 1) -> None:
        """Count *name*: accepted, delivered, rejected, batches or retries."""
        with self._lock:
            self._counts[name] += count

    def reject(self, reason: str) -> None:
        """Count an event that the server would not have."""
        with self._lock:
            self._counts["rejected"] += 1
            self._lose("rejected", reason, 1)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count accepted events that are given up."""
        with self._lock:
            self._dropped[reason] += count
            self._lose("dropped", reason, count)

    def refuse(self, reason: str) -> None:
        """Count a call that was never accepted."""
        with self._lock:
            self._refused[reason] += 1
            self._lose("refused", reason, 1)

    def _lose(self, what: str, reason: str, count: int) -> None:
        self._unreported[what, reason] += count
        self._silent = False

    def report(self, *, everything: bool = False) -> None:
        """Warn of what was lost, once a minute per reason, with the count since.

        With *everything* nothing is left for a minute that may not come.
        """
        if self._silent:
            return
        due: list[tuple[str, int, str]] = []
        with self._lock:
            now = self._clock.monotonic()
            for (what, reason), count in list(self._unreported.items()):
                warned = self._warned.get((what, reason))
                if everything or warned is None or now - warned >= _QUIET_FOR:
                    self._warned[what, reason] = now
                    del self._unreported[what, reason]
                    due.append((what, count, reason))
            self._silent = not self._unreported
        with guard.swallowing("report"):
            for what, count, reason in due:
                _logger.warning("events %s (events=%d, reason=%s)", what, count, reason)

    def snapshot(self, *, queued: int, in_flight: int) -> Stats:
        """Return the counts as a value."""
        with self._lock:
            return Stats(
                accepted=self._counts["accepted"],
                delivered=self._counts["delivered"],
                rejected=self._counts["rejected"],
                batches=self._counts["batches"],
                retries=self._counts["retries"],
                dropped=dict(self._dropped),
                refused=dict(self._refused),
                queued=queued,
                in_flight=in_flight,
                last_error=self.last_error,
            )
