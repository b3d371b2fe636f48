"""How a spool's folder is laid out: one subfolder a destination, files by owner.

``<fingerprint>/<created>.<number>.<owner>.seg`` are records, ``….dead`` dead letters,
``<owner>.lock`` is locked while that process lives, ``replay.lock`` by who replays.
"""

from __future__ import annotations

import os

from mbuzz.delivery.spool_lock import FileLock, remove_file
from mbuzz.delivery.spool_segment import DEAD_SUFFIX, SUFFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mbuzz.clock import Clock

_LOCK_SUFFIX = ".lock"
_REPLAY_LOCK = "replay.lock"
_TROUBLES = {
    "ENOSPC": "disk_full",
    "EDQUOT": "disk_full",
    "EFBIG": "file_too_large",
    "EROFS": "read_only",
    "EACCES": "no_permission",
    "EPERM": "no_permission",
    "ENOTDIR": "not_a_folder",
    "EEXIST": "not_a_folder",
    "ENOLCK": "no_locks",
    "EOPNOTSUPP": "no_locks",
    "EMFILE": "too_many_files",
    "ENFILE": "too_many_files",
}


def fingerprint(destination: str) -> str:
    """Return the name of the subfolder for *destination*, which it does not tell."""
    from hashlib import sha256

    return sha256(destination.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def trouble_of(error: OSError) -> str:
    """Return what is wrong, in a word."""
    from errno import errorcode

    code = errorcode.get(error.errno or 0, "")
    return _TROUBLES.get(code, type(error).__name__)


def owner_of(name: str) -> str | None:
    """Return whose file it is, None if it is no process's, or not the spool's."""
    parts = name.split(".")
    if len(parts) == 2 and name.endswith(_LOCK_SUFFIX) and name != _REPLAY_LOCK:
        return parts[0]
    if len(parts) == 4 and name.endswith((SUFFIX, DEAD_SUFFIX)):
        return parts[2]
    return None


class Folder:
    """The files of one destination."""

    __slots__ = ("_root", "path")

    def __init__(self, root: str, name: str) -> None:
        self._root = os.path.abspath(root)
        self.path = os.path.join(self._root, name)

    def make(self) -> None:
        """Make the folder, for this user alone, unless it is there.

        Raises:
            OSError: If it cannot be made.
        """
        os.makedirs(self._root, 0o700, exist_ok=True)
        os.makedirs(self.path, 0o700, exist_ok=True)

    def names(self) -> list[str]:
        """Return the names of the processes' files, none if there is no folder.

        Raises:
            OSError: If it cannot be read.
        """
        try:
            return sorted(filter(owner_of, os.listdir(self.path)))
        except FileNotFoundError:
            return []

    def files_of(self, owner: str, suffix: str = SUFFIX) -> list[str]:
        """Return the paths of a process's files, oldest first.

        Raises:
            OSError: If the folder cannot be read.
        """
        return [
            os.path.join(self.path, name)
            for name in self.names()
            if name.endswith(suffix) and owner_of(name) == owner
        ]

    def size(self, suffix: str = "") -> int:
        """Return the bytes of all files, as far as they can be seen."""
        size = 0
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    if entry.name.endswith(suffix or (SUFFIX, DEAD_SUFFIX)):
                        size += _size_of(entry)
        except OSError:
            return size
        return size

    def file_name(self, created_ms: int, number: int, lock: FileLock) -> str:
        """Return a new file's name: names of later files sort later."""
        owner = owner_of(os.path.basename(lock.path))
        return f"{created_ms:013d}.{number:06d}.{owner}"

    def lock_of(self, owner: str) -> FileLock:
        """Return the lock that a process holds for as long as it lives."""
        return FileLock(os.path.join(self.path, owner + _LOCK_SUFFIX))

    def replay_lock(self) -> FileLock:
        """Return the lock of the one process that replays."""
        return FileLock(os.path.join(self.path, _REPLAY_LOCK))

    def claim(self, clock: Clock) -> FileLock:
        """Make the folder, and return a new lock that says that its owner lives.

        Raises:
            OSError: If files cannot be made, or locks not be had.
        """
        self.make()
        stamp = f"{clock.now_ms():x}-{os.getpid():x}"
        number = 0
        while True:
            number += 1
            lock = self.lock_of(f"{stamp}-{number:x}")
            try:
                if lock.acquire(new=True):
                    return lock
            except FileExistsError:
                continue
            except OSError:
                remove_file(lock.path)
                raise


def _size_of(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # another process is done with it
        return 0
