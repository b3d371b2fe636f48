"""Delivery: takes encoded items, sends them in batches, and answers for each one."""

from __future__ import annotations

import math
import os
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime

from mbuzz import guard, protocol
from mbuzz.clock import SYSTEM_CLOCK, Clock
from mbuzz.config import Config
from mbuzz.delivery.breaker import Breaker
from mbuzz.delivery.express import ExpressLane
from mbuzz.delivery.queue import Answer, Item, Outbox
from mbuzz.delivery.retry import Verdict, delay
from mbuzz.delivery.sender import Outcome, Sender
from mbuzz.delivery.stats import Counters, Stats
from mbuzz.delivery.transport import Transport

_EXPRESS_TIMEOUT = 1.0  # seconds
_BATCH_BYTES = protocol.MAX_BODY_BYTES - 1_024  # leaves room for the envelope

# Counts forks: a delivery of another generation belongs to the parent process.
_generation = 0

# Set by `mbuzz.testing`: takes every item of the process instead of the network.
intercept: Callable[[Item], Answer] | None = None


def _forked() -> None:
    global _generation
    _generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Delivery:
    """One queue, one worker thread, one connection; sync mode runs the same steps.

    Counts and the queue change together, under the queue's lock, so that they add up
    at every moment. Nobody is called under that lock: neither a logger, whose handler
    may track, nor whoever waits for an answer.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock = SYSTEM_CLOCK,
        transport: Callable[[], Transport] | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._connect = transport or self._http
        self._counters = Counters(clock)
        self._breaker = Breaker(clock)
        self._sender = Sender(config.api_key, clock, self._counters, self._breaker)
        self._outbox = Outbox(max_items=config.queue_size, max_bytes=config.queue_bytes)
        self._express = ExpressLane(self._send_express, self._connect)
        self._transport: Transport | None = None
        self._pumping = threading.RLock()  # one batch at a time, or order is lost
        self._thread: threading.Thread | None = None
        self._closing = False
        self._urgent = False
        self._batch_size = config.batch_size  # less after an answer of 413
        self._attempt = 0
        self._resume_at = 0.0
        self._asked_to_wait = False
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._generation = _generation

    def _http(self) -> Transport:
        # here, because the HTTP client is most of what importing mbuzz would cost
        from mbuzz.delivery.http_transport import HttpTransport

        return HttpTransport(
            self._config.api_url,
            SYSTEM_CLOCK,
            connect_timeout=self._config.connect_timeout,
            ca_bundle=self._config.ca_bundle,
        )

    @property
    def foreign(self) -> bool:
        """Tell whether this is the parent's, after a fork; the child needs its own."""
        return self._generation != _generation

    @property
    def closed(self) -> bool:
        """Tell whether it has stopped for good."""
        return self._closing

    @property
    def reachable(self) -> bool:
        """Tell whether an answer can be hoped for."""
        return not self._breaker.open

    # -- taking items: the caller's thread --

    def refuse(self, reason: str) -> None:
        """Count a call that could not become an event."""
        self._counters.refuse(reason)
        self._counters.report()

    def submit(
        self, item: Item, *, wait: float = 0.0, express: bool = False
    ) -> Answer | None:
        """Take *item*; return its answer if one is known within *wait* seconds.

        None means that it is accepted and on its way. An answer that is not
        delivered says why the item is lost. With *express* the item is sent alone, by
        threads of its own, and whoever is interested watches `item.reply`.
        """
        if intercept is not None:
            answer = intercept(item)
            item.settle(answer)
            return answer
        if not self._config.network:
            self.refuse("network_off")
            answer = Answer(delivered=False, error="network_off")
            item.settle(answer)
            return answer
        if wait and item.reply is None:
            item.reply = Future()
        if express and self._offer_express(item):
            return None
        refused = self._enqueue(item)
        if refused is not None:
            return refused
        if self._config.delivery == "sync" and not express:
            return self._deliver_here(item, wait or self._config.timeout)
        if wait and not self._worker_alive():  # no threads here
            return self._deliver_here(item, wait)
        if wait and item.reply is not None and self._worth_waiting(wait):
            self._hurry()
            return _within(item.reply, wait)
        return None

    def _enqueue(self, item: Item) -> Answer | None:
        refused = "closed"
        evicted: list[Item] | None = None
        with self._outbox.changed:
            if not self._closing:
                refused = "queue_full"
                evicted = self._outbox.put(item)
            if evicted is None:
                self._counters.refuse(refused)
            else:
                self._counters.add("accepted")
                if evicted:
                    self._counters.drop("queue_full", len(evicted))
        self._counters.report()
        if evicted is None:
            answer = Answer(delivered=False, error=refused)
            item.settle(answer)
            return answer
        for victim in evicted:
            victim.settle(Answer(delivered=False, error="queue_full"))
        self._ensure_worker()
        return None

    def _offer_express(self, item: Item) -> bool:
        if item.reply is None:
            item.reply = Future()
        with self._outbox.changed:
            if self._closing or not self.reachable or not self._outbox.lend(item):
                return False
            if not self._express.offer(item):
                self._outbox.settle([item])
                return False
            self._counters.add("accepted")
            return True

    def _send_express(self, item: Item, transport: Callable[[], Transport]) -> None:
        outcome = self._post([item], transport, _EXPRESS_TIMEOUT)
        if outcome.verdict is Verdict.RETRY:
            item.settle(Answer(delivered=False, error="retrying"))
            self._counters.add("retries")
            self._return([item])
            self._ensure_worker()
        else:
            self._settle([item], outcome.answers)

    # -- sending: the worker's thread, or the caller's in sync mode --

    def _ensure_worker(self) -> None:
        thread = self._thread
        if self._config.delivery == "sync":
            return
        if thread is not None and thread.is_alive():
            return
        with self._outbox.changed:
            if self._closing or self._worker_alive():
                return
            thread = threading.Thread(target=self._run, name="mbuzz", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # shutdown has begun; close() sends in line
                return
            self._thread = thread

    def _run(self) -> None:
        while self._wait_until_due():
            with guard.swallowing("delivery worker"):
                self._pump(self._config.timeout)

    def _wait_until_due(self) -> bool:
        """Return True as soon as a batch is due, False when it is time to end."""
        with self._outbox.changed:
            while (pause := self._pause()) > 0:
                if self._closing and self._outbox.waiting == 0:
                    return False
                self._outbox.changed.wait(pause if math.isfinite(pause) else None)
            return True

    def _pause(self) -> float:
        """Return the seconds until the next batch is due, infinite without items."""
        oldest = self._outbox.oldest
        if oldest is None:
            self._urgent = False
            return math.inf
        now = self._clock.monotonic()
        if now < self._resume_at:
            return self._resume_at - now
        full = (
            self._outbox.waiting >= self._batch_size
            or self._outbox.waiting_bytes >= _BATCH_BYTES
        )
        if full or self._urgent or self._closing:
            return 0.0
        return max(0.0, oldest.enqueued_at + self._config.batch_interval - now)

    def _pump(self, timeout: float) -> bool:
        """Send the next batch, if any; False if nobody could within *timeout*."""
        started = SYSTEM_CLOCK.monotonic()
        if not self._pumping.acquire(timeout=timeout):
            return False
        try:
            batch = self._outbox.take(
                max_items=self._batch_size, max_bytes=_BATCH_BYTES
            )
            fresh = self._without_expired(batch)
            if fresh:
                left = timeout - (SYSTEM_CLOCK.monotonic() - started)
                self._send(fresh, max(left, 0.001))
        finally:
            self._pumping.release()
            self._disconnect_if_closed()
        return True

    def _without_expired(self, batch: list[Item]) -> list[Item]:
        oldest = self._clock.monotonic() - self._config.retry_for
        expired = [item for item in batch if item.enqueued_at < oldest]
        self._give_up(expired, "expired")
        return [item for item in batch if item.enqueued_at >= oldest]

    def _send(self, batch: list[Item], timeout: float) -> None:
        outcome = self._post(batch, self._own_transport, timeout)
        if outcome.verdict is Verdict.RETRY:
            self._attempt += 1
            pause = max(outcome.wait, delay(self._attempt, self._rng))
            self._resume_at = self._clock.monotonic() + pause
            self._asked_to_wait = outcome.wait > 0
            self._counters.add("retries")
            self._return(batch)
            return
        self._attempt = 0
        self._resume_at = 0.0
        self._asked_to_wait = False
        if outcome.verdict is Verdict.SPLIT and len(batch) > 1:
            self._batch_size = len(batch) // 2
            self._return(batch)
            return
        self._batch_size = min(self._batch_size * 2, self._config.batch_size)
        self._settle(batch, outcome.answers)

    def _own_transport(self) -> Transport:
        if self._transport is None:
            self._transport = self._connect()
        return self._transport

    def _post(
        self, batch: Sequence[Item], transport: Callable[[], Transport], timeout: float
    ) -> Outcome:
        """Send *batch*; what should not happen costs a retry, never the batch."""

        def failed(error: Exception) -> Outcome:
            guard.report("delivery", error)
            self._breaker.failed()
            return Outcome(verdict=Verdict.RETRY)

        return guard.attempt(
            lambda: self._sender.send(batch, transport(), timeout), failed
        )

    def _settle(self, batch: Sequence[Item], answers: Sequence[Answer]) -> None:
        with self._outbox.changed:
            for answer in answers:
                if answer.delivered:
                    self._counters.add("delivered")
                else:
                    self._counters.reject(answer.error or "rejected")
            self._outbox.settle(batch)
        self._counters.report()
        for item, answer in zip(batch, answers, strict=True):
            item.settle(answer)

    def _return(self, batch: list[Item]) -> None:
        """Put back what was in flight, or give it up where nobody will send it."""
        with self._outbox.changed:
            if not self._closing:
                self._outbox.put_back(batch)
                return
        self._give_up(batch, "closed")

    def _give_up(self, batch: Sequence[Item], reason: str) -> None:
        """Drop what was in flight."""
        if not batch:
            return
        with self._outbox.changed:
            self._counters.drop(reason, len(batch))
            self._outbox.settle(batch)
        self._counters.report()
        for item in batch:
            item.settle(Answer(delivered=False, error=reason))

    def _deliver_here(self, item: Item, timeout: float) -> Answer | None:
        """Sync mode: send what is queued, up to *item*, in the caller's thread."""
        told_to_wait = self._asked_to_wait and self._resume_at > self._clock.monotonic()
        if told_to_wait or not self.reachable:
            return None
        if item.reply is None:
            item.reply = Future()
        deadline = SYSTEM_CLOCK.monotonic() + timeout
        failed_before = self._attempt
        while not item.reply.done() and self._attempt <= failed_before:
            left = deadline - SYSTEM_CLOCK.monotonic()
            if left <= 0 or not self._pump(left):
                return None
        return item.reply.result() if item.reply.done() else None

    # -- waiting --

    def _worth_waiting(self, seconds: float) -> bool:
        """Tell whether the next try comes within *seconds*, and may succeed."""
        pause = self._resume_at - self._clock.monotonic()
        return self.reachable and pause < seconds

    def _hurry(self) -> None:
        with self._outbox.changed:
            self._urgent = True
            self._outbox.changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Send everything accepted so far; return whether it was settled in time."""
        deadline = SYSTEM_CLOCK.monotonic() + timeout
        if not self._asked_to_wait:
            self._resume_at = 0.0
        self._hurry()
        while not self._outbox.empty:
            left = deadline - SYSTEM_CLOCK.monotonic()
            if left <= 0:
                return False
            if self._worker_alive():
                with self._outbox.changed:
                    if not self._outbox.empty:
                        self._outbox.changed.wait(left)
            elif not self._flush_here(left):
                return False
        return True

    def _worker_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _flush_here(self, left: float) -> bool:
        """Send in line, there is no worker; return whether it is worth going on."""
        pause = self._resume_at - self._clock.monotonic()
        if pause > left:
            return False
        with self._outbox.changed:
            if not self._outbox.waiting and self._outbox.in_flight:
                self._outbox.changed.wait(left)
                return True
            if pause > 0:
                self._outbox.changed.wait(pause)
                return True
        return self._pump(left)

    def close(self, timeout: float) -> bool:
        """Flush, then stop; what is left counts as dropped. Safe to call twice."""
        deadline = SYSTEM_CLOCK.monotonic() + timeout
        settled = self.flush(timeout)
        with self._outbox.changed:
            self._closing = True
            self._outbox.changed.notify_all()
            self._outbox.put_back(self._express.close())
            left = self._outbox.drain()
            if left:
                self._counters.drop("closed", len(left))
        self._counters.report(everything=True)
        for item in left:
            item.settle(Answer(delivered=False, error="closed"))
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - SYSTEM_CLOCK.monotonic()))
        self._disconnect_if_closed()
        return settled

    def _disconnect_if_closed(self) -> None:
        """Let the connection go; if it is in use, who uses it does so afterwards."""
        if self._closing and self._pumping.acquire(blocking=False):
            try:
                if self._transport is not None:
                    self._transport.close()
            finally:
                self._pumping.release()

    def stats(self) -> Stats:
        """Return what became of every event, at this moment."""
        with self._outbox.changed:
            return self._counters.snapshot(
                queued=self._outbox.waiting, in_flight=self._outbox.in_flight
            )


def _within(reply: Future[Answer], seconds: float) -> Answer | None:
    try:
        return reply.result(seconds)
    except NotInTime:
        return None
