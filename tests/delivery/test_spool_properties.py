"""The spool: what holds after any sequence of calls, crashes and new processes."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mbuzz.delivery import spool_lock
from mbuzz.delivery.spool import Spool
from mbuzz.testing import ManualClock


class SpoolMachine(RuleBasedStateMachine):
    """One process after the other uses a folder; a crash is the loss of its locks."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="mbuzz-spool-"))
        self.clock = ManualClock()
        self.number = 0
        self.on_disk = {}  # body -> accepted at, of all processes, without acked ones
        self.spool = None
        self.held_by_others = set(spool_lock._held)
        self.start()

    def start(self):
        self.clock.advance(0.001)  # files of one moment have no order
        self.spool = Spool(str(self.folder), "here", max_age=1_000.0, clock=self.clock)
        self.held = {}
        self.taken = {}
        self.waiting = {}
        self.left = dict(self.on_disk)  # by earlier processes, not yet met
        self.recovered = self.expired = 0

    def crash(self):
        """Do what the system does when a process is killed."""
        spool = self.spool
        locks = {segment.lock for segment in spool._segments.values()}
        locks |= {*spool._appender.locks}
        locks |= {spool._replay} if spool._replay else set()
        for segment in spool._segments.values():
            segment.seal()
        for lock in locks:
            lock.release()

    @rule(size=st.sampled_from([0, 1, 100, 3_000]), held=st.booleans())
    def write(self, size, held):
        self.number += 1
        body = b"%d:" % self.number + b"x" * size
        ticket = self.spool.write(body, held=held)
        assert ticket is not None
        self.on_disk[body] = self.clock.now_ms()
        (self.held if held else self.waiting)[body] = ticket

    def pick(self, data, pool):
        bodies = data.draw(st.lists(st.sampled_from(sorted(pool)), unique=True))
        return {body: pool.pop(body) for body in bodies}

    @precondition(lambda self: self.held or self.taken)
    @rule(data=st.data())
    def release(self, data):
        for pool in (self.held, self.taken):
            if pool:
                picked = self.pick(data, pool)
                self.spool.release(picked.values())
                self.waiting.update(picked)

    @precondition(lambda self: self.held or self.taken)
    @rule(data=st.data())
    def ack(self, data):
        for pool in (self.held, self.taken):
            if pool:
                picked = self.pick(data, pool)
                self.spool.ack(picked.values())
                for body in picked:
                    del self.on_disk[body]

    @rule(count=st.integers(1, 8), size=st.sampled_from([1, 200, 10**6]))
    def take(self, count, size):
        batch = self.spool.take(max_items=count, max_bytes=size)
        oldest = self.clock.now_ms() - 1_000_000
        expected = {**dict.fromkeys(self.left), **self.waiting}
        for ticket, body in batch:
            assert body in expected
            assert self.on_disk[body] >= oldest
            self.recovered += body in self.left
            self.left.pop(body, None)
            self.waiting.pop(body, None)
            assert body not in self.taken
            self.taken[body] = ticket
        assert len(batch) <= count
        assert len(batch) <= 1 or sum(len(body) for _, body in batch) <= size
        numbers = [int(body.partition(b":")[0]) for _, body in batch]
        assert numbers == sorted(numbers)
        fresh = [body for body in expected if self.on_disk[body] >= oldest]
        assert batch or not fresh
        if len(batch) < count and size == 10**6:
            assert len(batch) == len(fresh)
            self.forget(oldest)

    def forget(self, oldest):
        """Everything was met, so what had expired is gone."""
        for pool in (self.left, self.waiting):
            for body in [body for body in pool if self.on_disk[body] < oldest]:
                del pool[body], self.on_disk[body]
        self.check_losses()

    def check_losses(self):
        losses = self.spool.losses()
        assert "corrupted" not in losses
        assert losses.get("recovered", 0) >= self.recovered
        self.recovered = 0

    @rule(seconds=st.sampled_from([1.0, 400.0]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def close_and_start(self):
        self.spool.close()
        self.start()

    @rule()
    def crash_and_start(self):
        self.crash()
        self.start()

    @invariant()
    def waiting_counts(self):
        assert self.spool.trouble is None
        oldest = self.clock.now_ms() - 1_000_000
        young = sum(self.on_disk[body] >= oldest for body in self.waiting)
        assert young <= self.spool.waiting <= len(self.waiting)

    def teardown(self):
        self.spool.close()
        assert set(spool_lock._held) <= self.held_by_others
        shutil.rmtree(self.folder)


TestSpool = SpoolMachine.TestCase
