"""Copies of a database that may be in use."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from mbuzz.server.storage.errors import StorageError
from mbuzz.server.storage.maintenance import opened

_COPIED_AT_ONCE: Final = 1_024  # pages, 4 MiB: often enough to show, and to be stopped
_BESIDE: Final = ("-wal", "-journal")  # what SQLite would take for a part of the file


class Copied(NamedTuple):
    """A finished copy."""

    size: int  # bytes
    events: int


def backup(
    source: str,
    target: str,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Copied:
    """Copy a database, which may be in use, as it is at this moment.

    SQLite's backup API copies pages while one snapshot is held: so nobody who writes
    has to wait, nothing they write makes the copy begin anew, and *progress* can be
    told of pages done and in total. ``VACUUM INTO`` would be consistent, too, but
    rebuilds every index on the processor that the backend needs, and says nothing
    until it is done. The copy appears under its name when it is whole and on disk; it
    is one file, readable without a journal beside it.

    Raises:
        StorageError: If there is no such database, or the copy cannot be written.
    """
    place = Path(target).absolute()
    _refuse_target(place, source, target, force=force)
    with opened(source) as raw, _unfinished(place, target) as unfinished:
        _copy_pages(raw, unfinished, target, progress)
        copied = _finish(unfinished, target)
        shutil.copymode(source, unfinished)
        _sync(unfinished)
        _refuse_target(place, source, target, force=force)  # it took a while
        unfinished.replace(place)
        _sync(place.parent)
    return copied


def _refuse_target(place: Path, source: str, target: str, *, force: bool) -> None:
    """Refuse to write over what may still be needed."""
    if not place.parent.is_dir():
        raise StorageError(f"the folder {place.parent} does not exist; make it first")
    if place.is_dir():
        raise StorageError(f"{target} is a folder; add the name of a file")
    if place.exists() and Path(source).exists() and place.samefile(source):
        raise StorageError(f"{target} is the database itself; choose another name")
    if place.exists() and not force:
        raise StorageError(f"{target} exists; choose another name, or add --force")
    for ending in _BESIDE:
        beside = place.with_name(place.name + ending)
        if beside.exists():
            raise StorageError(
                f"beside {target} there is {beside.name}, so that database is in use "
                "or was not closed, and the copy would be damaged by it; choose "
                "another name"
            )


@contextmanager
def _unfinished(place: Path, target: str) -> Iterator[Path]:
    """Give out a file in the target's folder that is gone afterwards, come what may."""
    try:
        descriptor, name = tempfile.mkstemp(
            ".unfinished", f".{place.name}.", place.parent
        )
    except OSError as error:
        raise StorageError(_cannot_write(target, error.strerror or error)) from None
    os.close(descriptor)
    try:
        yield Path(name)
    except OSError as error:
        raise StorageError(_cannot_write(target, error.strerror or error)) from None
    finally:
        for ending in ("", *_BESIDE, "-shm"):
            Path(name + ending).unlink(missing_ok=True)


def _copy_pages(
    raw: sqlite3.Connection,
    unfinished: Path,
    target: str,
    progress: Callable[[int, int], None] | None,
) -> None:
    def tell(_status: int, left: int, total: int) -> None:
        if progress is not None:
            progress(total - left, total)

    with closing(sqlite3.connect(unfinished, isolation_level=None)) as copy:
        copy.execute("PRAGMA synchronous = OFF")  # it is synced as a whole
        try:
            raw.execute("BEGIN")
            raw.execute("SELECT 1 FROM sqlite_master").fetchone()  # takes the snapshot
            raw.backup(copy, pages=_COPIED_AT_ONCE, progress=tell)
        except sqlite3.Error as error:
            raise StorageError(_cannot_write(target, error)) from None


def _finish(unfinished: Path, target: str) -> Copied:
    """Make one file of the copy, and look into it."""
    with closing(sqlite3.connect(unfinished, isolation_level=None)) as copy:
        try:
            copy.execute("PRAGMA journal_mode = DELETE")
            (events,) = copy.execute("SELECT count(*) FROM events").fetchone()
        except sqlite3.Error as error:
            raise StorageError(_cannot_write(target, error)) from None
    return Copied(size=unfinished.stat().st_size, events=events)


def _sync(path: Path) -> None:
    """Have a file, or a folder's names, on disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except OSError:
        if path.is_dir():  # not every system opens folders
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(target: str, why: object) -> str:
    return (
        f"cannot make the copy {target}: {why}; "
        "choose a place that you can write to, with room for it"
    )
