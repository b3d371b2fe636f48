"""The spool: events on disk, where neither a full queue nor `kill -9` loses them.

Every process appends to files of its own, under a lock that ends with it. Whoever holds
the replay lock of a folder sends what waits there, first adopting the files of
processes that have ended.
"""

from __future__ import annotations

import itertools
import os
import threading

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.delivery.spool_appender import Appender
from mbuzz.delivery.spool_folder import Folder, fingerprint, owner_of, trouble_of
from mbuzz.delivery.spool_segment import (
    DEAD_SUFFIX,
    DONE,
    FRESH,
    HELD,
    TAKEN,
    WAITING,
    Segment,
    open_file,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mbuzz.clock import Clock
    from mbuzz.delivery.spool_lock import FileLock

    Batch = list[tuple["Ticket", bytes]]


class Ticket:
    """Names one record on disk to the spool that gave it out."""

    __slots__ = ("index", "segment")

    def __init__(self, segment: Segment, index: int) -> None:
        self.segment = segment
        self.index = index


class Spool:
    """The records of one destination in *folder*; sizes in bytes, age in seconds.

    No method raises `OSError`; `trouble` says in a word what is wrong, None while all
    is well. `write` may interrupt any other call, as finalizers and signal handlers do,
    and waits for no more than one short write of another thread. After a fork the
    child makes a spool of its own; this one does nothing there.
    """

    def __init__(
        self,
        folder: str,
        destination: str,
        *,
        max_bytes: int = 268_435_456,
        max_age: float = 604_800.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._open(Folder(folder, fingerprint(destination)), max_bytes, max_age, clock)

    @classmethod
    def of_fingerprint(
        cls, folder: str, name: str, *, max_age: float, clock: Clock = SYSTEM_CLOCK
    ) -> Spool:
        """Return the spool in the subfolder *name*, whatever its destination is."""
        spool = cls.__new__(cls)
        spool._open(Folder(folder, name), 268_435_456, max_age, clock)
        return spool

    def _open(
        self, folder: Folder, max_bytes: int, max_age: float, clock: Clock
    ) -> None:
        self._write_trouble: str | None = None
        self._replay_trouble: str | None = None
        self._folder = folder
        self._max_age_ms = round(max_age * 1000)
        self._clock = clock
        self._pid = os.getpid()
        self._segments: dict[str, Segment] = {}  # by name: own ones, and adopted
        self._appender = Appender(
            folder, max_bytes, clock, self._segments, self._remove_if_done
        )
        self._lock = threading.RLock()  # never held while files are read
        self._taking = threading.RLock()  # taken before `_lock`, if both are
        self._replay: FileLock | None = None
        self._pinned = 0  # reasons to keep it: records taken, and `take` at work
        self._waiting = 0
        self._losses: dict[str, int] = {}
        self._closed = False

    @property
    def trouble(self) -> str | None:
        """Return what is wrong, in a word; None once it works again."""
        return self._write_trouble or self._replay_trouble

    @property
    def waiting(self) -> int:
        """Return how many records only wait on disk, neither held nor taken.

        Those that this process adopted count from when `take` first returned them.
        """
        return self._waiting

    def losses(self) -> dict[str, int]:
        """Return what changed since the last call, in events by reason.

        `expired` and `corrupted` ones are lost. `recovered` ones came from processes
        that have ended, and were met for the first time: those returned by `take`, and
        those that were lost instead.
        """
        with self._lock:
            losses, self._losses = self._losses, {}
            return losses

    def _count(self, reason: str, count: int = 1) -> None:
        if count:
            self._losses[reason] = self._losses.get(reason, 0) + count

    # -- writing --

    def write(self, body: bytes, *, held: bool = False) -> Ticket | None:
        """Append a record that outlives the process; None if it cannot, see `trouble`.

        With *held* memory has it, too: `take` returns it only after `release`.
        """
        if os.getpid() != self._pid:
            return None
        with self._lock:
            if not self._may_write():
                return None
            try:
                self._write_trouble = self._appender.refusal(body)
                if self._write_trouble is not None:
                    return None
                place = self._appender.append(body, HELD if held else WAITING)
            except OSError as error:
                self._write_trouble = trouble_of(error)
                return None
            self._waiting += not held
            return Ticket(*place)

    def _may_write(self) -> bool:
        if self._closed:
            self._write_trouble = "closed"
        return not self._closed and not self._appender.resting

    def bury(self, bodies: Sequence[bytes], reason: str) -> bool:
        """Keep what nobody will deliver for `mbuzz spool`; False if there is no room.

        Dead letters may fill half of the spool.
        """
        if os.getpid() != self._pid:
            return False
        with self._lock:
            if not self._may_write():
                return False
            try:
                self._write_trouble = self._appender.bury(bodies, reason)
            except OSError as error:
                self._write_trouble = trouble_of(error)
            return self._write_trouble is None

    # -- tickets --

    def release(self, tickets: Iterable[Ticket]) -> None:
        """Let `take` return these records: memory has given them up."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            for ticket in tickets:
                states, index = ticket.segment.states, ticket.index
                if states[index] in (HELD, TAKEN):
                    self._waiting += 1
                    self._pinned -= states[index] == TAKEN
                    states[index] = WAITING
            self._let_others_replay()

    def ack(self, tickets: Iterable[Ticket]) -> None:
        """Never return these records again, here or in a later process."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            grouped: dict[Segment, list[int]] = {}
            for ticket in tickets:
                grouped.setdefault(ticket.segment, []).append(ticket.index)
            for segment, indexes in grouped.items():
                self._done(segment, indexes)
                self._remove_if_done(segment)
            self._let_others_replay()

    def _done(self, segment: Segment, indexes: Iterable[int]) -> None:
        fresh = [index for index in set(indexes) if segment.states[index] != DONE]
        states = [segment.states[index] for index in fresh]
        self._waiting -= states.count(WAITING)
        self._pinned -= states.count(TAKEN)
        try:
            segment.done(fresh)
        except FileNotFoundError:  # nothing is left that could be returned
            pass
        except OSError as error:  # a later process may send them once more
            self._replay_trouble = trouble_of(error)

    def _remove_if_done(self, segment: Segment) -> None:
        """Remove a file without open records, and with the last one its lock."""
        if segment.open or not segment.sealed or not segment.indexed or self._closed:
            return
        if self._segments.pop(segment.name, None) is None:
            return
        segment.remove()
        self._appender.freed(segment.size)
        if self._write_trouble == "spool_full":
            self._write_trouble = None
        lock = segment.lock
        if lock not in self._appender.locks and all(
            other.lock is not lock for other in list(self._segments.values())
        ):
            lock.release(remove=True)

    # -- replay --

    def take(self, *, max_items: int, max_bytes: int) -> Batch:
        """Return the next records to replay, oldest first; empty if there are none.

        At least one, if any waits, however large. It is also empty while another
        process replays. They count as held until `ack` or `release`.
        """
        batch: Batch = []
        if os.getpid() != self._pid:
            return batch
        with self._taking:
            if self._closed:
                return batch
            self._replay_trouble = None
            with self._lock:
                self._pinned += 1
            try:
                others = self._others()
                if (others or self._waiting) and self._may_replay():
                    self._adopt(others)
                    self._collect(batch, max_items, max_bytes)
            except OSError as error:
                self._replay_trouble = trouble_of(error)
            finally:
                with self._lock:
                    self._pinned -= 1
                    self._let_others_replay()
            return batch

    def _others(self) -> list[str]:
        """Return the other owners of files here, those adopted included."""
        owners = {
            owner_of(name)
            for name in self._folder.names()
            if not name.endswith(DEAD_SUFFIX)
        }
        own = {owner_of(os.path.basename(lock.path)) for lock in self._appender.locks}
        return sorted(owner for owner in owners - own if owner)

    def _may_replay(self) -> bool:
        with self._lock:
            if self._replay is None:
                lock = self._folder.replay_lock()
                self._replay = lock if lock.acquire() else None
            return self._replay is not None

    def _let_others_replay(self) -> None:
        if self._replay is not None and not self._pinned:
            self._replay.release()
            self._replay = None

    def _adopt(self, owners: Iterable[str]) -> None:
        """Make the files of ended processes this one's; their lock tells them."""
        adopted = {segment.lock.path for segment in list(self._segments.values())}
        for owner in owners:
            lock = self._folder.lock_of(owner)
            if lock.path in adopted:
                continue
            try:
                if not lock.acquire():
                    continue
                # listed now: it may have written until it ended
                found = self._folder.files_of(owner)
            except OSError as error:  # the other ones may do
                self._replay_trouble = trouble_of(error)
                lock.release()
                continue
            for path in found:
                segment = Segment(path, lock)
                self._segments[segment.name] = segment
            if not found:
                lock.release(remove=True)

    def _collect(self, batch: Batch, max_items: int, max_bytes: int) -> None:
        for name in sorted(self._segments):
            segment = self._segments.get(name)
            if segment is None:  # done with, meanwhile
                continue
            room = max_bytes - sum(len(body) for _, body in batch)
            try:
                if not segment.indexed:
                    self._count_damaged(segment.index())
                full = self._collect_from(segment, batch, max_items, room)
            except FileNotFoundError:  # removed by hand
                segment.indexed = True
                with self._lock:
                    self._give_up(segment, list(segment.ready()), "corrupted")
                full = False
            except OSError as error:  # the other ones may do
                self._replay_trouble = trouble_of(error)
                continue
            with self._lock:
                self._remove_if_done(segment)
            if full:
                return

    def _count_damaged(self, count: int) -> None:
        with self._lock:
            self._count("recovered", count)
            self._count("corrupted", count)

    def _collect_from(
        self, segment: Segment, batch: Batch, max_items: int, room: int
    ) -> bool:
        """Add records of one file to *batch*; return whether that is full."""
        ready = segment.ready()
        first = next(ready, None)
        if first is None:
            return False
        oldest_ms = self._clock.now_ms() - self._max_age_ms
        good: list[tuple[int, bytes]] = []
        lost: dict[str, list[int]] = {"expired": [], "corrupted": []}
        full = False
        with open_file(segment.path) as file:
            for index in itertools.chain((first,), ready):
                full = len(batch) + len(good) >= max_items
                if full:
                    break
                record = segment.read(file, index)
                if record is None:
                    lost["corrupted"].append(index)
                elif record.accepted_at_ms < oldest_ms:
                    lost["expired"].append(index)
                elif (batch or good) and len(record.body) > room:
                    full = True
                    break
                else:
                    room -= len(record.body)
                    good.append((index, record.body))
        with self._lock:
            for index, body in good:
                if segment.states[index] != DONE:
                    batch.append((self._hand_out(segment, index), body))
            for reason, indexes in lost.items():
                self._give_up(segment, indexes, reason)
        return full

    def _hand_out(self, segment: Segment, index: int) -> Ticket:
        if segment.states[index] == FRESH:
            self._count("recovered")
        else:
            self._waiting -= 1
        segment.states[index] = TAKEN
        self._pinned += 1
        return Ticket(segment, index)

    def _give_up(self, segment: Segment, indexes: Sequence[int], reason: str) -> None:
        fresh = [index for index in indexes if segment.states[index] == FRESH]
        self._count("recovered", len(fresh))
        self._count(reason, len(indexes))
        self._done(segment, indexes)

    def close(self) -> None:
        """Let go of everything; what is not acknowledged, the next process replays."""
        if os.getpid() != self._pid:
            return
        with self._taking, self._lock:
            if self._closed:
                return
            self._appender.close()
            for segment in list(self._segments.values()):
                segment.seal()
                self._remove_if_done(segment)
            self._closed = True
            kept = {segment.lock for segment in self._segments.values()}
            for lock in {*self._appender.locks, *kept}:
                lock.release(remove=lock not in kept)
            self._pinned = 0
            self._let_others_replay()
