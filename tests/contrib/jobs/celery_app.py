"""A Celery app whose tasks tell what they know of who caused them.

``celery -A tests.contrib.jobs.celery_app worker`` serves it from JOBS_REDIS, a socket.
"""

import functools
import os

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

import mbuzz
from mbuzz.contrib.celery import install
from tests.contrib.jobs.people import known

install()


def make_app(broker="memory://", backend="cache+memory://", **config):
    """Return an app with all the tasks."""
    app = Celery("jobs", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(
        broker_connection_retry_on_startup=True,
        result_backend_always_retry=False,
        task_publish_retry=False,
        worker_hijack_root_logger=False,
        **{"broker_transport_options": {"polling_interval": 0.01}, **config},
    )
    task = functools.partial(app.task, shared=False)  # with the other apps of a test

    @task(name="work")
    def work(*_results, n=0):
        mbuzz.track("Worked", properties={"n": n})
        return n

    @task(name="who")
    def who(*_results):
        return known()

    @task(name="log_in")
    def log_in(*_results, user_id):
        mbuzz.identify(user_id)

    @task(name="fail")
    def fail(*_results):
        mbuzz.track("Failed")
        raise ValueError("of the host")

    @task(name="leave")
    def leave():
        mbuzz.track("Left")
        raise SystemExit(3)

    @task(name="retry", bind=True, max_retries=2)
    def retry(self):
        mbuzz.track("Tried", properties={"attempt": self.request.retries})
        if self.request.retries < 2:
            raise self.retry(countdown=0)

    @task(name="send_on")
    def send_on(n):
        return work.delay(n=n).id

    @task(name="spin", soft_time_limit=1)
    def spin():
        mbuzz.track("Spun")
        try:
            while True:
                pass
        except SoftTimeLimitExceeded:
            mbuzz.track("Woken")
            raise

    return app


def in_redis(socket):
    """Return an app that meets others in the Redis behind *socket*."""
    return make_app(
        broker=f"redis+socket://{socket}",
        backend=f"redis+socket://{socket}",
        broker_transport_options={"polling_interval": 0.05},
        worker_enable_remote_control=False,
    )


if "JOBS_REDIS" in os.environ:
    app = in_redis(os.environ["JOBS_REDIS"])
