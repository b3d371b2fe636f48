"""Work that comes again and again, in small steps: who does it, when, and how it went.

A job is a generator: each ``yield`` ends a step, and between steps it can be stopped.
What is due, and which process is at it, stands in the database, so that several
processes on one database do each job once. A job that was interrupted, by a failure or
the end of its process, begins anew; so its steps are to do only what is not yet done.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from mbuzz import guard, ids
from mbuzz.clock import Clock
from mbuzz.server.storage.port import Storage, Stores
from mbuzz.server.storage.privacy_port import JobRow

_logger = logging.getLogger("mbuzz.server")

DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
_LEASE_MS: Final = 600_000  # a step may take so long; then the job is another's
_RENEW_MS: Final = 60_000
_FIRST_RETRY_MS: Final = 60_000
_MOST_RETRY_MS: Final = 3_600_000
_LOOK: Final = 5.0  # seconds between two looks for what is due

# Steps of a job; what it returns is a sentence on what was done, or "".
Steps = Generator[None, None, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A named piece of work.

    It is due every `every_ms`, counted from `at_ms` after midnight UTC, and when
    `pending` says that there is something to do.
    """

    name: str
    about: str
    work: Callable[[Storage, Clock], Steps]
    every_ms: int = DAY_MS
    at_ms: int = 0
    pending: Callable[[Stores], bool] | None = None

    def next_ms(self, now_ms: int) -> int:
        """Return when the job is due next."""
        begun = (now_ms - self.at_ms) // self.every_ms
        return (begun + 1) * self.every_ms + self.at_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job went: "ok", "failed", "stopped", or "busy", which is another's."""

    name: str
    status: str
    said: str = ""


class Scheduler:
    """Does the jobs that are due, here or on a thread of its own."""

    def __init__(self, storage: Storage, clock: Clock, jobs: Sequence[Job]) -> None:
        self.jobs = tuple(jobs)
        self._storage = storage
        self._clock = clock
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._claimant = ids.token(8)
        self._known = False

    # -- the thread --

    def start(self) -> None:
        """Look for what is due from now on, on a thread."""
        self._thread = threading.Thread(
            target=self._run, name="mbuzz-jobs", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """Look for what is due at once."""
        self._wake.set()

    def stop(self, timeout: float = 10.0) -> None:
        """End after the step that runs; what is left is due at the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            with guard.swallowing("jobs"):  # such as a database that is busy
                self.run_due()
            self._wake.wait(_LOOK)
            self._wake.clear()

    # -- doing them --

    def states(self) -> Sequence[tuple[Job, JobRow]]:
        """Return every job with what is known of its last run."""
        self._make_known()
        rows = {row.name: row for row in self._storage.read(lambda s: s.jobs.jobs())}
        return [(job, rows[job.name]) for job in self.jobs]

    def run_due(self) -> Sequence[Outcome]:
        """Do every job that is due; return how each went."""
        outcomes = []
        for job, row in self.states():
            if not self._stopping.is_set() and self._is_due(job, row):
                outcomes.append(self._run_one(job, row.failures))
        return outcomes

    def run(self, name: str) -> Outcome:
        """Do the job *name* now, due or not.

        Raises:
            KeyError: If there is no such job.
        """
        ((job, row),) = [
            state for state in self.states() if state[0].name == name
        ] or _unknown(name)
        return self._run_one(job, row.failures)

    def _make_known(self) -> None:
        if self._known:
            return
        now_ms = self._clock.now_ms()
        rows = {row.name for row in self._storage.read(lambda s: s.jobs.jobs())}
        new = [job for job in self.jobs if job.name not in rows]

        def add(stores: Stores) -> None:
            for job in new:
                stores.jobs.add_job(job.name, job.next_ms(now_ms))

        if new:
            self._storage.write(add)
        self._known = True

    def _is_due(self, job: Job, row: JobRow) -> bool:
        now_ms = self._clock.now_ms()
        if now_ms < row.claimed_until_ms <= now_ms + _LEASE_MS:
            return False
        longest_ms = max(job.every_ms, _MOST_RETRY_MS)
        if row.due_ms <= now_ms or row.due_ms > now_ms + longest_ms:  # a wrong clock
            return True
        return (
            row.failures == 0
            and job.pending is not None
            and self._storage.read(job.pending)
        )

    def _run_one(self, job: Job, failures: int) -> Outcome:
        now_ms = self._clock.now_ms()
        name, claimant = job.name, self._claimant
        if not self._storage.write(
            lambda s: s.jobs.claim_job(name, claimant, now_ms, now_ms + _LEASE_MS)
        ):
            return Outcome(name=name, status="busy")
        outcome = guard.attempt(
            lambda: self._steps(job), lambda error: self._failed(name, error)
        )
        failures = failures + 1 if outcome.status == "failed" else 0
        ended_ms = self._clock.now_ms()
        due_ms = job.next_ms(ended_ms)
        if outcome.status == "stopped":
            due_ms = ended_ms
        elif failures:
            retry_ms = min(_FIRST_RETRY_MS << min(failures - 1, 10), _MOST_RETRY_MS)
            due_ms = min(due_ms, ended_ms + retry_ms)
        self._storage.write(
            lambda s: s.jobs.finish_job(
                name,
                claimant,
                status=outcome.status,
                said=outcome.said,
                failures=failures,
                due_ms=due_ms,
                now_ms=ended_ms,
            )
        )
        return outcome

    def _steps(self, job: Job) -> Outcome:
        renewed_ms = self._clock.now_ms()
        with closing(job.work(self._storage, self._clock)) as steps:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    return Outcome(name=job.name, status="ok", said=end.value or "")
                if self._stopping.is_set():
                    return Outcome(name=job.name, status="stopped")
                now_ms = self._clock.now_ms()
                if now_ms - renewed_ms >= _RENEW_MS or now_ms < renewed_ms:
                    renewed_ms = now_ms
                    if not self._renewed(job.name, now_ms + _LEASE_MS):
                        return Outcome(name=job.name, status="busy")

    def _renewed(self, name: str, until_ms: int) -> bool:
        claimant = self._claimant
        return self._storage.write(lambda s: s.jobs.renew_job(name, claimant, until_ms))

    def _failed(self, name: str, error: Exception) -> Outcome:
        guard.report(f"job {name}", error)
        kind = type(error).__name__
        _logger.error("job failed (job=%s, error=%s)", name, kind)
        return Outcome(name=name, status="failed", said=kind)


def _unknown(name: str) -> list[tuple[Job, JobRow]]:
    raise KeyError(name)
