"""The bounded queue between the caller's thread and the worker's."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import InvalidStateError

from mbuzz.values import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future
    from typing import Any

    from mbuzz.delivery.spool import Ticket

_NEVER = sys.maxsize
_NOTHING: dict[str, Any] = {}


class Answer(Frozen):
    """What became of one item; `body` is the server's word on it, if it had one."""

    delivered: bool
    error: str | None = None
    body: Mapping[str, Any] = _NOTHING
    cookies: tuple[str, ...] = ()  # Set-Cookie headers of the whole reply


class Item:
    """One encoded call, waiting to be delivered.

    Ten thousand of them may wait, so it has no more than it must: `body`, `at`
    (monotonic seconds), `reply` (who waits for the answer), `ticket` (its record on
    disk) and `important` (goes last when room is short).
    """

    __slots__ = ("at", "body", "important", "reply", "ticket")

    def __init__(
        self,
        body: bytes,
        at: float,
        important: bool = False,  # noqa: FBT001, FBT002 - every call makes one
        reply: Future[Answer] | None = None,
        ticket: Ticket | None = None,
    ) -> None:
        self.body = body
        self.at = at
        self.important = important
        self.reply = reply
        self.ticket = ticket

    def settle(self, answer: Answer) -> None:
        """Tell whoever waits, if anybody does; the first answer counts."""
        reply = self.reply
        if reply is not None and not reply.done():
            try:
                reply.set_result(answer)
            except InvalidStateError:  # given up at this very moment
                return


class Outbox:
    """Items in order, bounded by count and bytes, those being sent included.

    When it is full, plain events go before identify, alias, group and conversions: the
    oldest of them first, since a newer one says more about what the visitor does now.
    Who changes counters that must agree with it does so under `lock`, which is
    re-entrant: a finalizer or signal handler may track in the middle of everything,
    that is, at any call and any turn of a loop. So no number is read before such a
    place and written after it.
    `changed` is notified when an item is settled, and when `wake_at` items wait.
    """

    def __init__(self, *, max_items: int, max_bytes: int) -> None:
        self._room = max_items  # how many more there may be, and how large
        self._room_bytes = max_bytes
        self._waiting: deque[Item] = deque()
        self._flying: dict[Item, None] = {}  # a set that keeps the order
        self._important = 0  # of those that wait
        self.accepted = 0
        self.closed = False  # takes no more
        self.ended = False  # and takes nothing back
        self.wake_at = _NEVER  # items
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)

    @property
    def waiting(self) -> int:
        """Return how many items wait to be sent."""
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        """Return how many items are on their way."""
        return len(self._flying)

    @property
    def empty(self) -> bool:
        """Tell whether nothing waits and nothing is on its way."""
        return not self._waiting and not self._flying

    @property
    def oldest(self) -> Item | None:
        """Return the next item to be sent."""
        return self._waiting[0] if self._waiting else None

    def unsettled_since(self) -> float | None:
        """Return when the oldest item came that waits or is on its way."""
        with self.lock:
            here = [*list(self._flying), *list(self._waiting)[:1]]
            return min([item.at for item in here], default=None)

    def put(self, item: Item) -> Sequence[Item] | None:
        """Accept *item* and return those that made room, or None if there is none.

        Those that made room count as in flight until it is settled where they went.
        """
        with self.lock:
            waiting = self._waiting
            evicted: Sequence[Item] | None = ()
            size = len(item.body)
            if self._room_bytes < size or self._room < 1 or self.closed:
                evicted = self._make_room(item)
                if evicted is None:
                    return None
            self._room -= 1
            self._room_bytes -= size
            self.accepted += 1
            waiting.append(item)
            if item.important:
                self._important += 1
            if len(waiting) >= self.wake_at:
                self.wake_at = _NEVER
                self.changed.notify_all()
            return evicted

    def _make_room(self, item: Item) -> list[Item] | None:
        """Remove plain events until *item* fits; none of them if it cannot."""
        if self.closed or not item.important:
            return None
        if len(self._waiting) == self._important:
            return None
        victims: list[Item] = []
        freed = 0
        for waiting in list(self._waiting):
            if not waiting.important:
                victims.append(waiting)
                freed += len(waiting.body)
                if self._fits(item, without=len(victims), freed=freed):
                    break
        else:
            return None
        evicted = []
        for victim in victims:
            try:
                self._waiting.remove(victim)
            except ValueError:  # a finalizer's call has evicted it meanwhile
                continue
            self._flying[victim] = None  # until it is booked what became of it
            evicted.append(victim)
        return evicted

    def _fits(self, item: Item, *, without: int = 0, freed: int = 0) -> bool:
        return self._room + without > 0 and len(item.body) <= self._room_bytes + freed

    def take(self, *, max_items: int, max_bytes: int) -> list[Item]:
        """Return the next items, at least one if any waits; they count as in flight."""
        with self.lock:
            batch: list[Item] = []
            left = max_bytes
            waiting = self._waiting
            while len(batch) < max_items and waiting:  # no call before `popleft`
                item = waiting.popleft()
                left -= len(item.body)
                if batch and left < 0:
                    waiting.appendleft(item)
                    break
                self._flying[item] = None
                self._important -= item.important
                batch.append(item)
            return batch

    def lend(self, item: Item) -> bool:
        """Accept *item* as in flight without queueing it; False without room."""
        with self.lock:
            if self.closed or not self._fits(item):
                return False
            self.accepted += 1
            self.fly([item])
            return True

    def in_air(self, items: Iterable[Item]) -> list[Item]:
        """Return those of *items* that are in flight."""
        with self.lock:
            return [item for item in items if item in self._flying]

    def retract(self, item: Item) -> bool:
        """Take back that *item* was lent; False if it is booked by now."""
        with self.lock:
            if not self.settle([item]):  # an end was faster
                return False
            self.accepted -= 1
            return True

    def fly(self, items: Sequence[Item]) -> None:
        """Count items as in flight that never waited here."""
        with self.lock:
            size = sum([len(item.body) for item in items])
            count = len(items)
            self._flying.update(dict.fromkeys(items))
            self._room -= count
            self._room_bytes -= size

    def settle(self, items: Iterable[Item]) -> list[Item]:
        """Forget items that were in flight; return those that still were."""
        with self.lock:
            landed = [item for item in items if item in self._flying]
            for item in landed:
                self._flying.pop(item, None)
            size = sum([len(item.body) for item in landed])
            count = len(landed)
            self._room += count
            self._room_bytes += size
            self.changed.notify_all()
            return landed

    def put_back(self, items: Sequence[Item]) -> None:
        """Return items that were in flight, in their order, to where their age is.

        That is the front, but for one that never waited here.
        """
        with self.lock:
            waiting = self._waiting
            older = 0
            for other in list(waiting) if items else ():
                if other.at >= items[0].at:
                    break
                older += 1
            waiting.rotate(-older)
            waiting.extendleft(reversed(items))
            waiting.rotate(older)
            important = sum([item.important for item in items])
            self._important += important
            for item in items:
                self._flying.pop(item, None)
            self.changed.notify_all()

    def close(self) -> None:
        """Accept nothing from now on; what is here may still be sent."""
        with self.lock:
            self.closed = True
            self.changed.notify_all()

    def end(self) -> list[Item] | None:
        """Take nothing back any more; return what is here, None the second time.

        It counts as in flight until it is settled.
        """
        with self.lock:
            if self.ended:
                return None
            self.closed = self.ended = True
            flying = list(self._flying)
            waited = self.take(max_items=len(self._waiting), max_bytes=_NEVER)
            self.changed.notify_all()
            return [*flying, *waited]
