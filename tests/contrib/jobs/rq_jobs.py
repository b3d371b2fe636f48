"""Jobs for RQ that tell what they know of who caused them."""

from redis import Redis
from rq import Retry, get_current_job

import mbuzz
from mbuzz.contrib.rq import MbuzzQueue
from tests.contrib.jobs.people import known


def work(n=0):
    mbuzz.track("Worked", properties={"n": n})
    return n


def who():
    return known()


async def work_async(n):
    return work(n)


def fail():
    mbuzz.track("Failed")
    raise ValueError("of the host")


def ask_for_a_retry():
    mbuzz.track("Tried")
    return Retry(max=2)


def send_on(n):
    job = get_current_job()
    return MbuzzQueue(job.origin, connection=job.connection).enqueue(work, n).id


def log_in(user_id):
    mbuzz.identify(user_id)


def keep(note):
    """Change the job's own meta, as progress bars do."""
    job = get_current_job()
    job.meta["note"] = note
    job.save_meta()


def spin():
    mbuzz.track("Spun")
    while True:
        pass


def succeeded(job, connection: Redis, result):
    mbuzz.track("Succeeded", properties={"user": mbuzz.user_id()})


def failed(job, connection: Redis, kind, error, trace):
    mbuzz.track("Gave Up", properties={"error": kind.__name__})
