"""Turns at one database file, so that no process waits for ever behind a busy one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # not POSIX: SQLite's own waiting has to do
    fcntl = None  # type: ignore[assignment]

_LOOK: Final = 0.001  # seconds


class Turns:
    """Who may ask for the write lock next.

    SQLite's way of waiting for another process is to sleep and look again; one that
    commits time after time has the lock again before the sleeper looks, and the
    sleeper gets nothing for as long as that goes on. So whoever waits holds a second
    lock meanwhile, which the other needs before it may begin again.

    That is a lock on the folder: it needs no file of its own, and unlike one on the
    database itself it cannot undo SQLite's when it is closed.
    """

    def __init__(self, path: str, patience: float) -> None:
        """Take turns at the file *path*, waiting *patience* seconds at most."""
        self._patience = patience
        self._folder: int | None = None
        if fcntl is not None:
            with suppress(OSError):  # then there are no turns, as without this
                self._folder = os.open(Path(path).parent, os.O_RDONLY)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Keep others from asking until the block ends; do without if it takes long."""
        held = self._folder is not None and self._wait(self._folder)
        try:
            yield
        finally:
            if held and self._folder is not None:
                fcntl.flock(self._folder, fcntl.LOCK_UN)

    def free(self) -> bool:
        """Tell whether nobody waits for a turn."""
        if self._folder is not None:
            try:
                fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError:  # a file system without such locks
                return True
            fcntl.flock(self._folder, fcntl.LOCK_UN)
        return True

    def _wait(self, folder: int) -> bool:
        give_up = time.monotonic() + self._patience
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > give_up:
                    return False
            except OSError:  # a file system without such locks
                return False
            else:
                return True
            time.sleep(_LOOK)

    def close(self) -> None:
        """Let the folder go."""
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None
