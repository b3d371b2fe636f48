"""Books what became of every event: delivered, rejected, on disk, or lost."""

from __future__ import annotations

from mbuzz.delivery import retry
from mbuzz.delivery.queue import Answer, Item

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mbuzz.clock import Clock
    from mbuzz.delivery.counters import Counters
    from mbuzz.delivery.notices import Notices
    from mbuzz.delivery.queue import Outbox
    from mbuzz.delivery.sender import Outcome
    from mbuzz.delivery.spool import Spool, Ticket

_TOO_LARGE = "http_413"  # says something of the event, not of the server


class Books:
    """Keeps counts, queue and spool in step.

    Counts and queue change together, under the queue's lock, so that they add up at
    every moment; files are written outside of it, and held back from replay until they
    are booked. An item is booked by whoever takes it out of the air: what is no longer
    in flight is booked already.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        outbox: Outbox,
        counters: Counters,
        notices: Notices,
        spool: Spool | None,
    ) -> None:
        self._clock = clock
        self._outbox = outbox
        self._counters = counters
        self._notices = notices
        self._spool = spool
        self._began = clock.monotonic()
        self.replay_at = 0.0  # monotonic seconds: when to look into the spool
        self.refused: str | None = None  # why the last batch was, as a whole

    # -- answers --

    def settle(
        self, batch: Sequence[Item], outcome: Outcome, *, replayed: bool = False
    ) -> None:
        """Book a final answer, and tell those who wait for it."""
        count = len(batch)
        refused = outcome.reason if outcome.verdict != retry.DELIVERED else None
        self.refused = refused if refused != _TOO_LARGE else None
        buried = refused is not None and self._buried(batch, refused)
        self._forget(batch)  # before it counts: whoever flushes may look on disk
        counters = self._counters
        with self._outbox.lock:
            landed = self._outbox.settle(batch)
            if len(landed) < count:
                self._unbook(set(batch).difference(landed))
            if refused is None:
                delivered = count - len(outcome.rejected)
                counters.delivered += delivered
                for reason in outcome.rejected.values():
                    counters.reject(reason)
                if not replayed:
                    counters.note_latency(self._clock.monotonic() - batch[0].at)
            elif buried:
                counters.bury(refused, count)
            else:
                counters.reject(refused, count)
        if len(landed) < count:
            self._forget(batch)  # records that an end has made meanwhile
        if any(item.reply is not None for item in batch):
            for item, answer in zip(batch, outcome.answers(count), strict=True):
                item.settle(answer)
        counters.report()
        self._tell(batch, outcome, buried=buried)

    def _unbook(self, items: Iterable[Item]) -> None:
        """Take back what an end, which could not wait for the answer, has booked."""
        for item in items:
            if item.ticket is not None:
                self._counters.spooled -= 1
            else:
                self._counters.dropped["closed"] -= 1

    def _buried(self, batch: Sequence[Item], reason: str) -> bool:
        spool = self._spool
        return spool is not None and spool.bury([item.body for item in batch], reason)

    def _tell(self, batch: Sequence[Item], outcome: Outcome, *, buried: bool) -> None:
        if buried:
            self._notices.passed("dead-lettered", batch, outcome.reason)
        elif outcome.verdict != retry.DELIVERED:
            self._notices.lost(outcome.reason, batch)
        else:
            for index, reason in outcome.rejected.items():
                self._notices.lost(reason, [batch[index]])
            self._notices.passed(
                "delivered",
                (e for i, e in enumerate(batch) if i not in outcome.rejected),
            )

    def give_back(self, batch: Sequence[Item], *, replayed: bool = False) -> None:
        """Return what was in flight to where it came from."""
        with self._outbox.lock:
            if self._outbox.ended:
                return  # the end has taken over what was in flight when it came
            if not replayed:
                self._outbox.put_back(batch)
                return
            landed = len(self._outbox.settle(batch))
            self._counters.spooled += landed
        self._release(batch)

    # -- on disk --

    def record(self, item: Item) -> None:
        """Write *item* to disk before it is queued, so that nothing can lose it."""
        self._to_disk(item)

    def discard(self, item: Item) -> None:
        """Forget the record of an item that was not accepted after all."""
        self._forget([item])

    def spill(self, item: Item) -> bool:
        """Accept *item* on disk, as the queue has no room; False if that fails."""
        if not self._to_disk(item):
            return False
        with self._outbox.lock:
            self._outbox.accepted += 1
            self._counters.spooled += 1
        self._release([item])
        self._notices.passed("spooled", [item])
        item.reply = None  # nobody can say when it will be answered
        return True

    def let_go(self, items: Sequence[Item], reason: str) -> None:
        """Give up items in flight, which nobody will send: to disk, or dropped."""
        items = self._outbox.in_air(items)
        new = [item for item in items if item.ticket is None]
        kept = {item for item in items if self._to_disk(item)}
        with self._outbox.lock:
            landed = self._outbox.settle(items)
            lost = [item for item in landed if item not in kept]
            spooled = len(landed) - len(lost)
            self._counters.spooled += spooled
            if lost:
                self._counters.drop(reason, len(lost))
        answered = set(items).difference(landed)  # while their records were made
        self._forget(item for item in new if item in answered)
        self._release(item for item in kept if item not in answered)
        self._counters.report()
        for item in landed:
            why = None if item in kept else reason
            item.settle(Answer(delivered=why is None, error=why))
        self._notices.passed("spooled", (item for item in landed if item in kept))
        if lost:
            self._notices.lost(reason, lost)

    def take_over(
        self, taken: Sequence[tuple[Ticket, bytes]], losses: Mapping[str, int]
    ) -> list[Item]:
        """Book what left the disk, and return it as items in flight.

        *losses* is what the spool says changed besides; some of it all may come from
        processes that have ended, and is accepted here for the first time.
        """
        # They came before anything that waits: whoever flushes waits for these, too.
        items = [
            Item(body, self._began, important=True, ticket=ticket)
            for ticket, body in taken
        ]
        lost = {k: count for k, count in losses.items() if k != "recovered"}
        gone = len(items) + sum(lost.values())
        counters = self._counters
        with self._outbox.lock:
            if self._outbox.ended:  # too late, others will find it
                self._release(items)
                return []
            own = min(counters.spooled, gone - losses.get("recovered", 0))
            new = gone - own
            counters.spooled -= own
            counters.recovered += new
            self._outbox.accepted += new
            for reason, count in lost.items():
                counters.drop(reason, count)
            self._outbox.fly(items)
        counters.report()
        return items

    def _to_disk(self, item: Item) -> bool:
        """Have *item* on disk, not to be replayed before `_release`; False if not."""
        spool = self._spool
        if spool is None:
            return False
        if item.ticket is None:
            item.ticket = spool.write(item.body, held=True)
        if item.ticket is None:
            self._counters.warn("not spooled", spool.trouble or "unknown")
            self._counters.report()
        return item.ticket is not None

    def _forget(self, items: Iterable[Item]) -> None:
        if self._spool is not None:
            self._spool.ack([item.ticket for item in items if item.ticket is not None])

    def _release(self, items: Iterable[Item]) -> None:
        """Let the spool replay what has been booked as being there."""
        if self._spool is not None:
            self._spool.release([i.ticket for i in items if i.ticket is not None])
            self.replay_at = 0.0
