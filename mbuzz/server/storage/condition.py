"""How a database fares: is the writer getting on, does the disk take what it writes?"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from mbuzz.server.storage.errors import StorageError

_STUCK = 10.0  # seconds in one transaction, after which a writer counts as stuck
_LEAST_FREE = 1_048_576  # bytes that a disk must have left


class Condition:
    """Notes of one writer, made by its thread and read by any.

    `on_commit` is called with a number of events or calls and with seconds,
    `on_failure` with nothing; both run on the writer's thread and must not raise.
    """

    def __init__(self) -> None:
        self.on_commit: Callable[[int, float], object] = _nothing
        self.on_failure: Callable[[], object] = _nothing
        self._since: float | None = None  # the transaction that runs

    def begin(self) -> None:
        """Note that a transaction begins."""
        self._since = monotonic()

    def committed(self, size: int) -> None:
        """Note that it is on disk, with so many events and calls."""
        took = monotonic() - (self._since or monotonic())
        self._since = None
        self.on_commit(size, took)

    def failed(self) -> None:
        """Note that it could not be committed."""
        self._since = None
        self.on_failure()

    def check(self) -> None:
        """Raise `StorageError` if the writer does not get on."""
        since = self._since
        busy = monotonic() - since if since is not None else 0.0
        if busy > _STUCK:
            raise StorageError(
                f"the database writer has been in one transaction for {busy:.0f} s"
            )


def file_size(path: str) -> int | None:
    """Return the size of a file in bytes, None without one."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return None


def free_bytes(path: str) -> int | None:
    """Return how much room the disk of *path* has, None where nobody can tell."""
    try:
        found = os.statvfs(Path(path).parent)
    except (AttributeError, OSError):  # Windows has no such call
        return None
    return found.f_bavail * found.f_frsize


def check_room(path: str) -> None:
    """Raise `StorageError` if the disk is full."""
    free = free_bytes(path)
    if free is not None and free < _LEAST_FREE:
        raise StorageError("the disk of the database is full; make room on it")


def _nothing(*_: object) -> None:
    """Do nothing."""
