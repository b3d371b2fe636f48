"""Group commit: all that waits is done in one transaction, by one thread at a time."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from math import inf
from time import monotonic
from typing import Any, Final, Protocol

from mbuzz import guard
from mbuzz.server.storage.condition import Condition
from mbuzz.server.storage.errors import (
    StorageBusyError,
    StorageError,
    TooLongError,
)
from mbuzz.server.storage.pending import Pending
from mbuzz.server.storage.port import Stores

_logger = logging.getLogger("mbuzz.server")

_MOST_WAITING: Final = 2_000  # units of work; more would only wait longer
_MOST_SIZE: Final = 20_000  # of all that waits, in rows
_PER_COMMIT: Final = 4_000  # rows; more would only make others wait
_HERE: Final = 512  # rows that `settle` does at a time, some ms of work
_MUCH: Final = 12_000  # written, as `_written` counts: some 3,000 pages of SQLite's
_A_COMMIT: Final = 24  # rows that a commit counts for, however small
_GRACE: Final = 0.005  # seconds until the writer does what `settle` could not
_LENT: Final = 0.02  # seconds after which `settle` begins nothing more
_QUICK: Final = 0.01  # seconds of a commit that `settle` may wait for

Together = Callable[[Stores, Sequence[Any]], Sequence[Any]]


class Bounded(Stores, Protocol):
    """Stores that know until when they may be used; see `Stores.check_time`."""

    until: float


class Transactions(Protocol):
    """What a database does for the writer, on one thread at a time."""

    @property
    def stores(self) -> Bounded:
        """Return the stores that work is done with."""
        ...

    def begin(self, *, patient: bool = True) -> bool:
        """Begin a transaction that may write.

        Return whether it has; not *patient*, it does not wait for other processes.
        """
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

    def tidy(self, *, alone: bool) -> bool:
        """Do what is due after much was written, on the writer's thread.

        Called twice: others may commit meanwhile, then *alone*, while nobody may.
        Return whether all of it is done; else commits may take long.
        """
        ...

    def refusal(self, error: Exception) -> Exception:
        """Return what a caller is told of *error*."""
        ...


class Work(Pending[Any]):
    """A unit of work; what comes of it is there once that is on disk.

    Adjacent units of one `together` are done in one call of it; without one the
    payload is itself what is to be done.
    """

    __slots__ = ("payload", "size", "together")

    def __init__(self, together: Together | None, payload: Any, size: int = 1) -> None:
        super().__init__()
        self.together = together
        self.payload = payload
        self.size = size


class GroupCommit:
    """A queue of work, and the thread that empties it.

    A thread that has nothing better to do may lend a hand (`settle`): it saves the
    way to the writer and back, and the quarrel of two threads over the interpreter.

    Source: group commit; the more callers wait, the more share one sync of the disk.
    """

    def __init__(self, database: Transactions, name: str, condition: Condition) -> None:
        self._database = database
        self._condition = condition
        self._waiting: deque[Work] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._turn = threading.Lock()  # held by the thread that uses the database
        self._closed = False
        self._woken = False  # the writer is to do what waits
        self._asked = False  # `settle` came while the writer was at work
        self._slow = False  # the latest commit took long
        self._untidy = False  # the next one may
        self._written = 0  # rows since the latest `tidy`, roughly
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
        """Queue *work*; without *wake* it may wait until `wake` or `settle` is called.

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
                self._wake()

    def wake(self) -> None:
        """Have the writer do what was put without waking it."""
        if self._waiting and not self._woken:
            with self._changed:
                self._wake()

    def _wake(self) -> None:
        self._woken = True
        self._changed.notify()

    def settle(self) -> bool:
        """Do here what was put without waking the writer; return whether some is left.

        Never for long: what is much waits for the next call, and the writer does it
        all where the disk is slow, another process writes or the work is no small one.
        """
        if self._called or not self._waiting:
            return False
        if self._slow or self._untidy:
            self.wake()
            return False
        if not self._turn.acquire(blocking=False):
            with self._changed:
                self._asked = True
                self._changed.notify()
            return False
        done: list[Work] = []
        try:
            self._asked = False
            if not self._called:  # while this came here
                done = self._settle()
        finally:
            self._database.stores.until = inf
            with guard.swallowing("rollback"):  # an interrupt came in between
                self._database.rollback()
            self._turn.release()
        _answer(done)
        return bool(self._waiting) and not self._woken

    def _settle(self) -> list[Work]:
        # Nothing is taken before it is sure that it can be done.
        begin = partial(self._database.begin, patient=False)
        if not guard.attempt(begin, lambda _error: False):
            self.wake()
            return []
        batch = self._take(_HERE, here=True)
        if not batch:
            return []
        self._condition.begin()
        self._database.stores.until = monotonic() + _LENT
        return guard.attempt(
            partial(self._carry_out, batch), partial(self._fail, batch)
        )

    def close(self) -> None:
        """Finish what is queued and end the thread."""
        with self._turn, self._changed:  # who settles may put something back
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while self._await():
            if self._called:
                # Not in its turn: who hears of it may have more, and do that at once.
                _answer(self._write())
            if self._written >= _MUCH:
                self._written = 0
                self._untidy = not guard.attempt(self._tidy, _not_tidied)

    def _tidy(self) -> bool:
        self._database.tidy(alone=False)
        with self._turn:
            return self._database.tidy(alone=True)

    def _write(self) -> list[Work]:
        with self._turn:
            batch = self._take(_PER_COMMIT)
            return guard.attempt(
                partial(self._commit, batch), partial(self._fail, batch)
            )

    def _await(self) -> bool:
        """Wait for something to do; return False at the end."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._called or self._asked or self._written >= _MUCH
            )
            if self._asked:
                # Whoever asked hears of what was done, and most likely asks again.
                self._changed.wait_for(lambda: self._called or not self._asked, _GRACE)
                self._woken = self._woken or self._asked
                self._asked = False
            return not self._closed or bool(self._waiting)

    @property
    def _called(self) -> bool:
        return self._woken or self._closed

    def _take(self, most: int, *, here: bool = False) -> list[Work]:
        """Return what shares the next transaction, *most* rows or one unit.

        Nothing *here* if the writer was woken: that may be for work of any length.
        """
        batch: list[Work] = []
        size = 0
        with self._changed:
            if here and self._called:
                return []
            while self._waiting and (not batch or size + self._waiting[0].size <= most):
                work = self._waiting.popleft()
                size += work.size
                if work.begin():
                    batch.append(work)
            self._size -= size
            self._woken = self._woken and bool(self._waiting)
        return batch

    def _commit(self, batch: list[Work]) -> list[Work]:
        if not batch:
            return []
        self._condition.begin()
        self._database.begin()
        return self._carry_out(batch)

    def _carry_out(self, batch: list[Work]) -> list[Work]:
        """Do everything in one transaction; a failure costs its own work only.

        Return what is done, for better or worse; the rest is put back.
        """
        done: list[Work] = []
        for group in _groups(batch):
            if not self._perform(group):
                break
            done += group
        began = monotonic()
        self._database.commit()
        self._slow = monotonic() - began > _QUICK
        with guard.swallowing("commit noted"):  # it is on disk, whoever hears of it
            self._condition.committed(sum(work.size for work in done))
        self._written += sum(work.size for work in done) + _A_COMMIT
        if self._written >= _MUCH:
            with self._changed:
                self._changed.notify()
        if len(done) < len(batch):
            self._put_back(batch[len(done) :])
        return done

    def _put_back(self, batch: list[Work]) -> None:
        with self._changed:
            self._waiting.extendleft(reversed(batch))
            self._size += sum(work.size for work in batch)
            self._wake()

    def _perform(self, group: list[Work]) -> bool:
        """Do a group; return whether it is done, else it has taken too long."""
        self._database.savepoint()
        done = guard.attempt(
            partial(_do, group, self._database.stores), partial(self._undo, group)
        )
        self._database.release()
        return done

    def _undo(self, group: list[Work], error: Exception) -> bool:
        self._database.undo()
        merged = len(group) > 1
        if isinstance(error, TooLongError) or (merged and self._hurried):
            return False  # one by one it takes long as well
        if not merged:
            (work,) = group
            work.error = self._database.refusal(error)
            return True
        _logger.warning("merged writes are tried one by one (units=%d)", len(group))
        for work in group:
            self._perform([work])
        return True

    @property
    def _hurried(self) -> bool:
        return self._database.stores.until < inf

    def _fail(self, batch: list[Work], error: Exception) -> list[Work]:
        """Note for a whole batch that its transaction could not be committed."""
        with guard.swallowing("rollback"):
            self._database.rollback()
        self._condition.failed()
        _logger.error("commit failed (error=%s)", type(error).__name__)
        for work in batch:
            work.error = StorageBusyError(f"the database cannot be written: {error}")
        return batch


def _not_tidied(error: Exception) -> bool:
    guard.report("tidy", error)
    return False


def _answer(done: list[Work]) -> None:
    for work in done:
        work.finish()


def _groups(batch: list[Work]) -> Iterator[list[Work]]:
    """Yield what is done in one go: adjacent work of one kind."""
    for together, group in groupby(batch, key=lambda work: work.together):
        if together is None:
            yield from ([work] for work in group)
        else:
            yield list(group)


def _do(group: list[Work], stores: Stores) -> bool:
    together = group[0].together
    if together is None:
        (work,) = group
        work.value = work.payload(stores)
        return True
    results = together(stores, [work.payload for work in group])
    for work, result in zip(group, results, strict=True):
        work.value = result
    return True
