"""Trouble with the database's disk: said clearly, and over when the trouble is."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from mbuzz.server.storage import maintenance
from mbuzz.server.storage.sqlite import SqliteStorage
from tests.crash.power import preloaded, why_not
from tests.processes import unmeasured, wait_for

resource = pytest.importorskip("resource", reason="limits of processes are for POSIX")

UNLIMITED = resource.RLIM_INFINITY


class FileLimit:
    """Files cannot grow: EFBIG."""

    def __init__(self, backend, folder):
        if not hasattr(resource, "prlimit"):
            pytest.skip("limits of other processes are for Linux")
        self._backend = backend
        self.environment = {}

    def _limit(self, size):
        resource.prlimit(self._backend.pid, resource.RLIMIT_FSIZE, (size, UNLIMITED))

    def begin(self):
        self._limit(4_096)

    def end(self):
        self._limit(UNLIMITED)


class FullDisk:
    """Files cannot grow: ENOSPC."""

    def __init__(self, backend, folder):
        if why_not() is not None:
            pytest.skip(why_not())
        self._full = folder / "full"
        self.environment = preloaded(folder, backend.database, full=self._full)

    def begin(self):
        self._full.touch()

    def end(self):
        self._full.unlink()


@pytest.mark.parametrize("trouble", [FileLimit, FullDisk])
def test_full_disk_is_said_and_nothing_is_lost(shop, tmp_path, trouble):
    disk = trouble(shop.backend, tmp_path)
    shop.backend.start(**disk.environment)
    assert shop.page().status == 202

    disk.begin()
    refused = wait_for(lambda: refusal(shop), "an answer without room")
    health = shop.health()
    disk.end()

    assert refused.headers["Retry-After"]
    assert refused.json["error"].startswith("the database cannot be written: ")
    assert (health.status, health.json["status"]) == (503, "failing")
    assert "cannot be written" in health.json["database"]
    assert shop.health().json["status"] == "ok"  # without any event sent
    assert shop.page().status == 202
    assert shop.backend.stop() == 0
    assert_has_all(shop)


def refusal(shop):
    answer = shop.page(size=8_000)
    assert answer.status in (202, 503)
    return answer if answer.status == 503 else None


def assert_has_all(shop):
    path = str(shop.backend.database)
    assert maintenance.check(path).problems == []
    with closing(sqlite3.connect(path)) as database:
        names = [name for (name,) in database.execute("SELECT event_id FROM events")]
    assert sorted(names) == sorted(shop.accepted)
    assert "Traceback" not in shop.backend.output


def test_lock_of_another_program_is_said_and_waited_for(shop):
    shop.backend.start()
    assert shop.page().status == 202

    with closing(sqlite3.connect(shop.backend.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = shop.page()
        report = shop.ask("GET", "/reports/channels")
        other.execute("ROLLBACK")

    assert refused.status == 503
    assert refused.headers["Retry-After"]
    assert refused.json["error"].startswith("the database cannot be written: ")
    assert report.status == 200  # readers need not wait
    assert shop.page().status == 202
    assert shop.health().json["status"] == "ok"
    assert shop.backend.stop() == 0
    assert_has_all(shop)


@pytest.fixture
def public_folder():
    """Return a folder that every user reaches."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path
        path.chmod(0o755)


def as_nobody(*argv):
    """Run `mbuzz` without any rights; return exit code and what it said."""
    options = {}
    if os.geteuid() == 0:
        options = {"user": 65_534, "group": 65_534, "extra_groups": []}
    command = [sys.executable, "-m", "mbuzz", *map(str, argv)]
    env = unmeasured(HOME="/", PYTHONDONTWRITEBYTECODE="1")
    try:
        probe = subprocess.run(
            [sys.executable, "-c", "import mbuzz.server.app"],
            env=env,
            cwd="/",
            capture_output=True,
            check=False,
            timeout=60,
            **options,
        )
    except OSError:
        probe = None
    if probe is None or probe.returncode:
        pytest.skip("nobody may not read this code")
    done = subprocess.run(
        command,
        env=env,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("what", ["file", "folder"])
def test_start_on_what_cannot_be_written_is_one_sentence(public_folder, what):
    database = public_folder / "mbuzz.db"
    if what == "file":
        SqliteStorage(str(database)).close()
        database.chmod(0o444)
    public_folder.chmod(0o555)

    exit_code, _, said = as_nobody("serve", "--port=0", f"--database={database}")

    assert exit_code == 1
    assert said.startswith(f"mbuzz serve: cannot use the database {database}: ")
    assert said.count("\n") == 1


def test_checking_what_cannot_be_written_is_one_sentence(public_folder):
    database = public_folder / "mbuzz.db"
    SqliteStorage(str(database)).close()
    database.chmod(0o444)

    exit_code, out, said = as_nobody("db", "check", f"--database={database}")

    assert (exit_code, out) == (1, "")
    assert said.startswith(f"mbuzz db: cannot read the database {database}: ")
    assert said.endswith("; run this as the user who may write it\n")
    assert said.count("\n") == 1
