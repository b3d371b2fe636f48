"""Delivery: takes encoded items, sends them in batches, and answers for each one."""

from __future__ import annotations

import math
import os
import sys
import threading
from concurrent.futures import Future

from mbuzz import guard
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.delivery import lifetime, retry
from mbuzz.delivery.booking import Books
from mbuzz.delivery.breaker import Breaker
from mbuzz.delivery.counters import Counters
from mbuzz.delivery.dispatch import Dispatcher
from mbuzz.delivery.express import ExpressLane
from mbuzz.delivery.http_transport import HttpTransport
from mbuzz.delivery.notices import Notices
from mbuzz.delivery.queue import Answer, Item, Outbox
from mbuzz.delivery.stats import Health, Stats, take_stats
from mbuzz.ids import EventIds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mbuzz.clock import Clock
    from mbuzz.config import Config
    from mbuzz.delivery.spool import Spool
    from mbuzz.delivery.transport import Transport

_EXPRESS_TIMEOUT = 1.0  # seconds
_PUMP_TIMEOUT = 1.0  # in a caller's thread
_REST = 0.05  # until a flush looks again for what somebody else replays

CLOSED = Answer(delivered=False, error="closed")  # not taken: submit it anew
_LOSS_MATTERS_FOR = 60.0

# Set by `mbuzz.testing`: takes every item of the process instead of the network.
intercept: Callable[[Item], Answer] | None = None


