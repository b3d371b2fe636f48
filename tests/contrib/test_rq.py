"""RQ: jobs run as who caused them, against a real Redis and real workers."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from rq import Callback, Queue, Repeat, Retry
from rq.scheduler import RQScheduler

import mbuzz
from mbuzz.context import current
from mbuzz.contrib.rq import MbuzzJob, MbuzzQueue, MbuzzSimpleWorker
from tests.contrib.jobs import rq_jobs as jobs
from tests.contrib.jobs.people import ME, VISITOR, check_work_of, me, somebody, visitor
from tests.processes import ROOT, unmeasured


@pytest.fixture
def queue(redis):
    return MbuzzQueue(connection=redis)


@pytest.fixture
def work_off(queue, events):
    """Return a function that does what is queued, in this process."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, 15)}

    def work():
        MbuzzSimpleWorker([queue], connection=queue.connection).work(
            burst=True, logging_level="ERROR"
        )

    yield work
    for number, handler in kept.items():
        signal.signal(number, handler)


# -- a worker in this process --


def test_job_runs_as_visitor_session_user_and_flow_of_who_caused_it(
    queue, work_off, events
):
    with me():
        job = queue.enqueue(jobs.who)
        queue.enqueue(jobs.work, 1)
        queue.enqueue(jobs.work_async, 2)
    work_off()

    assert job.return_value() == ME
    assert [event["properties"]["n"] for event in events.tracked("Worked")] == [1, 2]
    for event in events:
        assert (event["visitor_id"], event["user_id"]) == (VISITOR, "42")
        assert event["correlation"]["flow_id"] == "flow-1"


def test_job_that_nobody_caused_is_nobodys_and_carries_nothing(queue, work_off):
    job = queue.enqueue(jobs.who)

    with me():  # whoever runs the worker is not in it
        work_off()
        assert mbuzz.visitor_id() == VISITOR

    assert job.return_value() == {}
    assert queue.fetch_job(job.id).meta == {}


def test_job_leaves_nothing_to_what_comes_after_it(queue, work_off):
    with me():
        queue.enqueue(jobs.work)
        queue.enqueue(jobs.fail)
    job = queue.enqueue(jobs.who)
    work_off()

    assert job.return_value() == {}
    assert current() is None


def test_fifty_visitors_jobs_are_each_their_own(queue, work_off, events):
    for number in range(50):
        with mbuzz.context_scope(visitor_id=visitor(number), user_id=number):
            queue.enqueue(jobs.work, number)
    work_off()

    found = {e["properties"]["n"]: e["visitor_id"] for e in events.tracked("Worked")}
    assert found == {number: visitor(number) for number in range(50)}


def test_every_attempt_of_a_retried_job_is_who_caused_it(queue, work_off, events):
    with me():
        queue.enqueue(jobs.fail, retry=Retry(max=2))
        queue.enqueue(jobs.ask_for_a_retry)
        queue.enqueue(jobs.work, repeat=Repeat(times=1, interval=0))
    work_off()

    counts = {"Failed": 3, "Tried": 3, "Worked": 2}
    assert {name: len(events.tracked(name)) for name in counts} == counts
    assert {event["visitor_id"] for event in events} == {VISITOR}


def test_scheduled_job_is_who_scheduled_it(redis, queue, work_off):
    with me():
        job = queue.enqueue_at(datetime.now(UTC) - timedelta(seconds=1), jobs.who)
        other = queue.enqueue_in(timedelta(hours=1), jobs.who)
    scheduler = RQScheduler([queue], connection=redis)
    scheduler.acquire_locks()
    scheduler.enqueue_scheduled_jobs()
    scheduler.release_locks()
    work_off()

    assert job.return_value() == ME
    assert other.return_value() is None


def test_job_that_queues_a_job_hands_its_visitor_on(queue, work_off, events):
    with me():
        queue.enqueue(jobs.send_on, 7)
    work_off()

    event = events.assert_tracked("Worked", properties={"n": 7})
    assert (event["visitor_id"], event["user_id"]) == (VISITOR, "42")


def test_many_jobs_at_once_and_dependents_are_who_caused_them(queue, work_off):
    with me():
        many = queue.enqueue_many([Queue.prepare_data(jobs.who) for _ in range(3)])
        last = queue.enqueue(jobs.who, depends_on=many)
    work_off()

    assert [job.return_value() for job in [*many, last]] == [ME] * 4


def test_callbacks_are_who_caused_the_job(queue, work_off, events):
    with mbuzz.context_scope(visitor_id=VISITOR):
        queue.enqueue(jobs.log_in, "7", on_success=Callback(jobs.succeeded))
        queue.enqueue(jobs.fail, on_failure=Callback(jobs.failed))
    work_off()

    events.assert_tracked("Succeeded", visitor_id=VISITOR, properties={"user": "7"})
    events.assert_tracked(
        "Gave Up", visitor_id=VISITOR, properties={"error": "ValueError"}
    )


