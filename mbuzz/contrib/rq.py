"""RQ: `MbuzzQueue` and `MbuzzWorker`: a job runs as the visitor who caused it."""

from __future__ import annotations

from typing import Any

from rq import Queue, SimpleWorker, Worker
from rq.job import Job

from mbuzz import api, guard

META = "mbuzz"  # of a job's meta


class MbuzzJob(Job):
    """A job that remembers in its `meta` who was served when it was made.

    Retries, repeats and scheduled jobs keep that. Whoever puts `mbuzz` into `meta`
    decides; without a context it is nobody's job.
    """

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> Job:
        """Make a job as `rq.job.Job` does."""
        job = super().create(*args, **kwargs)
        with guard.swallowing("rq job"):
            if META not in job.meta:
                carried = api.carrier()
                if carried:  # the caller may give one dict to many jobs: not into that
                    job.meta = {**job.meta, META: carried}
        return job


class MbuzzQueue(Queue):
    """A queue of such jobs; `job_class=MbuzzJob` makes one of any other queue."""

    job_class = MbuzzJob


class MbuzzWorkerMixin:
    """Makes a worker class run every job, with its callbacks, as who caused it.

    To be named before the worker class. A job of nobody runs as nobody. Where each job
    has a process of its own, this delivers its events before that process ends, within
    `flush_timeout` seconds.
    """

    flush_timeout = 2.0
    is_horse: bool

    def perform_job(self, job: Job, *args: Any, **kwargs: Any) -> bool:
        """Run *job* in its context."""
        carried = guard.attempt(lambda: job.meta.get(META), lambda _: None)
        try:
            with api.attach(carried):
                done: bool = super().perform_job(  # type: ignore[misc]
                    job, *args, **kwargs
                )
                return done
        finally:
            if self.is_horse:  # it ends without exit handlers
                api.close(self.flush_timeout)


class MbuzzWorker(MbuzzWorkerMixin, Worker):
    """RQ's worker: ``rq worker --worker-class mbuzz.contrib.rq.MbuzzWorker``."""


class MbuzzSimpleWorker(MbuzzWorkerMixin, SimpleWorker):
    """RQ's worker that runs its jobs in its own process."""
