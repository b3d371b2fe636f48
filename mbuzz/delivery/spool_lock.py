"""Locks between processes that end with their process, however it ends."""

from __future__ import annotations

import os
import sys

_CLOEXEC = getattr(os, "O_CLOEXEC", 0)

# Which lock files this process holds: (pid, device, inode). Locks of one process never
# conflict with each other, and closing any descriptor of a file drops its lock, so a
# file in here must not even be opened. The pid tells a child's entries from its
# parent's.
_held: dict[tuple[int, int, int], object] = {}
_parked: list[int] = []  # descriptors whose closing would drop somebody else's lock


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _lock(fd: int) -> None:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(fd: int) -> None:
        # record locks: unlike flock, a forked child does not keep them alive
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """An exclusive lock on the file at *path*, which exists as long as it is useful."""

    __slots__ = ("_fd", "_key", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1
        self._key: tuple[int, int, int] | None = None

    @property
    def held(self) -> bool:
        """Tell whether this object has the lock."""
        return self._key is not None and self._key[0] == os.getpid()

    def acquire(self, *, new: bool = False) -> bool:
        """Take the lock and return True, or return False: somebody has it.

        With *new* the file must not exist yet.

        Raises:
            FileExistsError: If it is to be new, and is not.
            OSError: If the file cannot be made, or the file system has no locks.
        """
        if not new and self._is_ours():
            return False
        flags = os.O_RDWR | os.O_CREAT | _CLOEXEC | (os.O_EXCL if new else 0)
        fd = os.open(self.path, flags, 0o600)
        key = _key_of(os.fstat(fd))
        if _held.setdefault(key, self) is not self:
            _parked.append(fd)
            return False
        try:
            _lock(fd)
            good = _key_of(os.stat(self.path)) == key
        except (BlockingIOError, PermissionError, FileNotFoundError):
            good = False
        except OSError:
            _let_go(fd, key)
            raise
        if not good:  # locked elsewhere, or removed since it was opened
            _let_go(fd, key)
            return False
        self._fd, self._key = fd, key
        return True

    def _is_ours(self) -> bool:
        try:
            return _key_of(os.stat(self.path)) in _held
        except FileNotFoundError:
            return False

    def release(self, *, remove: bool = False) -> None:
        """Let the lock go, and with *remove* the file; nothing if it is not held."""
        if self._key is None or not self.held:
            return
        if remove:
            remove_file(self.path)
        _let_go(self._fd, self._key)
        self._fd, self._key = -1, None


def remove_file(path: str) -> bool:
    """Remove a file; return whether it is gone."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _key_of(stat: os.stat_result) -> tuple[int, int, int]:
    return (os.getpid(), stat.st_dev, stat.st_ino)


def _let_go(fd: int, key: tuple[int, int, int]) -> None:
    # in this order: once it is out of the table, closing could hurt the next holder
    os.close(fd)
    _held.pop(key, None)
