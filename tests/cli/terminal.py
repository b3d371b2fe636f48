"""Commands on a terminal of their own, as at a person's desk."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import PATIENCE, environment

END_OF_INPUT = "\x04"  # Ctrl-D
CTRL_C = "\x03"

# Who asks for a password asks the terminal that the process belongs to, not its
# standard input; with a session of its own it belongs to none before it says so.
_BELONG = """
import fcntl, runpy, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("mbuzz", run_name="__main__", alter_sys=True)
"""


def on_terminal(
    folder: Path, *argv: object, typed: tuple[tuple[str, str], ...] = ()
) -> tuple[int, str]:
    """Run `mbuzz` on a new terminal; return its exit code and all that was shown.

    Of *typed* each has what is shown first, and what somebody types then: sooner, it
    would be thrown away as typed ahead of the question.
    """
    pty = pytest.importorskip("pty", reason="terminals of POSIX")
    ours, theirs = pty.openpty()
    try:
        running = subprocess.Popen(
            [sys.executable, "-c", _BELONG, *map(str, argv)],
            cwd=folder,
            env=environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
    finally:
        os.close(theirs)
    shown = ""
    try:
        for question, keys in typed:
            seen = len(shown)
            while question not in shown[seen:]:
                more = _more(ours)
                assert more, f"{question!r} was not asked:\n{shown}"
                shown += more
            os.write(ours, keys.encode())
        while more := _more(ours):
            shown += more
        return running.wait(PATIENCE), shown.replace("\r\n", "\n")
    finally:
        os.close(ours)
        running.kill()
        running.wait()


def _more(terminal: int) -> str:
    """Return what is shown next; nothing once the command has ended."""
    readable, _, _ = select.select([terminal], [], [], PATIENCE)
    assert readable, "the command neither goes on nor ends"
    try:
        return os.read(terminal, 65_536).decode()
    except OSError:  # Linux's way to say that nobody has the other end any more
        return ""
