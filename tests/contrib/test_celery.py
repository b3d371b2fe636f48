"""Celery: tasks run as who sent them, in workers of every kind."""

from __future__ import annotations

import logging
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from celery import chain, chord, group, signals
from celery.contrib.testing.worker import start_worker

import mbuzz
from mbuzz.context import current
from mbuzz.contrib.celery import install
from mbuzz.contrib.wsgi import MbuzzMiddleware
from tests.contrib.calls import Case, call_wsgi
from tests.contrib.jobs.celery_app import in_redis, make_app
from tests.contrib.jobs.people import ME, VISITOR, check_work_of, me, somebody, visitor
from tests.processes import PATIENCE, ROOT, process, unmeasured, wait_for
from tests.web.visits import RETURNING, SESSION


def get(result):
    return result.get(timeout=PATIENCE, interval=0.02)


@pytest.fixture(scope="module")
def app():
    return make_app()


@pytest.fixture(scope="module")
def worker(app):
    """Serve the app's tasks in one thread of this process."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    with start_worker(app, perform_ping_check=False, shutdown_timeout=PATIENCE):
        yield
    root.setLevel(before[0])  # it has set the logging of the process up as its own
    root.handlers[:] = before[1]


@pytest.fixture
def run(app, worker, events):
    """Return a function that sends a task to the worker, and its tasks."""
    return lambda name, *args, **kwargs: app.tasks[name].apply_async(args, kwargs)


def sig(app, name, **kwargs):
    return app.tasks[name].s(**kwargs)


# -- one worker in this process --


def test_task_runs_as_visitor_session_user_and_flow_of_who_sent_it(run, events):
    with me():
        assert get(run("who")) == ME
        get(run("work", n=1))

    event = events.assert_tracked("Worked", visitor_id=VISITOR, user_id="42")
    assert event["session_id"] == ME["session_id"]
    assert event["correlation"]["request_id"] == "request-1"
    assert event["correlation"]["flow_id"] == "flow-1"


def test_task_of_a_web_request_is_its_visitors(app, worker, events):
    sent = []

    def view(environ, start_response):
        sent.append(app.tasks["who"].delay())
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"hello"]

    case = Case(method="POST", path="/buy", cookie=f"{RETURNING}; secret=1")
    call_wsgi(MbuzzMiddleware(view), case)

    found = get(sent[0])
    assert (found["visitor_id"], found["session_id"]) == (VISITOR, SESSION)


def test_message_carries_the_context_and_nothing_else(app):
    sent = []

    def spy(headers, **_):
        sent.append(headers.get("mbuzz", "nothing"))

    signals.before_task_publish.connect(spy, weak=False)
    try:
        app.tasks["work"].apply_async(queue="nobody_listens")
        with me():
            app.tasks["work"].apply_async(queue="nobody_listens")
    finally:
        signals.before_task_publish.disconnect(spy)

    assert sent == ["nothing", ME]


def test_task_that_nobody_sent_is_nobodys(run):
    assert get(run("who")) == {}


def test_a_task_leaves_nothing_to_what_comes_after_it(app, run):
    after = []

    def look(**_):
        after.append((mbuzz.visitor_id(), mbuzz.user_id(), current()))

    signals.task_postrun.connect(look, weak=False)  # after ours
    try:
        with me():
            for name in ("work", "fail", "retry"):
                run(name).get(timeout=PATIENCE, interval=0.02, propagate=False)
                assert get(run("work")) == 0
        with mbuzz.context_scope():
            assert get(run("who")) == {}
    finally:
        signals.task_postrun.disconnect(look)

    assert len(after) == 9
    assert set(after) == {(None, None, None)}


def test_every_attempt_of_a_retried_task_is_its_senders(run, events):
    with me():
        result = run("retry")
    get(result)

    tried = events.tracked("Tried")
    assert [event["properties"]["attempt"] for event in tried] == [0, 1, 2]
    assert {event["visitor_id"] for event in tried} == {VISITOR}
    assert {event["correlation"]["flow_id"] for event in tried} == {"flow-1"}


def test_task_that_sends_a_task_hands_its_visitor_on(app, run, events):
    with me():
        inner = get(run("send_on", 7))
    get(app.AsyncResult(inner))

    event = events.assert_tracked("Worked", properties={"n": 7})
    assert (event["visitor_id"], event["user_id"]) == (VISITOR, "42")


def test_fifty_visitors_tasks_are_each_their_own(app, run, events):
    def request(number):
        with mbuzz.context_scope(visitor_id=visitor(number), user_id=number):
            return run("work", n=number)

    with ThreadPoolExecutor(4) as pool:
        for result in list(pool.map(request, range(50))):
            get(result)

    found = {e["properties"]["n"]: e["visitor_id"] for e in events.tracked("Worked")}
    assert found == {number: visitor(number) for number in range(50)}


def test_chain_group_and_chord_are_the_senders_to_their_ends(app, worker, events):
    with me():
        chained = chain(
            sig(app, "work", n=1), sig(app, "work", n=2), sig(app, "who")
        ).delay()
        grouped = group(sig(app, "who") for _ in range(3)).delay()
        joined = chord([sig(app, "work", n=3), sig(app, "work", n=4)])(sig(app, "who"))

    assert get(chained) == ME
    assert get(grouped) == [ME] * 3
    assert get(joined) == ME
    assert {event["visitor_id"] for event in events} == {VISITOR}
    assert len(events.tracked("Worked")) == 4


def test_callbacks_of_success_and_failure_are_the_senders(app, run, events):
    tasks = app.tasks
    with me():
        tasks["work"].apply_async(link=sig(app, "work", n=1))
        tasks["fail"].apply_async(link_error=sig(app, "work", n=2))

    wait_for(lambda: len(events.tracked("Worked")) == 3, "callback")
    assert {event["visitor_id"] for event in events} == {VISITOR}


def test_user_who_logs_in_within_a_task_is_known_to_the_next(app, worker, events):
    with mbuzz.context_scope(visitor_id=VISITOR):
        result = chain(sig(app, "log_in", user_id="7"), sig(app, "who")).delay()
        assert get(result) == {"visitor_id": VISITOR, "user_id": "7"}

        assert mbuzz.user_id() is None


@pytest.mark.parametrize("protocol", [1, 2])
def test_both_protocols_carry_it(worker, events, protocol):
    sender = make_app(task_protocol=protocol)

    with me():
        result = sender.tasks["who"].apply_async(headers={"x-mine": "kept"})

    assert get(result) == ME


def test_header_of_the_sender_is_not_replaced(app, worker):
    other = {"visitor_id": "ef" * 32}

    with me():
        theirs = app.tasks["who"].apply_async(headers={"mbuzz": other})
        nobodys = app.tasks["who"].apply_async(headers={"mbuzz": None})

    assert (get(theirs), get(nobodys)) == (other, {})


@pytest.mark.parametrize(
    "header",
    ["text", 7, [], ["visitor_id"], {"visitor_id": 7.5}, {"visitor_id": {"a": "b"}}],
    ids=["text", "number", "empty", "list", "float", "nested"],
)
def test_header_of_a_stranger_costs_nothing(app, worker, caplog, header):
    with me():
        result = app.tasks["who"].apply_async(headers={"mbuzz": header})

    assert get(result) == {}
    assert not [r for r in caplog.records if r.name.startswith("mbuzz")]


def test_second_installation_changes_nothing(app, run, events):
    before = [
        len(signal.receivers)
        for signal in (signals.before_task_publish, signals.task_prerun)
    ]

    install()

    after = [
        len(signal.receivers)
        for signal in (signals.before_task_publish, signals.task_prerun)
    ]
    assert before == after


# -- eager mode: no worker at all --


def test_eager_task_is_the_requests_and_leaves_it_as_it_was(events):
    eager = make_app(task_always_eager=True)

    with me():
        around = current()
        assert eager.tasks["who"].delay().get() == ME
        assert eager.tasks["fail"].delay().failed()
        assert current() is around
        assert mbuzz.visitor_id() == VISITOR
    assert current() is None

    events.assert_tracked("Failed", visitor_id=VISITOR)


def test_eager_task_that_propagates_leaves_the_request_as_it_was(events):
    eager = make_app(task_always_eager=True, task_eager_propagates=True)

    with me():
        around = current()
        with pytest.raises(ValueError, match="of the host"):
            eager.tasks["fail"].delay()
        assert current() is around


def test_eager_task_that_is_retried_stays_the_requests(events):
    eager = make_app(task_always_eager=True)

    with me():
        around = current()
        eager.tasks["retry"].delay()
        assert current() is around

    assert len(events.tracked("Tried")) == 3
    assert {event["visitor_id"] for event in events} == {VISITOR}


def test_eager_tasks_within_tasks_are_the_requests(events):
    eager = make_app(task_always_eager=True)

    with me():
        eager.tasks["send_on"].delay(5)
        chain(sig(eager, "work", n=6), sig(eager, "work", n=7)).delay()
    eager.tasks["send_on"].delay(8)

    found = {
        e["properties"]["n"]: e.get("visitor_id") for e in events.tracked("Worked")
    }
    assert {n: found[n] for n in (5, 6, 7)} == dict.fromkeys((5, 6, 7), VISITOR)
    assert found.get(8) is None


def test_eager_task_obeys_a_header_as_a_sent_one_does(events):
    eager = make_app(task_always_eager=True)

    with me():
        found = eager.tasks["who"].apply_async(headers={"mbuzz": {"user_id": "7"}})

    assert found.get() == {"user_id": "7"}


# -- workers in processes of their own --

OF_POOL = {
    # Its processes end with the worker, but for the one whose task leaves.
    "prefork": ("--concurrency", "2"),
    "threads": ("--pool", "threads", "--concurrency", "4"),
}


# A process of a pool that ends waits up to 30 s until the main process has taken its
# results (billiard's `_ensure_messages_consumed`), which a process lost just before
# keeps it from doing, mbuzz or not.
_END = 30 + PATIENCE


@contextmanager
def serving(folder, socket, sink, *options):
    """Run ``celery worker`` until it is told to go, and went well."""
    env = unmeasured(
        JOBS_REDIS=str(socket),
        MBUZZ_API_KEY="sk_test_" + "k" * 32,
        MBUZZ_API_URL=sink.url,
        MBUZZ_NETWORK="on",
        MBUZZ_BATCH_INTERVAL="60",  # so that only the end delivers
    )
    del env["DJANGO_SETTINGS_MODULE"]  # Celery would serve that site
    command = (
        *("-m", "celery", "-A", "tests.contrib.jobs.celery_app"),
        *("worker", "--loglevel", "WARNING", "--without-gossip"),
        *("--without-mingle", "--without-heartbeat", *options),
    )
    with process(command, ROOT, env, folder / "worker.log", group=True) as running:
        yield
        running.send_signal(signal.SIGTERM)  # Celery's warm shutdown
        running.wait(_END)


@pytest.mark.skipif(sys.platform == "win32", reason="pools of POSIX")
@pytest.mark.parametrize("options", OF_POOL.values(), ids=OF_POOL)
def test_events_of_a_real_worker_arrive_each_with_its_visitor(
    tmp_path, redis, redis_socket, sink, options
):
    app = in_redis(redis_socket)
    has_processes = "threads" not in options

    with serving(tmp_path, redis_socket, sink, *options):
        results = []
        if has_processes:
            # Into its time limit, and first: no signal wakes those processes of a pool
            # that replace others on 3.13.0.
            with me():
                spun = app.tasks["spin"].delay()
            spun.get(timeout=PATIENCE, interval=0.02, propagate=False)
        for number in range(50):
            with somebody(number):
                results.append(app.tasks["work"].delay(n=number))
        with me():
            results += [app.tasks[name].delay() for name in ("fail", "retry")]
        for result in results:
            result.get(timeout=PATIENCE, interval=0.02, propagate=False)
        if has_processes:
            with me():  # alone: its process goes, and takes along what waits there
                app.tasks["leave"].delay()
        assert not has_processes or sink.wait_for(lambda: "Left" in sink.names)
        assert [get(app.tasks["who"].delay()) for _ in range(4)] == [{}] * 4

    check_work_of(50, sink.events)
    rest = [e for e in sink.events if e["event_type"] != "Worked"]
    names = ["Failed", "Tried", "Tried", "Tried"]
    names += ["Left", "Spun", "Woken"] if has_processes else []
    assert sorted(e["event_type"] for e in rest) == sorted(names)
    assert {e["visitor_id"] for e in rest} == {VISITOR}