def test_meta_of_the_host_is_kept(queue, work_off):
    meta = {"tenant": 5}
    made = []
    for number in (1, 2):
        with mbuzz.context_scope(visitor_id=visitor(number)):
            made.append(queue.enqueue(jobs.keep, "half", meta=meta))
    work_off()

    assert meta == {"tenant": 5}  # one for many jobs
    assert [job.get_meta() for job in made] == [
        {"tenant": 5, "note": "half", "mbuzz": {"visitor_id": visitor(number)}}
        for number in (1, 2)
    ]


def test_what_the_host_puts_into_meta_itself_is_not_replaced(queue, work_off):
    with me():
        theirs = queue.enqueue(jobs.who, meta={"mbuzz": {"user_id": "7"}})
        nobodys = queue.enqueue(jobs.who, meta={"mbuzz": None})
    work_off()

    assert (theirs.return_value(), nobodys.return_value()) == ({"user_id": "7"}, {})


@pytest.mark.parametrize(
    "found",
    ["text", 7, ["visitor_id"], {"visitor_id": 7.5}, {1: 2}],
    ids=["text", "number", "list", "float", "odd_name"],
)
def test_meta_of_a_stranger_costs_nothing(queue, work_off, caplog, found):
    job = queue.enqueue(jobs.who, meta={"mbuzz": found})
    work_off()

    assert job.return_value() == {}
    assert not [r for r in caplog.records if r.name.startswith("mbuzz")]


@pytest.mark.parametrize("serializer", ["rq.serializers.JSONSerializer", None])
def test_job_class_serves_any_queue_and_serializer(redis, events, serializer):
    given = {"connection": redis, "serializer": serializer}
    queue = Queue(job_class=MbuzzJob, **given)

    with me():
        job = queue.enqueue(jobs.who)

    assert queue.fetch_job(job.id).meta == {"mbuzz": ME}


def test_queue_that_does_its_jobs_at_once_leaves_the_request_as_it_was(redis, events):
    queue = MbuzzQueue(connection=redis, is_async=False)

    with me():
        around = current()
        job = queue.enqueue(jobs.who)
        queue.enqueue(jobs.fail)
        assert current() is around

    assert job.return_value() == ME
    events.assert_tracked("Failed", visitor_id=VISITOR)


# -- workers in processes of their own --


@pytest.fixture
def rq_worker(redis_socket, sink, tmp_path):
    """Return a function that runs ``rq worker`` until the queue is empty."""

    def run(worker_class):
        env = unmeasured(
            MBUZZ_API_KEY="sk_test_" + "k" * 32,
            MBUZZ_API_URL=sink.url,
            MBUZZ_NETWORK="on",
            MBUZZ_BATCH_INTERVAL="60",  # so that only the end delivers
        )
        command = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--quiet"]
        command += ["--url", f"unix://{redis_socket}", "--worker-class", worker_class]
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr

    return run


@pytest.mark.skipif(sys.platform == "win32", reason="RQ forks")
@pytest.mark.parametrize("kind", ["MbuzzWorker", "MbuzzSimpleWorker"])
def test_events_of_a_real_worker_arrive_each_with_its_visitor(
    queue, rq_worker, sink, kind
):
    for number in range(10):
        with somebody(number):
            queue.enqueue(jobs.work, number)
    with me():
        queue.enqueue(jobs.fail, on_failure=Callback(jobs.failed))
        queue.enqueue(jobs.spin, job_timeout=1)
    after = queue.enqueue(jobs.who)

    rq_worker(f"mbuzz.contrib.rq.{kind}")

    check_work_of(10, sink.events)
    rest = [e for e in sink.events if e["event_type"] != "Worked"]
    assert sorted(e["event_type"] for e in rest) == ["Failed", "Gave Up", "Spun"]
    assert {e["visitor_id"] for e in rest} == {VISITOR}
    assert after.return_value() == {}


@pytest.mark.skipif(sys.platform == "win32", reason="RQ forks")
def test_backend_that_is_down_delays_a_job_no_longer_than_the_timeout(
    queue, rq_worker, sink
):
    sink.mode = "hang"
    with me():
        job = queue.enqueue(jobs.work)

    rq_worker("mbuzz.contrib.rq.MbuzzWorker")

    ended = datetime.now(UTC)
    assert job.get_status() == "finished"
    job.refresh()
    assert ended - job.ended_at < timedelta(seconds=2 + 5)  # the worker's own end