class Delivery:
    """One queue, one worker thread, one connection; sync mode runs the same steps."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        transport: Callable[[], Transport] | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._connect = transport or self._http
        self._background = config.delivery == "background"
        # nothing to be done for an item but to queue it
        self._plain = (
            self._background
            and config.network
            and not config.durable
            and not config.debug
        )
        self._monotonic = clock.monotonic
        self._counters = Counters(clock)
        self._breaker = Breaker(clock)
        self._notices = Notices(config)
        self._spool = self._open_spool()
        self._outbox = Outbox(max_items=config.queue_size, max_bytes=config.queue_bytes)
        self._books = Books(
            clock,
            outbox=self._outbox,
            counters=self._counters,
            notices=self._notices,
            spool=self._spool,
        )
        self._dispatcher = Dispatcher(
            config,
            clock,
            self._connect,
            outbox=self._outbox,
            books=self._books,
            counters=self._counters,
            breaker=self._breaker,
            notices=self._notices,
            spool=self._spool,
        )
        self._express: ExpressLane | None = None
        self._thread: threading.Thread | None = None
        self._running = False
        self.pid = os.getpid()  # of the process that it belongs to
        self.closed = False  # for good
        self.ids = EventIds()

    def _http(self) -> Transport:
        return HttpTransport(
            self._config.api_url,
            SYSTEM_CLOCK,
            connect_timeout=self._config.connect_timeout,
            ca_bundle=self._config.ca_bundle,
        )

    def _open_spool(self) -> Spool | None:
        config = self._config
        if config.spool_dir is None or not config.network:
            return None
        from mbuzz.delivery.spool import Spool

        return Spool(
            config.spool_dir,
            f"{config.api_url} {config.api_key}",
            max_bytes=config.spool_bytes,
            max_age=config.spool_for,
            clock=self._clock,
        )

    @property
    def reachable(self) -> bool:
        """Tell whether an answer can be hoped for."""
        return not self._breaker.open

    # -- taking items: the caller's thread --

    def refuse(self, reason: str) -> None:
        """Count a call that could not become an event."""
        self._counters.refuse(reason)
        self._counters.report()

    def warn(self, what: str, reason: str) -> None:
        """Say, once a minute, what is wrong about events that are sent all the same."""
        self._counters.warn(what, reason)
        self._counters.report()

    def leave_out(self, reason: str) -> None:
        """Count an event that was not to be sent."""
        self._counters.leave_out(reason)

    def submit(
        self,
        body: bytes,
        *,
        important: bool = False,
        wait: float = 0.0,
        express: Future[Answer] | None = None,
    ) -> Answer | None:
        """Take an encoded item; return its answer if it is known within *wait* seconds.

        None means that it is accepted and on its way. An answer that is not delivered
        says why the item is lost; after `CLOSED` it may be submitted anew. An
        *important* item outlives plain ones where room is short. With *express*, which
        gets the answer, the item is sent alone, by threads of its own.
        """
        item = Item(body, self._monotonic(), important, express)
        if self._plain and not wait and express is None and intercept is None:
            return self._enqueue(item)
        if intercept is not None:
            answer = intercept(item)
            item.settle(answer)
            return answer
        if not self._config.network:
            return self._refused(item, "network_off")
        if (wait or not self._background) and express is None:
            item.reply = Future()
        self._notices.passed("queued", [item])
        if self._config.durable:
            self._books.record(item)
        if express is not None and self._offer_express(item):
            return None
        refused = self._enqueue(item)
        if refused is not None:
            return refused
        if (
            express is not None
        ):  # in no hurry any more, as whoever watches for the answer must know
            item.settle(Answer(delivered=False, error="retrying"))
            return None
        return self._answer(item, wait)

    def _answer(self, item: Item, wait: float) -> Answer | None:
        """Return the answer to a queued item, if it can be had when it is wanted."""
        if item.reply is None:
            return None
        if not self._background:
            return self._deliver_here(item.reply, wait or self._config.timeout)
        if wait and not self._running:  # no threads here
            return self._deliver_here(item.reply, wait)
        if wait and not self._in_worker and self._worth_waiting(wait):
            self._hurry()
            return _within(item.reply, wait)
        return None

    def _enqueue(self, item: Item) -> Answer | None:
        evicted = self._outbox.put(item)
        if not self._running and not self._ensure_worker():
            self._send_if_due()
        if evicted == ():
            return None
        if evicted is not None:
            self._books.let_go(evicted, "queue_full")
            self._notices.speak()
            return None
        if self._outbox.closed:
            self._books.discard(item)
            return CLOSED
        if self._books.spill(item):
            return None
        return self._refused(item, "queue_full")

    def _refused(self, item: Item, reason: str) -> Answer:
        self.refuse(reason)
        answer = Answer(delivered=False, error=reason)
        item.settle(answer)
        self._notices.lost(reason, [item])
        self._notices.speak()
        return answer

    def _offer_express(self, item: Item) -> bool:
        if not self.reachable or self._dispatcher.backoff:
            return False
        if not self._outbox.lend(item):
            return False
        if self._express is None:
            self._express = ExpressLane(self._send_express, self._connect)
        return self._express.offer(item) or not self._outbox.retract(item)

    def _send_express(self, item: Item, transport: Callable[[], Transport]) -> None:
        outcome = self._dispatcher.post([item], transport, _EXPRESS_TIMEOUT)
        if outcome.verdict == retry.RETRY:
            if outcome.wait:
                self._dispatcher.hold(outcome.wait)
            item.settle(Answer(delivered=False, error="retrying"))
            self._books.give_back([item])
            self._ensure_worker()
        else:
            self._books.settle([item], outcome)
        self._notices.speak()

    # -- sending: the worker's thread, or the caller's in sync mode --

    def _ensure_worker(self) -> bool:
        """Start the worker; return False if it is wanted and there can be none."""
        if not self._background:
            return True
        with self._outbox.lock:
            if self._running or self._outbox.closed:
                return True
            if not _threads_may_start():
                return False
            thread = threading.Thread(target=self._run, name="mbuzz", daemon=True)
            self._running = True  # before it starts, or it is started twice
        # Not under the lock: a finalizer in the new thread may need it to get going.
        try:
            thread.start()
        except RuntimeError:  # shutdown has begun, or a host without threads
            with self._outbox.lock:
                self._running = False
                self._outbox.changed.notify_all()
            return False
        self._thread = thread
        return True

    def _send_if_due(self) -> None:
        """Do what the worker would, in a host without threads: seldom, and shortly."""
        with self._outbox.lock:
            due = lifetime.leave_by is None and self._dispatcher.pause() == 0
        if due:
            self._dispatcher.pump(_PUMP_TIMEOUT)

    def _run(self) -> None:
        try:
            while self._wait_until_due():
                with guard.swallowing("delivery worker"):
                    self._dispatcher.pump(self._config.timeout, early=False)
        finally:
            self._running = False

    def _wait_until_due(self) -> bool:
        """Return True as soon as a batch is due, False when it is time to end."""
        outbox = self._outbox
        with outbox.lock:
            while (pause := self._dispatcher.pause()) > 0:
                if outbox.ended or (outbox.closed and self._dispatcher.idle):
                    return False
                outbox.changed.wait(pause if math.isfinite(pause) else None)
            return not outbox.ended

    def _deliver_here(self, reply: Future[Answer], timeout: float) -> Answer | None:
        """Send what is queued, until *reply* comes, in the caller's thread."""
        dispatcher = self._dispatcher
        if dispatcher.asked_to_wait or not self.reachable:
            return None
        deadline = SYSTEM_CLOCK.monotonic() + timeout
        failed_before = dispatcher.attempt
        while not reply.done() and dispatcher.attempt <= failed_before:
            left = deadline - SYSTEM_CLOCK.monotonic()
            if left <= 0 or not dispatcher.pump(left):
                break
        return reply.result() if reply.done() else None

    # -- waiting --

    def _worth_waiting(self, seconds: float) -> bool:
        """Tell whether the next try comes within *seconds*, and may succeed."""
        return self.reachable and self._dispatcher.backoff < seconds

    def _hurry(self) -> None:
        with self._outbox.lock:
            self._dispatcher.urgent_until = self._clock.monotonic()
            self._outbox.changed.notify_all()

    @property
    def _in_worker(self) -> bool:
        """Tell whether the caller is the host's function in our own thread."""
        return threading.current_thread() is self._thread

    def flush(self, timeout: float) -> bool:
        """Send what was accepted so far; return whether it was settled in time."""
        deadline = SYSTEM_CLOCK.monotonic() + timeout
        until = self._clock.monotonic()
        self._dispatcher.try_now()
        self._hurry()
        while not self._settled(until):
            left = deadline - SYSTEM_CLOCK.monotonic()
            if left <= 0 or self._is_hopeless(left):
                return False
            if self._running and not self._in_worker:
                with self._outbox.lock:
                    if not self._settled(until):
                        self._outbox.changed.wait(left)
            elif not self._flush_here(left):
                return False
        return True

    def _is_hopeless(self, seconds: float) -> bool:
        """Tell whether the server wants to be left alone for longer than that."""
        return not self._outbox.in_flight and self._dispatcher.backoff > seconds

    def _settled(self, until: float) -> bool:
        """Tell whether nothing is left that was accepted up to then."""
        since = self._outbox.unsettled_since()
        done = since is None or since > until
        return done and not self._dispatcher.on_disk

    def _flush_here(self, left: float) -> bool:
        """Send in line, there is no worker; return whether it is worth going on."""
        pause = self._dispatcher.backoff
        if pause > left:
            return False
        outbox = self._outbox
        with outbox.lock:
            if not outbox.waiting and outbox.in_flight:
                outbox.changed.wait(left)
                return True
            if pause > 0:
                outbox.changed.wait(pause)
                return True
        if not self._dispatcher.pump(left):
            with outbox.lock:
                outbox.changed.wait(min(left, _REST))
        return True

    def close(self, timeout: float) -> bool:
        """Take no more, flush, and stop; what is left is spooled or counted as dropped.

        Safe to call twice.
        """
        deadline = SYSTEM_CLOCK.monotonic() + timeout
        self.closed = True
        if self._outbox.ended:
            return self._dispatcher.idle
        self._outbox.close()
        settled = self.flush(timeout)
        left = self._outbox.end()
        if left is None:  # another thread was faster
            return settled
        if self._express is not None:
            self._express.close()
        self._books.let_go(left, "closed")
        self._counters.report(everything=True)
        self._notices.speak()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - SYSTEM_CLOCK.monotonic()))
        if self._spool is not None:
            self._spool.close()
        self._dispatcher.disconnect_if_ended()
        return settled

    # -- telling --

    def stats(self) -> Stats:
        """Return what became of every event, at this moment."""
        now = self._clock.monotonic()
        return take_stats(self._outbox, self._counters, self._breaker, now)

    def health(self) -> Health:
        """Return whether events arrive, from what is known already."""
        counters = self._counters
        if self._books.refused is not None:
            return Health(status="failing", reason=self._books.refused)
        if self._breaker.state != "closed":
            return Health(status="failing", reason=counters.last_error)
        if self._dispatcher.attempt:
            return Health(status="degraded", reason=counters.last_error)
        if self._spool is not None and self._spool.trouble is not None:
            return Health(status="degraded", reason=self._spool.trouble)
        lost = counters.last_loss
        if lost is not None and self._clock.monotonic() - lost < _LOSS_MATTERS_FOR:
            return Health(status="degraded", reason="events_lost")
        return Health()


def _threads_may_start() -> bool:
    """Tell whether a thread would live: not at the end, and not in uWSGI's master.

    The master forks its workers in C, and those that it forks beside a thread of ours
    may never answer a request.
    """
    if lifetime.leaving():
        return False
    uwsgi: Any = sys.modules.get("uwsgi")
    return uwsgi is None or bool(uwsgi.worker_id() or uwsgi.mule_id())


def _within(reply: Future[Answer], seconds: float) -> Answer | None:
    try:
        return reply.result(seconds)
    except TimeoutError:
        return None
