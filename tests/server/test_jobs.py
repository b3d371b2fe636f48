"""The backend's own work: when it is done, by whom, and what a failure costs."""

import threading

import pytest

from mbuzz.server.jobs import DAY_MS, Job, Scheduler
from mbuzz.server.storage.sqlite import SqliteStorage
from mbuzz.testing import ManualClock
from tests.processes import PATIENCE

MIDNIGHT = 1_790_000_000_000 // DAY_MS * DAY_MS
HOUR = 3_600  # seconds


@pytest.fixture
def storage(tmp_path):
    storage = SqliteStorage(str(tmp_path / "mbuzz.db"))
    yield storage
    storage.close()


@pytest.fixture
def clock():
    return ManualClock(MIDNIGHT + HOUR * 1000)


class Work:
    """A job of some steps, which remembers what was done."""

    def __init__(self, steps=1, error=None):
        self.steps = steps
        self.error = error
        self.done = []
        self.before_step = lambda number: None

    def __call__(self, storage, clock):
        for number in range(self.steps):
            self.before_step(number)
            if self.error is not None:
                raise self.error
            self.done.append(number)
            yield
        return f"{self.steps} steps"

    def job(self, name="work", **fields):
        return Job(name=name, about="works", work=self, **fields)


def went(outcomes):
    return [(outcome.name, outcome.status, outcome.said) for outcome in outcomes]


def test_nightly_job_is_done_once_a_day_at_its_hour(storage, clock):
    work = Work()
    jobs = Scheduler(storage, clock, [work.job(at_ms=3 * HOUR * 1000)])

    assert jobs.run_due() == []
    clock.advance(2 * HOUR)
    assert went(jobs.run_due()) == [("work", "ok", "1 steps")]
    assert jobs.run_due() == []
    clock.advance(23 * HOUR)
    assert jobs.run_due() == []
    clock.advance(HOUR)
    assert len(jobs.run_due()) == 1


def test_job_that_slept_over_its_hours_is_done_once(storage, clock):
    work = Work()
    jobs = Scheduler(storage, clock, [work.job()])
    jobs.run_due()

    clock.advance(10 * 24 * HOUR)

    assert len(jobs.run_due()) == 1
    assert jobs.run_due() == []


def test_job_is_due_when_there_is_something_to_do(storage, clock):
    work, pending = Work(), []
    jobs = Scheduler(storage, clock, [work.job(pending=lambda stores: bool(pending))])

    assert jobs.run_due() == []
    pending.append(1)

    assert len(jobs.run_due()) == 1


def test_what_is_known_of_a_job_outlives_the_process(storage, clock):
    job = Work().job()
    Scheduler(storage, clock, [job]).run("work")

    ((_, row),) = Scheduler(storage, clock, [job]).states()

    assert (row.status, row.said, row.finished_at_ms) == (
        "ok",
        "1 steps",
        clock.now_ms(),
    )


def test_two_processes_do_a_job_once(storage, clock):
    work = Work(steps=3)
    other = SqliteStorage(storage.path)
    second = Scheduler(other, clock, [work.job()])
    outcomes = []

    def meanwhile(number):
        if number == 1:
            outcomes.append(second.run("work"))
            outcomes.extend(second.run_due())

    work.before_step = meanwhile
    first = Scheduler(storage, clock, [work.job()]).run("work")
    other.close()

    assert went([first, *outcomes]) == [("work", "ok", "3 steps"), ("work", "busy", "")]
    assert work.done == [0, 1, 2]


def test_long_job_stays_with_the_process_that_is_at_it(storage, clock):
    work = Work(steps=30)
    second = Scheduler(storage, clock, [work.job()])
    outcomes = []

    def meanwhile(number):
        clock.advance(120)
        if number == 20:
            outcomes.append(second.run("work").status)

    work.before_step = meanwhile
    first = Scheduler(storage, clock, [work.job()]).run("work")

    assert (first.status, outcomes) == ("ok", ["busy"])


