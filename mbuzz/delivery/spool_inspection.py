"""A look at a spool's folder from outside, for `mbuzz spool` and `mbuzz doctor`."""

from __future__ import annotations

import os
import re

from mbuzz.delivery.spool_appender import unpack_letter
from mbuzz.delivery.spool_folder import Folder, owner_of
from mbuzz.delivery.spool_lock import remove_file
from mbuzz.delivery.spool_segment import (
    DEAD_SUFFIX,
    SUFFIX,
    mark_file,
    open_file,
    scan,
)
from mbuzz.values import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mbuzz.delivery.spool_segment import Record

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


class Destination(Frozen):
    """What a folder holds for one account and address."""

    fingerprint: str
    running: int  # records of processes that run, and send them on their own
    waiting: int  # records of processes that have ended
    segments: int
    bytes: int  # dead letters included
    oldest_ms: int | None  # when the oldest record was accepted
    dead: Mapping[str, int]  # dead letters by reason
    live: bool  # a running process has files here


class DeadLetter(Frozen):
    """One event that nobody would take, and where it lies."""

    path: str
    offset: int
    buried_at_ms: int
    reason: str
    body: bytes


def inspect_folder(folder: str) -> list[Destination]:
    """Return what *folder* holds, in the order of fingerprints.

    Raises:
        OSError: If it, or a file in it, cannot be read.
    """
    names = sorted(filter(_FINGERPRINT.fullmatch, os.listdir(folder)))
    return [_inspect(Folder(folder, name), name) for name in names]


def _inspect(folder: Folder, fingerprint: str) -> Destination:
    names = folder.names()
    alive = {owner: _is_alive(folder, owner) for owner in sorted(_owners(names))}
    counts = {True: 0, False: 0}
    oldest: list[int] = []
    dead: dict[str, int] = {}
    for name in names:
        path = os.path.join(folder.path, name)
        if name.endswith(SUFFIX):
            times = [record.accepted_at_ms for record in _records(path)]
            counts[alive[owner_of(name) or ""]] += len(times)
            oldest += times[:1]
        elif name.endswith(DEAD_SUFFIX):
            for record in _records(path):
                _, reason = unpack_letter(record.body)
                dead[reason] = dead.get(reason, 0) + 1
    return Destination(
        fingerprint=fingerprint,
        running=counts[True],
        waiting=counts[False],
        segments=sum(name.endswith(SUFFIX) for name in names),
        bytes=folder.size(),
        oldest_ms=min(oldest, default=None),
        dead=dict(sorted(dead.items())),
        live=any(alive.values()),
    )


def _owners(names: Iterable[str]) -> set[str]:
    return {owner for name in names if (owner := owner_of(name))}


def _is_alive(folder: Folder, owner: str) -> bool:
    lock = folder.lock_of(owner)
    if not os.path.exists(lock.path):
        return False
    if not lock.acquire():
        return True
    # without files it says nothing, unless asking has just made it
    lock.release(remove=not folder.files_of(owner))
    return False


def _records(path: str) -> Iterator[Record]:
    """Yield the sound records that are not done with; none if the file is gone."""
    try:
        file = open_file(path)
    except FileNotFoundError:
        return
    with file:
        for record in scan(file):
            if record is not None and not record.marked:
                yield record


def read_dead(folder: str, fingerprint: str) -> Iterator[DeadLetter]:
    """Yield the dead letters of a destination, oldest first.

    Raises:
        OSError: If they cannot be read.
    """
    place = Folder(folder, fingerprint)
    for name in place.names():
        if name.endswith(DEAD_SUFFIX):
            path = os.path.join(place.path, name)
            for record in _records(path):
                body, reason = unpack_letter(record.body)
                yield DeadLetter(
                    path=path,
                    offset=record.offset,
                    buried_at_ms=record.accepted_at_ms,
                    reason=reason,
                    body=body,
                )


def remove_dead(folder: str, fingerprint: str, letters: Iterable[DeadLetter]) -> None:
    """Remove dead letters; their files go once they are empty and nobody appends.

    Raises:
        OSError: If they cannot be marked as gone.
    """
    offsets: dict[str, list[int]] = {}
    for letter in letters:
        offsets.setdefault(letter.path, []).append(letter.offset)
    for path, gone in offsets.items():
        if os.path.exists(path):
            mark_file(path, gone)
    place = Folder(folder, fingerprint)
    for name in place.names():
        path = os.path.join(place.path, name)
        if (
            name.endswith(DEAD_SUFFIX)
            and next(_records(path), None) is None
            and not _is_alive(place, owner_of(name) or "")
        ):
            remove_file(path)


def remove_waiting(folder: str, fingerprint: str) -> int:
    """Remove the records of processes that have ended; return how many.

    Raises:
        OSError: If the folder cannot be read or locked.
    """
    place = Folder(folder, fingerprint)
    removed = 0
    for owner in sorted(_owners(place.names())):
        lock = place.lock_of(owner)
        files = place.files_of(owner)
        if not files or not lock.acquire():
            continue
        try:
            for path in place.files_of(owner):
                count = sum(1 for _ in _records(path))
                removed += count if remove_file(path) else 0
        finally:
            lock.release(remove=not place.files_of(owner))
    return removed
