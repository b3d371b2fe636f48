"""The running counts of what became of events, and the warnings about losses."""

from __future__ import annotations

import logging
import threading

from mbuzz import guard
from mbuzz.explanations import explain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from mbuzz.clock import Clock

    T = TypeVar("T", bound=object)

_logger = logging.getLogger("mbuzz.delivery")
_QUIET_FOR = 60.0  # seconds between two warnings of one reason
_speaking = threading.local()
_MOST_REASONS = 100  # a server that makes them up must not fill our memory


class Counters:
    """Counts that add up, and what is yet to be said of losses.

    Those that must agree with the queue are changed under its lock. Counting may
    happen under a lock; `report` must not: a handler of the host may wait for a thread
    that waits for that lock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self.delivered = 0
        self.rejected = 0
        self.dead_lettered = 0
        self.spooled = 0  # on disk, and nowhere in memory
        self.recovered = 0  # taken over from the spool of a process that ended
        self.batches = 0
        self.sent_bytes = 0
        self.retries = 0
        self.latency: float | None = None  # seconds, smoothed
        self.last_error: str | None = None
        self.last_loss: float | None = None  # monotonic seconds
        self.dropped: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.left_out: dict[str, int] = {}
        self._unreported: dict[tuple[str, str], int] = {}
        self._warned: dict[tuple[str, str], float] = {}

    def drop(self, reason: str, count: int = 1) -> None:
        """Count accepted events that are given up."""
        self._count(self.dropped, "dropped", reason, count)

    def reject(self, reason: str, count: int = 1) -> None:
        """Count events that the server would not have."""
        with self._lock:
            self.rejected += count
            self._lose("rejected", reason, count)

    def bury(self, reason: str, count: int) -> None:
        """Count events that the server would not have and that are kept on disk."""
        with self._lock:
            self.dead_lettered += count
            self._lose("dead-lettered", reason, count)

    def refuse(self, reason: str) -> None:
        """Count a call that was never accepted."""
        self._count(self.refused, "refused", reason, 1)

    def leave_out(self, reason: str) -> None:
        """Count an event that was not to be sent: nothing is lost."""
        with self._lock:
            _add(self.left_out, reason, 1)

    def warn(self, what: str, reason: str) -> None:
        """Say that something is wrong, even if nothing is lost yet."""
        with self._lock:
            self._note(what, reason, 1)

    def note_latency(self, seconds: float) -> None:
        """Note how long the oldest event of a delivered batch took."""
        known = self.latency
        self.latency = seconds if known is None else known + (seconds - known) / 5

    def _count(self, book: dict[str, int], what: str, reason: str, count: int) -> None:
        with self._lock:
            if reason not in book and len(book) >= _MOST_REASONS:
                reason = "other"
            _add(book, reason, count)
            self._lose(what, reason, count)

    def _lose(self, what: str, reason: str, count: int) -> None:
        self.last_loss = self._clock.monotonic()
        self._note(what, reason, count)

    def _note(self, what: str, reason: str, count: int) -> None:
        key = (what, reason)
        if key not in self._warned and len(self._warned) >= _MOST_REASONS:
            key = (what, "other")
        _add(self._unreported, key, count)

    def report(self, *, everything: bool = False) -> None:
        """Warn of what was lost, once a minute per reason, with the count since.

        With *everything* nothing is left for a minute that may not come. What a handler
        of the log causes in its turn waits, or the log would feed itself.
        """
        if not self._unreported or getattr(_speaking, "now", False):
            return
        due: list[tuple[str, int, str]] = []
        with self._lock:
            now = self._clock.monotonic()
            for what, reason in list(self._unreported):
                warned = self._warned.get((what, reason))
                if everything or warned is None or now - warned >= _QUIET_FOR:
                    self._warned[what, reason] = now
                    count = self._unreported.pop((what, reason), 0)
                    due.append((what, count, reason))
        _speaking.now = True
        try:
            with guard.swallowing("report"):
                for what, count, reason in due:
                    _logger.warning(
                        "events %s (events=%d, reason=%s)%s",
                        what,
                        count,
                        reason,
                        _advice(reason),
                    )
        finally:
            _speaking.now = False


def _advice(reason: str) -> str:
    """Return what to do about it, to end the line; nothing for a server's words."""
    text = explain(reason)
    return f": {text}" if text != reason else ""


def _add(book: dict[T, int], key: T, count: int) -> None:
    """Add in one go: a finalizer that counts in the middle of it must not be lost."""
    while True:
        book.setdefault(key, 0)
        try:
            book[key] += count
        except KeyError:  # reported, and so taken out, at this very moment
            continue
        return