def test_job_of_a_process_that_died_is_taken_over(storage, clock):
    now = clock.now_ms()
    work = Work()
    jobs = Scheduler(storage, clock, [work.job()])
    jobs.states()
    storage.write(lambda s: s.jobs.claim_job("work", "dead", now, now + 600_000))

    assert jobs.run("work").status == "busy"
    clock.advance(601)

    assert jobs.run("work").status == "ok"


def test_process_that_slept_gives_a_job_up_that_another_has_taken(storage, clock):
    work = Work(steps=3)
    jobs = Scheduler(storage, clock, [work.job()])

    def meanwhile(number):
        if number == 1:
            clock.advance(3_600)
            now = clock.now_ms()
            storage.write(
                lambda s: s.jobs.claim_job("work", "other", now, now + 600_000)
            )

    work.before_step = meanwhile

    assert jobs.run("work").status == "busy"
    assert work.done == [0, 1]
    ((_, row),) = jobs.states()
    assert row.status == "running"  # the other's


def test_failed_job_is_tried_again_later_and_later(storage, clock, caplog):
    work = Work(error=LookupError("secret"))
    jobs = Scheduler(storage, clock, [work.job(pending=lambda stores: True)])

    assert went(jobs.run_due()) == [("work", "failed", "LookupError")]
    waits = []
    for _ in range(9):
        ((_, row),) = jobs.states()
        assert jobs.run_due() == []
        waits.append((row.due_ms - clock.now_ms()) // 1000)
        clock.advance(waits[-1])
        assert len(jobs.run_due()) == 1
    work.error = None
    clock.advance(HOUR)

    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert went(jobs.run_due()) == [("work", "ok", "1 steps")]
    assert "job failed (job=work, error=LookupError)" in caplog.text
    assert "secret" not in caplog.text


def test_failing_job_does_not_keep_others_from_their_work(storage, clock):
    bad, good = Work(error=LookupError()), Work()
    jobs = Scheduler(
        storage,
        clock,
        [
            bad.job("bad", pending=lambda stores: True),
            good.job("good", pending=lambda stores: True),
        ],
    )

    assert [outcome.status for outcome in jobs.run_due()] == ["failed", "ok"]


def test_clock_that_was_far_ahead_does_not_stop_the_jobs(storage, clock):
    work = Work()
    ahead = ManualClock(clock.now_ms() + 400 * DAY_MS)
    Scheduler(storage, ahead, [work.job()]).run("work")

    jobs = Scheduler(storage, clock, [work.job()])

    assert went(jobs.run_due()) == [("work", "ok", "1 steps")]
    assert jobs.run_due() == []


def test_stopped_job_is_due_at_the_next_start(storage, clock):
    work = Work(steps=5)
    jobs = Scheduler(storage, clock, [work.job()])
    work.before_step = lambda number: jobs.stop() if number == 2 else None

    assert jobs.run("work").status == "stopped"
    assert work.done == [0, 1, 2]
    assert jobs.run_due() == []  # nothing more is begun

    work.before_step = lambda number: None
    assert len(Scheduler(storage, clock, [work.job()]).run_due()) == 1


def test_thread_does_what_is_due_and_ends_when_told(storage, clock):
    done = threading.Event()
    work = Work(steps=2)
    work.before_step = lambda number: done.set() if number == 1 else None
    pending = [True]
    jobs = Scheduler(storage, clock, [work.job(pending=lambda stores: pending.pop())])

    jobs.start()
    assert done.wait(PATIENCE)
    jobs.stop()

    assert not [t for t in threading.enumerate() if t.name == "mbuzz-jobs"]


def test_waking_looks_at_once(storage, clock):
    pending, looked, done = [], threading.Event(), threading.Event()
    work = Work()
    work.before_step = lambda number: done.set()

    def is_pending(stores):
        looked.set()
        return bool(pending)

    jobs = Scheduler(storage, clock, [work.job(pending=is_pending)])
    jobs.start()
    assert looked.wait(PATIENCE)
    pending.append(1)
    jobs.wake()

    assert done.wait(PATIENCE)
    jobs.stop()


def test_unknown_job_is_a_key_error(storage, clock):
    with pytest.raises(KeyError):
        Scheduler(storage, clock, []).run("nothing")
