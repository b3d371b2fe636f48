"""Forks: the child has its own delivery, the parent keeps its own, nothing hangs."""

from __future__ import annotations

import os
import sys

import pytest

from tests.delivery import life

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no os.fork")

FORKED = (
    life.CONFIGURED
    + """
import faulthandler, traceback

def fork(work, leave=os._exit, watched=True):
    child = os.fork()
    if child == 0:
        if watched:  # says where it hangs; not to be inherited itself
            faulthandler.dump_traceback_later(40, exit=True)
        try:
            work()
            leave(0)
        except SystemExit:
            raise
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child

def joined(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""
)


@pytest.fixture
def run(tmp_path, server):
    started = life.runner(tmp_path, server)
    return lambda code, *arguments: started(code, *arguments, preamble=FORKED)


# -- os.fork --


@pytest.mark.parametrize("before", ["", 'track("First")'], ids=["unused", "pending"])
@pytest.mark.parametrize("call", ["flush", "close"])
def test_a_child_that_flushes_and_leaves_at_once(run, server, before, call):
    ended = run(f"""
        def work():
            track("Child")
            assert mbuzz.{call}(6)

        {before}
        assert joined(fork(work)) == 0
        track("Parent")
    """)

    assert ended.clean
    first = ["First"] if before else []
    assert life.once(server) == sorted([*first, "Child", "Parent"])


@pytest.mark.parametrize("sent", ["", "assert mbuzz.flush(6)"], ids=["pending", "sent"])
def test_a_child_that_ends_like_any_program(run, server, sent):
    ended = run(f"""
        track("First")
        {sent}
        child = fork(lambda: track("Child"), leave=sys.exit)
        assert joined(child) == 0
        track("Parent")
    """)

    assert ended.clean
    assert life.once(server) == ["Child", "First", "Parent"]


def test_pending_events_are_the_parents(run, server):
    ended = run("""
        def work():
            assert mbuzz.stats().accepted == mbuzz.stats().queued == 0
            assert mbuzz.flush(6)

        for i in range(10):
            track(f"pending_{i}")
        assert joined(fork(work)) == 0
        assert joined(fork(lambda: None, leave=sys.exit)) == 0
        assert joined(fork(lambda: track("Child"), leave=sys.exit)) == 0
        assert mbuzz.stats().queued == 10
        assert mbuzz.flush(6)
        print(mbuzz.stats().delivered)
    """)

    assert ended.clean
    assert ended.out == "10\n"
    assert life.once(server) == ["Child", *(f"pending_{i}" for i in range(10))]


def test_a_child_of_a_child(run, server):
    ended = run("""
        def grandchild():
            track("Grandchild")

        def child():
            track("Child")
            assert joined(fork(grandchild, sys.exit, False)) == 0
            track("Child again")

        track("Parent")
        assert joined(fork(child, sys.exit, False)) == 0
    """)

    assert ended.clean
    assert life.once(server) == ["Child", "Child again", "Grandchild", "Parent"]


def test_children_at_the_same_time(run, server):
    ended = run("""
        track("Parent")
        children = [
            fork(lambda: track(f"child_{i}"), leave=sys.exit) for i in range(5)
        ]
        assert [joined(child) for child in children] == [0] * 5
    """)

    assert ended.clean
    assert life.once(server) == ["Parent", *(f"child_{i}" for i in range(5))]


def test_a_fork_of_a_thread(run, server):
    ended = run("""
        def work():
            track("Child")
            assert mbuzz.flush(6)

        track("Parent")
        codes = []
        thread = threading.Thread(target=lambda: codes.append(joined(fork(work))))
        thread.start()
        thread.join()
        assert codes == [0]
    """)

    assert ended.clean
    assert life.once(server) == ["Child", "Parent"]


def test_a_fork_that_goes_on_as_the_child_only(run, server):
    """As programs do that send themselves to the background."""
    ended = run("""
        track("Before")
        assert mbuzz.flush(6)
        if os.fork():
            os._exit(0)
        track("After")
    """)

    assert ended.clean
    assert life.once(server) == ["After", "Before"]


def test_a_fork_before_anything_was_configured(tmp_path, server):
    ended = life.runner(tmp_path, server)(
        """
        child = os.fork()
        mbuzz.configure(strict=True, **OPTIONS)
        track("Parent" if child else "Child")
        if child:
            assert os.waitpid(child, 0)[1] == 0
        """,
        preamble=life.PREAMBLE,
    )

    assert ended.clean
    assert life.once(server) == ["Child", "Parent"]


@pytest.mark.parametrize("interval", [60, 0.01], ids=["idle_worker", "busy_worker"])
def test_threads_that_track_while_forks_happen(tmp_path, server, interval):
    code = """
mbuzz.configure(strict=True, **OPTIONS | {"batch_interval": float(sys.argv[2])})
stop = threading.Event()
tracked = []

def busy(number):
    count = 0
    while not stop.wait(0.001):
        track(f"parent_{number}_{count}")
        count += 1
    tracked.append(count)

def work():
    track("child")
    assert mbuzz.flush(6)

threads = [threading.Thread(target=busy, args=(n,)) for n in range(4)]
for thread in threads:
    thread.start()
codes = [joined(fork(work)) for _ in range(40)]
stop.set()
for thread in threads:
    thread.join()
assert codes == [0] * 40, codes
assert mbuzz.flush(6)
stats = mbuzz.stats()
assert stats.accepted == stats.delivered == sum(tracked)
print(sum(tracked))
"""
    defined = FORKED.replace(life.CONFIGURED, life.PREAMBLE)
    run = life.runner(tmp_path, server)

    ended = run(code, interval, preamble=defined)

    assert ended.clean, ended.err
    names = life.once(server)
    assert names.count("child") == 40
    assert len(names) == int(ended.out) + 40


@pytest.mark.parametrize("module", ["mbuzz", ""], ids=["ours", "any"])
def test_a_fork_while_the_worker_imports_what_it_needs(run, server, module):
    """The lock of a module that a lost thread was importing is held for ever."""
    ended = run(
        """
        class Slow:
            def find_spec(self, name, path=None, target=None):
                if threading.current_thread() is not main and name.startswith(slow):
                    importing.set()
                    forked.wait(10)

        def work():
            track("Child")
            assert mbuzz.flush(6)

        main, slow = threading.main_thread(), sys.argv[2]
        importing, forked = threading.Event(), threading.Event()
        sys.meta_path.insert(0, Slow())
        track("Parent")
        flushing = threading.Thread(target=mbuzz.flush, args=(10,))
        flushing.start()
        importing.wait(1)  # or never, if it has what it needs
        child = fork(work)
        forked.set()
        flushing.join()
        assert joined(child) == 0
        """,
        module,
    )

    assert ended.clean, ended.err
    assert life.once(server) == ["Child", "Parent"]


def test_a_fork_while_the_worker_waits_for_an_answer(tmp_path, server):
    server.mode = "hang"
    code = """
        def work():
            track("Child")
            print("forked", flush=True)
            assert mbuzz.flush(6)

        track("Parent")
        mbuzz.flush(0.01)
        sys.stdin.readline()
        child = fork(work)
        assert joined(child) == 0
        assert mbuzz.flush(10)
    """
    with life.started(tmp_path, code, server.url, preamble=FORKED) as running:
        assert server.wait_for(lambda: server.requests)
        running.say()
        assert running.heard() == "forked"
        server.mode = "ok"
        ended = running.end()

    assert ended.clean, ended.err
    assert life.once(server) == ["Child", "Parent"]


def test_children_end_in_time_while_the_endpoint_hangs(run, server):
    server.mode = "hang"

    ended = run("""
        track("Parent")
        mbuzz.flush(0.01)
        wait_until(lambda: mbuzz.stats().in_flight == 1)
        started = time.monotonic()
        child = fork(lambda: track("Child"), leave=sys.exit)
        assert joined(child) == 0
        print(time.monotonic() - started, flush=True)
        now()
    """)

    assert ended.code == 0
    assert "Traceback" not in ended.err
    assert float(ended.out.split()[0]) < life.EXIT + life.SLACK
    assert ended.since < life.EXIT + life.SLACK


def test_a_child_inherits_no_file_of_ours_across_exec(run, server):
    ended = run("""
        import subprocess
        track("Parent")
        assert mbuzz.flush(6)
        done = subprocess.run(
            [sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd'))"],
            close_fds=False, capture_output=True, text=True, check=True,
        )
        inherited = [int(name) for name in eval(done.stdout)]
        assert set(inherited) <= {0, 1, 2, 3}, inherited  # 3 is the listing itself
    """)

    assert ended.clean, ended.err


def test_a_child_does_nothing_until_it_tracks(run, server):
    ended = run("""
        import logging

        class Loud(logging.Handler):
            def emit(self, record):
                print(record.getMessage(), flush=True)

        def work():
            assert threading.active_count() == 1
            assert mbuzz.stats().accepted == 0
            assert threading.active_count() == 1

        logging.getLogger("mbuzz").setLevel(logging.DEBUG)
        track("Parent")
        assert mbuzz.flush(6)
        logging.getLogger("mbuzz").addHandler(Loud())
        assert joined(fork(work)) == 0
        logging.getLogger("mbuzz").handlers.clear()
    """)

    assert ended.clean
    assert ended.out == ""
    assert server.connections == 1
    assert life.once(server) == ["Parent"]


# -- forks that Python does not hear of, as uWSGI makes them --

UNHEARD = """
import ctypes

def steps():
    frames = sys._current_frames().items()
    return {thread: (id(frame), frame.f_lasti) for thread, frame in frames}

def unheard():  # a thread that waited for the interpreter would be lost to it for ever
    seen = [None] * 10
    def still():
        seen[:] = [*seen[1:], steps()]
        others = [{**now, threading.get_ident(): 0} for now in seen if now]
        return len(others) == 10 and others.count(others[0]) == 10
    wait_until(still)
    return libc.fork()

libc = ctypes.PyDLL(None)  # keeps the lock of the interpreter, runs no hook
os.fork = unheard
"""
NO_THREADS = """
def refuse(thread):
    raise RuntimeError("can't start new thread")

os_fork = os.fork
def fork_without_threads():
    child = os_fork()
    if child == 0:
        threading.Thread.start = refuse
    return child
os.fork = fork_without_threads
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="calls the C library")
@pytest.mark.parametrize("threads", ["", NO_THREADS], ids=["threads", "no_threads"])
@pytest.mark.parametrize(
    ("work", "leave"),
    [
        ('track("Child"); assert mbuzz.flush(6)', "os._exit"),
        ('track("Child"); assert mbuzz.close(6)', "os._exit"),
        ('track("Child")', "sys.exit"),
    ],
    ids=["flush", "close", "exit"],
)
@pytest.mark.parametrize("before", ["pending", "sent"])
def test_a_fork_without_hooks(tmp_path, server, threads, work, leave, before):
    work = work.replace("; ", "\n    ")
    code = f"""
{UNHEARD}
{threads}

def work():
    assert mbuzz.stats().accepted == 0
    {work}

track("Parent")
if {before == "sent"}:
    assert mbuzz.flush(6)
assert joined(fork(work, leave={leave})) == 0
track("Parent again")
"""
    ended = life.runner(tmp_path, server)(code, preamble=FORKED)

    assert ended.clean, ended.err
    assert life.once(server) == ["Child", "Parent", "Parent again"]


@pytest.mark.parametrize("mode", ["ok", "hang"])
def test_without_threads_a_call_waits_for_nobody(tmp_path, server, mode):
    """Where no thread can start, somebody has to send, but not for seconds."""
    server.mode = mode
    code = f"""
{NO_THREADS}

def work():
    started = time.monotonic()
    for i in range(20):
        track(f"child_{{i:02}}")
    print(time.monotonic() - started, flush=True)

track("Parent")
mbuzz.flush(0.2)
assert joined(fork(work, leave=sys.exit)) == 0
print(time.monotonic(), flush=True)
"""
    ended = life.runner(tmp_path, server)(code, preamble=FORKED)

    assert ended.code == 0
    assert "Traceback" not in ended.err
    assert float(ended.out.split()[0]) < 1.0
    if mode == "ok":
        expected = ["Parent", *(f"child_{i:02}" for i in range(20))]
        assert life.once(server) == expected


# -- multiprocessing --

POOLS = {
    "process": """
children = [context.Process(target=job, args=(i,)) for i in range(3)]
for child in children:
    child.start()
for child in children:
    child.join()
assert [child.exitcode for child in children] == [0] * 3
""",
    "pool": """
pool = context.Pool(2)
pool.map(job, range(3), chunksize=1)
pool.close()
pool.join()
""",
    "executor": """
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(2, mp_context=context) as pool:
    list(pool.map(job, range(3)))
""",
}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("pool", POOLS)
def test_children_of_multiprocessing_deliver_at_their_end(run, server, method, pool):
    main = POOLS[pool].strip().replace("\n", "\n    ")
    ended = run(f"""
def job(number):
    track(f"child_{{number}}")

if __name__ == "__main__":
    import multiprocessing
    context = multiprocessing.get_context({method!r})
    track("Parent")
    {main}
    track("Parent again")
""")

    assert ended.clean, ended.err
    children = [f"child_{i}" for i in range(3)]
    assert life.once(server) == ["Parent", "Parent again", *children]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_that_is_terminated_delivers_what_was_flushed(run, server, method):
    ended = run(f"""
def job(number):
    track(f"child_{{number}}")
    return mbuzz.flush(6)

if __name__ == "__main__":
    import multiprocessing
    track("Parent")
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        assert pool.map(job, range(3), chunksize=1) == [True] * 3
""")

    assert ended.clean, ended.err
    assert life.once(server) == ["Parent", *(f"child_{i}" for i in range(3))]


def test_a_child_that_hangs_up_its_pipe_late_is_not_killed_by_us(run, server):
    """What multiprocessing does at the end of a child is done all the same."""
    ended = run("""
import multiprocessing

def job(queue):
    track("Child")
    queue.put("said")

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=job, args=(queue,))
    child.start()
    print(queue.get(timeout=10))
    child.join()
    sys.exit(child.exitcode)
""")

    assert ended.clean, ended.err
    assert ended.out == "said\n"
    assert life.once(server) == ["Child"]
