"""What the tests of every adapter share."""

import shutil
import subprocess
import threading

import pytest
from redis import Redis
from redis.exceptions import RedisError

import mbuzz
from mbuzz.testing import capture
from mbuzz.web.endpoints import Endpoints
from tests.delivery.fault_server import FaultServer
from tests.processes import PATIENCE, wait_for

pytest.register_assert_rewrite("tests.contrib.calls", "tests.contrib.jobs.people")

KEY = "sk_test_" + "0" * 32


@pytest.fixture
def events(request):
    """Capture what is tracked, with the options of the case if there is one."""
    callspec = getattr(request.node, "callspec", None)
    case = callspec.params.get("case") if callspec is not None else None
    options = getattr(case, "options", None)
    if options:
        mbuzz.configure(strict=True, api_key=KEY, **options)
    with capture() as captured:
        yield captured


@pytest.fixture
def answering(monkeypatch):
    """Return a list of the threads that endpoints have answered in."""
    threads, answer = [], Endpoints.answer

    def noted(*args):
        threads.append(threading.current_thread())
        return answer(*args)

    monkeypatch.setattr(Endpoints, "answer", noted)
    return threads


@pytest.fixture
def sink():
    """Serve as the backend that real servers and workers send to."""
    served = FaultServer()
    yield served
    served.close()


@pytest.fixture(scope="module")
def redis_socket(tmp_path_factory):
    """Serve Redis, and return the path of its socket."""
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("needs redis-server")
    folder = tmp_path_factory.mktemp("r")  # short: the path of a socket is
    path = folder / "s"
    command = [server, "--port", "0", "--unixsocket", str(path), "--save", ""]
    command += ["--appendonly", "no", "--dir", str(folder)]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield path
    finally:
        running.terminate()
        running.wait(PATIENCE)


@pytest.fixture
def redis(redis_socket):
    """Return a connection to it, with nothing in it."""

    def answers():
        try:
            return connection.ping()
        except RedisError:
            return False

    with Redis(unix_socket_path=str(redis_socket)) as connection:
        wait_for(answers, "redis-server")
        connection.flushall()
        yield connection
