"""Who is due when: one heap for thousands of connections, no sockets, no clock."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from math import inf


class Timed:
    """Something with a deadline, which `Deadlines` keeps."""

    __slots__ = ("due", "entry")

    def __init__(self) -> None:
        self.due = inf
        self.entry: list[object] | None = None  # its place in the heap


class Deadlines:
    """Knows who is due; a deadline that keeps moving later costs an attribute.

    Each thing has at most one entry, which is never later than its deadline. When an
    entry comes up too early, it goes back with the deadline of then. So a connection
    that is answered ten thousand times within its idle time is looked at once.
    """

    def __init__(self) -> None:
        self._heap: list[list[object]] = []
        self._count = count()  # so that equal moments never compare things

    def __len__(self) -> int:
        """Return how many entries there are, those without a thing included."""
        return len(self._heap)

    def set(self, thing: Timed, when: float) -> None:
        """Make *thing* due at *when*, and at no other moment."""
        thing.due = when
        entry = thing.entry
        if entry is None or when < entry[0]:  # type: ignore[operator]
            if entry is not None:
                entry[2] = None
            self._push(thing)

    def forget(self, thing: Timed) -> None:
        """Let *thing* go; its entry no longer keeps it alive."""
        thing.due = inf
        if thing.entry is not None:
            thing.entry[2] = None
            thing.entry = None

    def first(self) -> float:
        """Return a moment before which nothing is due."""
        return self._heap[0][0] if self._heap else inf  # type: ignore[return-value]

    def due(self, now: float) -> Iterator[Timed]:
        """Give out what is due; each once, until it is set again."""
        heap = self._heap
        while heap and heap[0][0] <= now:  # type: ignore[operator]
            thing = heapq.heappop(heap)[2]
            if not isinstance(thing, Timed):
                continue
            thing.entry = None
            if thing.due <= now:
                thing.due = inf
                yield thing
            elif thing.due < inf:
                self._push(thing)

    def _push(self, thing: Timed) -> None:
        thing.entry = [thing.due, next(self._count), thing]
        heapq.heappush(self._heap, thing.entry)
