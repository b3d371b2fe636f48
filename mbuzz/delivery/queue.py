"""The bounded queue between the caller's thread and the worker's."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one item; `body` is the server's word on it, if it had one."""

    delivered: bool
    error: str | None = None
    body: dict[str, object] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()  # Set-Cookie headers of the whole reply


@dataclass(slots=True, kw_only=True, eq=False)
class Item:
    """One encoded call, waiting to be delivered."""

    kind: str
    id: str
    body: bytes
    enqueued_at: float  # monotonic seconds
    reply: Future[Answer] | None = None

    def settle(self, answer: Answer) -> None:
        """Tell whoever waits, if anybody does; the first answer counts."""
        if self.reply is not None and not self.reply.done():
            with suppress(InvalidStateError):  # given up at this very moment
                self.reply.set_result(answer)


class Outbox:
    """Items in order, bounded by count and bytes, those being sent included.

    When it is full, plain events go before identify, alias and conversions: the
    oldest of them first, since a newer one says more about what the visitor does now.
    `changed` is re-entrant and is notified whenever an item comes or goes.
    """

    def __init__(self, *, max_items: int, max_bytes: int) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._waiting: deque[Item] = deque()
        self._plain_waiting = 0
        self.waiting_bytes = 0
        self.in_flight = 0
        self._in_flight_bytes = 0
        self.changed = threading.Condition(threading.RLock())

    @property
    def waiting(self) -> int:
        """Return how many items wait to be sent."""
        return len(self._waiting)

    @property
    def empty(self) -> bool:
        """Tell whether nothing waits and nothing is on its way."""
        return not self._waiting and not self.in_flight

    @property
    def oldest(self) -> Item | None:
        """Return the next item to be sent."""
        return self._waiting[0] if self._waiting else None

    def put(self, item: Item) -> list[Item] | None:
        """Append *item* and return those that made room, or None if there is none."""
        with self.changed:
            evicted = self._make_room(item)
            if evicted is None:
                return None
            self._append(item)
            self.changed.notify_all()
            return evicted

    def _append(self, item: Item) -> None:
        self._waiting.append(item)
        self._plain_waiting += item.kind == "track"
        self.waiting_bytes += len(item.body)

    def _make_room(self, item: Item) -> list[Item] | None:
        """Remove plain events until *item* fits; none of them if it cannot."""
        victims: list[Item] = []
        freed = 0
        if not self._fits(item):
            if item.kind == "track" or not self._plain_waiting:
                return None
            for waiting in self._waiting:
                if waiting.kind == "track":
                    victims.append(waiting)
                    freed += len(waiting.body)
                    if self._fits(item, without=len(victims), freed=freed):
                        break
            else:
                return None
        for victim in victims:
            self._waiting.remove(victim)
        self._plain_waiting -= len(victims)
        self.waiting_bytes -= freed
        return victims

    def _fits(self, item: Item, *, without: int = 0, freed: int = 0) -> bool:
        size = self.waiting_bytes + self._in_flight_bytes + len(item.body) - freed
        count = len(self._waiting) + self.in_flight + 1 - without
        return count <= self._max_items and size <= self._max_bytes

    def take(self, *, max_items: int, max_bytes: int) -> list[Item]:
        """Return the next items, at least one if any waits; they count as in flight."""
        with self.changed:
            batch: list[Item] = []
            size = 0
            while self._waiting and len(batch) < max_items:
                item = self._waiting.popleft()
                if batch and size + len(item.body) > max_bytes:
                    self._waiting.appendleft(item)
                    break
                self._plain_waiting -= item.kind == "track"
                self.waiting_bytes -= len(item.body)
                size += len(item.body)
                batch.append(item)
            self.in_flight += len(batch)
            self._in_flight_bytes += size
            return batch

    def lend(self, item: Item) -> bool:
        """Count *item* as in flight without queueing it; False if there is no room."""
        with self.changed:
            if not self._fits(item):
                return False
            self.in_flight += 1
            self._in_flight_bytes += len(item.body)
            return True

    def settle(self, items: Iterable[Item]) -> None:
        """Forget items that were in flight."""
        with self.changed:
            for item in items:
                self.in_flight -= 1
                self._in_flight_bytes -= len(item.body)
            self.changed.notify_all()

    def put_back(self, items: list[Item]) -> None:
        """Return items that were in flight to the front, in their order."""
        with self.changed:
            for item in reversed(items):
                self.in_flight -= 1
                self._in_flight_bytes -= len(item.body)
                self._waiting.appendleft(item)
                self._plain_waiting += item.kind == "track"
                self.waiting_bytes += len(item.body)
            self.changed.notify_all()

    def drain(self) -> list[Item]:
        """Remove and return everything that waits."""
        with self.changed:
            items = list(self._waiting)
            self._waiting.clear()
            self._plain_waiting = 0
            self.waiting_bytes = 0
            self.changed.notify_all()
            return items
