"""The command line: in this process where possible, else as a user runs it."""

import queue
import subprocess
import sys
import threading

import pytest

from mbuzz.cli.main import main
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.server import bootstrap
from mbuzz.server.storage.sqlite import SqliteStorage
from tests.processes import PATIENCE, environment
from tests.server.dashboard.client import CHEAP


class Command:
    """A running `mbuzz` whose output can be waited for."""

    def __init__(self, argv, cwd, piped=None, **env):
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "mbuzz", *map(str, argv)],
            cwd=cwd,
            env=environment(**env),
            stdin=subprocess.DEVNULL if piped is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if piped is not None:  # a line or two, which any pipe takes
            with self._process.stdin:
                self._process.stdin.write(piped)
        self.out = ""
        self.err = ""
        self._lines = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read, args=(name,)) for name in ("out", "err")
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name):
        for line in getattr(self._process, f"std{name}"):
            setattr(self, name, getattr(self, name) + line)
            self._lines.put(line)
        self._lines.put("")

    def wait_for(self, text):
        """Return the first line from now on that has *text* in it."""
        ended = 0
        while ended < 2:
            line = self._lines.get(timeout=PATIENCE)
            if text in line:
                return line
            ended += not line
        raise AssertionError(f"{text!r} never came:\n{self.out}\n{self.err}")

    def send(self, number):
        self._process.send_signal(number)

    def end(self):
        """Return the exit code once the command has ended."""
        exit_code = self._process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        self._process.stdout.close()
        self._process.stderr.close()
        return exit_code

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
            self.end()


@pytest.fixture
def start(tmp_path):
    """Start `mbuzz` in a process of its own; it ends with the test.

    It has no standard input, unless there is something *piped* into it.
    """
    started = []

    def begin(*argv, piped=None, **env):
        command = Command(argv, tmp_path, piped, **env)
        started.append(command)
        return command

    yield begin
    for command in started:
        command.kill()


@pytest.fixture
def run(start):
    """Run `mbuzz` in a process of its own to its end."""

    def finish(*argv, piped=None, **env):
        command = start(*argv, piped=piped, **env)
        return command.end(), command.out, command.err

    return finish


@pytest.fixture
def database(tmp_path):
    """Make the database of a backend that was started once."""
    path = tmp_path / "mbuzz.db"
    storage = SqliteStorage(str(path))
    bootstrap.prepare(storage, SYSTEM_CLOCK, password_cost=CHEAP)
    storage.close()
    return path


@pytest.fixture(name="mbuzz")
def in_process(capsys):
    """Run `mbuzz` in this process and return exit code, output and errors."""

    def call(*argv):
        try:
            exit_code = main([str(argument) for argument in argv])
        except SystemExit as ended:  # argparse, for --help and wrong usage
            exit_code = ended.code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return exit_code, said.out, said.err

    return call
