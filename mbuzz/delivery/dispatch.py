"""Sends batch after batch: which, when, and how large."""

from __future__ import annotations

import math
import sys
import threading

from mbuzz import guard, protocol
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.delivery import retry
from mbuzz.delivery.sender import Outcome, Sender

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mbuzz.clock import Clock
    from mbuzz.config import Config
    from mbuzz.delivery.booking import Books
    from mbuzz.delivery.breaker import Breaker
    from mbuzz.delivery.counters import Counters
    from mbuzz.delivery.notices import Notices
    from mbuzz.delivery.queue import Item, Outbox
    from mbuzz.delivery.spool import Spool
    from mbuzz.delivery.transport import Transport

_BATCH_BYTES = protocol.MAX_BODY_BYTES - 1_024  # leaves room for the envelope
_LOOK_AGAIN = 30.0  # seconds until the spool is searched for what others left
_LOOK_SOON = 0.25  # the same while something of ours waits there: somebody replays


class Dispatcher:
    """The steps that worker, sync mode and express lane share.

    One batch at a time comes from the queue or the spool, or order would be lost.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        connect: Callable[[], Transport],
        *,
        outbox: Outbox,
        books: Books,
        counters: Counters,
        breaker: Breaker,
        notices: Notices,
        spool: Spool | None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._connect = connect
        self._outbox = outbox
        self._books = books
        self._counters = counters
        self._breaker = breaker
        self._notices = notices
        self._spool = spool
        self._sender = Sender(config.api_key, clock, counters, breaker)
        self._transport: Transport | None = None
        self._pumping = threading.RLock()
        self._batch_size = config.batch_size  # less after an answer of 413
        self._replay_size = config.batch_size
        self._resume_at = 0.0  # after a failure
        self._not_before = 0.0  # the server's word
        self._spool_next = False
        self._reading = spool is not None  # true until nothing more is found there
        self.attempt = 0
        self.urgent_until = -math.inf  # what came up to then is to be sent at once

    # -- when --

    def pause(self) -> float:
        """Return the seconds until a batch is due; infinite without anything to send.

        To be called under the queue's lock: it also says which number of items is to
        wake the worker.
        """
        outbox = self._outbox
        oldest = outbox.oldest
        now = self._clock.monotonic()
        due = math.inf
        if self._spool is not None and (self.on_disk or not outbox.closed):
            due = max(0.0, self._books.replay_at - now)
        if oldest is None:
            outbox.wake_at = 1
        else:
            outbox.wake_at = self._batch_size
            due = min(due, self._queue_wait())
        backoff = self.backoff
        if backoff and due < math.inf:
            outbox.wake_at = sys.maxsize  # nothing can be sent sooner
            due = max(due, backoff)
        return due

    def _queue_wait(self) -> float:
        """Return the seconds until a batch of the queue is due, but for a backoff."""
        outbox = self._outbox
        oldest = outbox.oldest
        if oldest is None:
            return math.inf
        if (
            oldest.at <= self.urgent_until
            or outbox.closed
            or outbox.waiting >= self._batch_size
        ):
            return 0.0
        due = oldest.at + self._config.batch_interval
        return max(0.0, due - self._clock.monotonic())

    @property
    def idle(self) -> bool:
        """Tell whether there is nothing left to send, in memory or on disk."""
        return self._outbox.empty and not self.on_disk

    @property
    def on_disk(self) -> bool:
        """Tell whether something of ours is only in the spool, or may be."""
        return self._reading or self._counters.spooled > 0

    @property
    def backoff(self) -> float:
        """Return the seconds until the next try may be made."""
        resume_at = max(self._resume_at, self._not_before)
        return max(0.0, resume_at - self._clock.monotonic())

    @property
    def asked_to_wait(self) -> bool:
        """Tell whether the server wants to be left alone now."""
        return self._not_before > self._clock.monotonic()

    def try_now(self) -> None:
        """Forget a backoff of our own making; the server's word still counts."""
        self._resume_at = 0.0
        self._books.replay_at = 0.0
        if not self._outbox.ended:
            self._reading = self._spool is not None

    def hold(self, seconds: float) -> None:
        """Leave the server alone for as long as it asks."""
        until = self._clock.monotonic() + seconds
        self._not_before = max(self._not_before, until)

    # -- sending --

    def pump(self, timeout: float, *, early: bool = True) -> bool:
        """Send the next batch; False if there was none, or no turn within *timeout*.

        Without *early* what is queued waits until it is due.
        """
        started = SYSTEM_CLOCK.monotonic()
        if not self._pumping.acquire(timeout=timeout):
            return False
        batch: list[Item] = []
        replayed = False
        booked = False
        try:
            batch = self._from_spool()
            replayed = bool(batch)
            if not batch and (early or self._queue_wait() <= 0):
                batch = self._from_queue()
            if batch:
                left = timeout - (SYSTEM_CLOCK.monotonic() - started)
                self._send(batch, max(left, 0.001), replayed=replayed)
            booked = True
        finally:
            if not booked:  # Ctrl-C, an exit or a bug, in the middle of it
                self._resume_at = self._clock.monotonic() + retry.delay(1)
                self._books.give_back(batch, replayed=replayed)
            self._pumping.release()
            self.disconnect_if_ended()
        self._notices.speak()
        return bool(batch)

    def _from_queue(self) -> list[Item]:
        batch = self._outbox.take(max_items=self._batch_size, max_bytes=_BATCH_BYTES)
        oldest = self._clock.monotonic() - self._config.retry_for
        if not batch or batch[0].at >= oldest:
            return batch
        self._books.let_go([item for item in batch if item.at < oldest], "expired")
        return [item for item in batch if item.at >= oldest]

    def _from_spool(self) -> list[Item]:
        """Return what is to be replayed, if it is its turn."""
        spool = self._spool
        if spool is None or self._outbox.ended:
            return []
        books = self._books
        now = self._clock.monotonic()
        turn, self._spool_next = self._spool_next, not self._spool_next
        if now < books.replay_at or (self._outbox.waiting and not turn):
            return []
        self._reading = True
        books.replay_at = now + _LOOK_AGAIN  # unless something is spooled meanwhile
        taken = spool.take(max_items=self._replay_size, max_bytes=_BATCH_BYTES)
        items = books.take_over(taken, spool.losses())
        if items:
            books.replay_at = now
            return items
        if self._counters.spooled:
            books.replay_at = min(books.replay_at, now + _LOOK_SOON)
        with self._outbox.lock:
            self._reading = False
            self._outbox.changed.notify_all()  # who flushes waits for this, too
        return items

    def _send(self, batch: list[Item], timeout: float, *, replayed: bool) -> None:
        outcome = self.post(batch, self._own_transport, timeout)
        if outcome.verdict == retry.RETRY:
            self.attempt += 1
            now = self._clock.monotonic()
            self._resume_at = now + retry.delay(self.attempt)
            self.hold(outcome.wait)
            self._books.give_back(batch, replayed=replayed)
            return
        self.attempt = 0
        self._resume_at = 0.0
        if outcome.verdict == retry.SPLIT and len(batch) > 1:
            self._resize(len(batch) // 2, replayed=replayed)
            self._books.give_back(batch, replayed=replayed)
            return
        size = self._replay_size if replayed else self._batch_size
        self._resize(min(size * 2, self._config.batch_size), replayed=replayed)
        self._books.settle(batch, outcome, replayed=replayed)

    def _resize(self, size: int, *, replayed: bool) -> None:
        if replayed:
            self._replay_size = size
        else:
            self._batch_size = size

    def _own_transport(self) -> Transport:
        if self._transport is None:
            self._transport = self._connect()
        return self._transport

    def post(
        self, batch: Sequence[Item], transport: Callable[[], Transport], timeout: float
    ) -> Outcome:
        """Send *batch*; what should not happen costs a retry, never the batch."""

        def failed(error: Exception) -> Outcome:
            guard.report("delivery", error)
            self._breaker.failed()
            return Outcome(verdict=retry.RETRY, reason="internal_error")

        outcome = guard.attempt(
            lambda: self._sender.send(batch, transport(), timeout), failed
        )
        if outcome.verdict != retry.DELIVERED:
            self._notices.failed(outcome.reason)
        if outcome.verdict == retry.RETRY:
            self._counters.retries += 1
            self._notices.passed("to be retried", batch, outcome.reason)
        return outcome

    def disconnect_if_ended(self) -> None:
        """Let the connection go; if it is in use, who uses it does so afterwards."""
        if self._outbox.ended and self._pumping.acquire(blocking=False):
            try:
                if self._transport is not None:
                    self._transport.close()
            finally:
                self._pumping.release()
