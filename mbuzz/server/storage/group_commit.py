"""Group commit: one thread does all that waits in one transaction."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import groupby
from typing import Any, Final, Protocol

from mbuzz import guard
from mbuzz.server.storage.condition import Condition
from mbuzz.server.storage.errors import StorageBusyError, StorageError
from mbuzz.server.storage.port import Stores

_logger = logging.getLogger("mbuzz.server")

_MOST_WAITING: Final = 2_000  # units of work; more would only wait longer
_MOST_SIZE: Final = 20_000  # of all that waits, in rows
_PER_COMMIT: Final = 4_000  # rows; more would only make others wait

Together = Callable[[Stores, Sequence[Any]], Sequence[Any]]


class Transactions(Protocol):
    """What a database does for the writer, on the writer's thread."""

    stores: Stores

    def begin(self) -> None:
        """Begin a transaction that may write."""
        ...

    def commit(self) -> None:
        """Put the transaction on disk."""
        ...

    def rollback(self) -> None:
        """Undo the transaction, if there is one."""
        ...

    def savepoint(self) -> None:
        """Begin a part that can be undone by itself."""
        ...

    def undo(self) -> None:
        """Undo the part; it goes on from its beginning."""
        ...

    def release(self) -> None:
        """End the part."""
        ...

    def refusal(self, error: Exception) -> Exception:
        """Return what a caller is told of *error*."""
        ...

    def idle(self) -> None:
        """Use a moment in which nobody waits."""
        ...


class Work:
    """A unit of work, and its result once that is on disk.

    Adjacent units of one `together` are done in one call of it; without one the
    payload is itself what is to be done.
    """

    __slots__ = ("failed", "future", "payload", "result", "size", "together")

    def __init__(self, together: Together | None, payload: Any, size: int = 1) -> None:
        self.together = together
        self.payload = payload
        self.size = size
        self.future: Future[Any] = Future()
        self.result: Any = None
        self.failed: Exception | None = None


class GroupCommit:
    """A queue of work, and the thread that empties it.

    Source: group commit; the more callers wait, the more share one sync of the disk.
    """

    def __init__(self, database: Transactions, name: str, condition: Condition) -> None:
        self._database = database
        self._condition = condition
        self._waiting: deque[Work] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._closed = False
        self._held = False  # something waits that the thread was not woken for
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Tell whether the thread still works."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Return how many units of work wait."""
        return len(self._waiting)

    def put(self, work: Work, *, wake: bool = True) -> None:
        """Queue *work*; without *wake* it may wait until `wake` is called.

        Raises:
            StorageBusyError: If the queue is full.
            StorageError: If it is closed.
        """
        with self._changed:
            if self._closed:
                raise StorageError("the database is closed")
            if len(self._waiting) >= _MOST_WAITING or self._size >= _MOST_SIZE:
                raise StorageBusyError("too many writes are waiting; try again shortly")
            self._waiting.append(work)
            self._size += work.size
            if wake:
                self._changed.notify()
            else:
                self._held = True

    def wake(self) -> None:
        """Have done what was put without waking the thread."""
        if self._held:
            with self._changed:
                self._held = False
                self._changed.notify()

    def close(self) -> None:
        """Finish what is queued and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._take():
            begun = [w for w in batch if w.future.set_running_or_notify_cancel()]
            guard.attempt(partial(self._commit, begun), partial(self._fail, begun))
            if not self._waiting:
                guard.attempt(self._database.idle, lambda _error: None)

    def _take(self) -> list[Work]:
        """Return what shares the next transaction; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            batch: list[Work] = []
            size = 0
            while self._waiting and (not batch or size < _PER_COMMIT):
                work = self._waiting.popleft()
                batch.append(work)
                size += work.size
            self._size -= size
            return batch

    def _commit(self, batch: list[Work]) -> None:
        """Do everything in one transaction; a failure costs its own work only."""
        if not batch:
            return
        self._condition.begin()
        self._database.begin()
        for group in _groups(batch):
            self._perform(group)
        self._database.commit()
        with guard.swallowing("commit noted"):  # it is on disk, whoever hears of it
            self._condition.committed(sum(work.size for work in batch))
        for work in batch:
            if work.failed is not None:
                work.future.set_exception(work.failed)
            else:
                work.future.set_result(work.result)

    def _perform(self, group: list[Work]) -> None:
        self._database.savepoint()
        guard.attempt(
            partial(_do, group, self._database.stores), partial(self._undo, group)
        )
        self._database.release()

    def _undo(self, group: list[Work], error: Exception) -> None:
        self._database.undo()
        if len(group) == 1:
            (work,) = group
            work.failed = self._database.refusal(error)
            return
        _logger.warning("merged writes are tried one by one (units=%d)", len(group))
        for work in group:
            self._perform([work])

    def _fail(self, batch: list[Work], error: Exception) -> None:
        """Answer a whole batch whose transaction could not be committed."""
        with guard.swallowing("rollback"):
            self._database.rollback()
        self._condition.failed()
        _logger.error("commit failed (error=%s)", type(error).__name__)
        for work in batch:
            if not work.future.done():
                work.future.set_exception(
                    StorageBusyError(f"the database cannot be written: {error}")
                )


def _groups(batch: list[Work]) -> Iterator[list[Work]]:
    """Yield what is done in one go: adjacent work of one kind."""
    for together, group in groupby(batch, key=lambda work: work.together):
        if together is None:
            yield from ([work] for work in group)
        else:
            yield list(group)


def _do(group: list[Work], stores: Stores) -> None:
    together = group[0].together
    if together is None:
        (work,) = group
        work.result = work.payload(stores)
        return
    results = together(stores, [work.payload for work in group])
    for work, result in zip(group, results, strict=True):
        work.result = result
