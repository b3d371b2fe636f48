"""The spool's files: records with length and checksum, one after the other.

A record is a header (magic, state, accepted at, length, CRC-32) and a body. Only the
state ever changes, in place, so that giving a record up needs no room on the disk. The
checksum covers all the rest. The magic begins with a byte that UTF-8 does not have.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from array import array

from mbuzz import protocol
from mbuzz.delivery.spool_lock import remove_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from mbuzz.delivery.spool_lock import FileLock

SUFFIX = ".seg"
DEAD_SUFFIX = ".dead"
LARGEST_BODY = protocol.MAX_BODY_BYTES

# What a record is to this process.
HELD = 0  # memory has it, too
WAITING = 1
FRESH = 2  # waiting, of a process that has ended, and not seen here before
TAKEN = 3  # being replayed
DONE = 4  # delivered or given up

_MAGIC = b"\xffmb\xfe"
_HEADER = struct.Struct(">4scQII")
HEADER_BYTES = _HEADER.size
_STATE_AT = len(_MAGIC)
_COVERED = struct.Struct(">QI")
_KEPT, _MARKED = b"k", b"x"
_READY = re.compile(b"[%c%c]" % (WAITING, FRESH))
_PIECE = 65_536
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Record:
    """One sound record of a file; `end` is where the next one begins."""

    __slots__ = ("accepted_at_ms", "body", "end", "marked", "offset")

    def __init__(
        self, offset: int, end: int, accepted_at_ms: int, body: bytes, *, marked: bool
    ) -> None:
        self.offset = offset
        self.end = end
        self.accepted_at_ms = accepted_at_ms
        self.body = body
        self.marked = marked


def pack(body: bytes, accepted_at_ms: int) -> bytes:
    """Return *body* as a record."""
    covered = _COVERED.pack(accepted_at_ms, len(body))
    checksum = zlib.crc32(body, zlib.crc32(covered))
    head = _HEADER.pack(_MAGIC, _KEPT, accepted_at_ms, len(body), checksum)
    return head + body


def open_file(path: str) -> BinaryIO:
    """Open a segment for `read` and `scan`, which take it piece by piece.

    Raises:
        OSError: If it cannot be opened.
    """
    return os.fdopen(os.open(path, os.O_RDONLY | _FLAGS), "rb", _PIECE)


def read(file: BinaryIO, offset: int) -> Record | None:
    """Return the record at *offset*, None if it is damaged.

    Raises:
        EOFError: If the file ends within it.
        OSError: If the file cannot be read.
    """
    file.seek(offset)
    head = file.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES:
        if _MAGIC.startswith(head[:_STATE_AT]):
            raise EOFError
        return None
    magic, state, accepted_at_ms, length, checksum = _HEADER.unpack(head)
    if magic != _MAGIC or length > LARGEST_BODY:
        return None
    body = file.read(length)
    if len(body) < length:
        raise EOFError
    if zlib.crc32(body, zlib.crc32(_COVERED.pack(accepted_at_ms, length))) != checksum:
        return None
    end = offset + HEADER_BYTES + length
    return Record(offset, end, accepted_at_ms, body, marked=state == _MARKED)


def scan(file: BinaryIO) -> Iterator[Record | None]:
    """Yield every sound record, and None for each stretch that is damaged.

    A record that the file's end cuts off was never acknowledged, so it is no damage.

    Raises:
        OSError: If the file cannot be read.
    """
    offset: int | None = 0
    size = os.fstat(file.fileno()).st_size
    damaged = False
    while offset is not None and offset < size:
        cut = False
        try:
            record = read(file, offset)
        except EOFError:
            record, cut = None, True
        if record is not None:
            damaged = False
            yield record
            offset = record.end
            continue
        offset = _next_magic(file, offset + 1)
        if not damaged and (offset is not None or not cut):
            damaged = True
            yield None


def _next_magic(file: BinaryIO, offset: int) -> int | None:
    file.seek(offset)
    tail = b""
    while piece := file.read(_PIECE):
        found = (tail + piece).find(_MAGIC)
        if found >= 0:
            return offset - len(tail) + found
        offset += len(piece)
        tail = (tail + piece)[1 - len(_MAGIC) :]
    return None


def mark(fd: int, offsets: Iterable[int]) -> None:
    """Note in the file that the records at *offsets* are done with.

    Raises:
        OSError: If it cannot be written.
    """
    for offset in offsets:
        _write_at(fd, _MARKED, offset + _STATE_AT)


def mark_file(path: str, offsets: Iterable[int]) -> None:
    """Do `mark` to the file at *path*.

    Raises:
        OSError: If it cannot be opened or written.
    """
    fd = os.open(path, os.O_RDWR | _FLAGS)
    try:
        mark(fd, offsets)
    finally:
        os.close(fd)


def _write_at(fd: int, data: bytes, offset: int) -> None:
    if hasattr(os, "pwrite"):
        os.pwrite(fd, data, offset)
    else:  # pragma: no cover - Windows
        end = os.lseek(fd, 0, os.SEEK_CUR)
        os.lseek(fd, offset, os.SEEK_SET)
        os.write(fd, data)
        os.lseek(fd, end, os.SEEK_SET)


class Segment:
    """One file of the spool, and what this process knows of its records.

    A record costs 9 bytes of memory. Whoever appends must have the segment for itself.
    """

    __slots__ = (
        "_fd",
        "indexed",
        "lock",
        "name",
        "offsets",
        "open",
        "path",
        "size",
        "states",
    )

    def __init__(self, path: str, lock: FileLock) -> None:
        self.path = path
        self.name = os.path.basename(path)
        self.lock = lock  # of the process whose file it is
        self.offsets = array("Q")
        self.states = bytearray()
        self.open = 0  # records that are not done
        self.size = 0  # bytes
        self.indexed = False
        self._fd = -1

    @classmethod
    def create(cls, path: str, lock: FileLock) -> Segment:
        """Return a new file to append to.

        Raises:
            OSError: If it cannot be made.
        """
        segment = cls(path, lock)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS
        segment._fd = os.open(path, flags, 0o600)
        segment.indexed = True
        return segment

    @property
    def sealed(self) -> bool:
        """Tell whether nothing more is appended."""
        return self._fd < 0

    def append(self, records: bytes, state: int) -> int:
        """Write *records*, all or nothing, as one entry; return its index.

        Raises:
            OSError: If it cannot be written; what was, is taken back.
        """
        # asked, not remembered: an exception of a signal handler may have come between
        offset = os.lseek(self._fd, 0, os.SEEK_CUR)
        written = 0
        try:
            written = os.write(self._fd, records)
            if written < len(records):
                raise OSError(_errno_of_full_disk(), "short write")
        except OSError:
            if written:
                self._cut(offset)
            raise
        index = len(self.states)
        del self.offsets[index:]
        self.offsets.append(offset)
        self.states.append(state)
        self.size = offset + written
        self.open += 1
        return index

    def _cut(self, end: int) -> None:
        try:
            os.ftruncate(self._fd, end)
            os.lseek(self._fd, end, os.SEEK_SET)
        except OSError:
            self.seal()  # half a record stays the file's end

    def index(self) -> int:
        """Find the records of another process's file; return how many are damaged.

        Raises:
            OSError: If it cannot be read.
        """
        damaged = 0
        offsets, states = array("Q"), bytearray()
        with open_file(self.path) as file:
            self.size = os.fstat(file.fileno()).st_size
            for record in scan(file):
                if record is None:
                    damaged += 1
                elif not record.marked:
                    offsets.append(record.offset)
                    states.append(FRESH)
        self.offsets, self.states = offsets, states
        self.open = len(states)
        self.indexed = True
        return damaged

    def read(self, file: BinaryIO, index: int) -> Record | None:
        """Return a record of this file, opened as *file*; None if it is damaged now.

        Raises:
            OSError: If the file cannot be read.
        """
        try:
            return read(file, self.offsets[index])
        except EOFError:  # shorter than it was
            return None

    def ready(self) -> Iterator[int]:
        """Yield the indexes of records that are to be replayed by now, in order."""
        for match in _READY.finditer(bytes(self.states)):
            yield match.start()

    def done(self, indexes: Iterable[int]) -> None:
        """Give open records up, in memory and in the file.

        Raises:
            OSError: If the file cannot be written; in memory they are given up.
        """
        offsets = []
        for index in indexes:
            self.states[index] = DONE
            self.open -= 1
            offsets.append(self.offsets[index])
        if not self.sealed:
            mark(self._fd, offsets)
        elif offsets:
            mark_file(self.path, offsets)

    def remove(self) -> None:
        """Remove the file, whose records are all marked."""
        remove_file(self.path)

    def seal(self) -> None:
        """Append no more."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _errno_of_full_disk() -> int:
    from errno import ENOSPC

    return ENOSPC
