"""What this process appends to the spool, and how much room there is for it."""

from __future__ import annotations

import itertools
import os

from mbuzz.delivery.spool_segment import (
    DEAD_SUFFIX,
    HEADER_BYTES,
    LARGEST_BODY,
    SUFFIX,
    Segment,
    pack,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mbuzz.clock import Clock
    from mbuzz.delivery.spool_folder import Folder
    from mbuzz.delivery.spool_lock import FileLock

_SEGMENT_BYTES = 1_048_576
_SEGMENT_RECORDS = 4_096
_SEGMENTS = 16  # at least, in a full spool
_PLAIN = b'"type":"track"'
_KIND_WITHIN = 64  # bytes of a body that name its kind
_AGAIN_AFTER = 1.0  # seconds until a folder that failed, or was full, is asked again


class Appender:
    """Appends records, one file after the other; *retire* is told of sealed ones.

    An `append` may interrupt another one of the same thread at any point. What is
    public here needs the spool's lock.
    """

    def __init__(
        self,
        folder: Folder,
        max_bytes: int,
        clock: Clock,
        segments: dict[str, Segment],
        retire: Callable[[Segment], None],
    ) -> None:
        self.locks: list[FileLock] = []  # the newest first; one, as a rule
        self._folder = folder
        self._max_bytes = max_bytes
        self._clock = clock
        self._segments = segments
        self._retire = retire
        self._idle: list[Segment] = []  # one to append to; none while it is in use
        self._dead: Segment | None = None
        self._numbers = itertools.count(1)
        self._newest_ms = 0
        self._used = 0
        self._measured_at: float | None = None
        self._failed_until = 0.0

    def refusal(self, body: bytes) -> str | None:
        """Return why *body* is not to be appended, None if it is."""
        if len(body) > LARGEST_BODY:
            return "too_large"
        # the last tenth is for who somebody is, and what they bought
        plain = _PLAIN in body[:_KIND_WITHIN]
        limit = self._max_bytes if plain else self._max_bytes * 11 // 10
        size = len(body) + HEADER_BYTES
        if self._used_with(size, limit) <= limit:
            return None
        self._give_way()
        return "spool_full" if self._used + size > limit else None

    def _give_way(self) -> None:
        """Seal the file in use, too, if all that is in it is done with."""
        try:
            segment = self._idle.pop()
        except IndexError:
            return
        if segment.open:
            self._idle.append(segment)
        else:
            self._seal(segment)

    def _used_with(self, size: int, limit: int) -> int:
        """Return the bytes that all processes use, as far as known, and *size*."""
        now = self._clock.monotonic()
        last = self._measured_at
        if last is None or (self._used + size > limit and now - last >= _AGAIN_AFTER):
            self._measured_at = now
            self._used = self._folder.size()
        return self._used + size

    def freed(self, size: int) -> None:
        """Note that *size* bytes are free again."""
        self._used = max(0, self._used - size)

    @property
    def resting(self) -> bool:
        """Tell whether the folder has just failed, and would again."""
        return self._clock.monotonic() < self._failed_until

    def append(self, body: bytes, state: int) -> tuple[Segment, int]:
        """Append one record; return its file and its index there.

        Raises:
            OSError: If it cannot be written.
        """
        segment = self._check_out()
        try:
            index = segment.append(pack(body, self._clock.now_ms()), state)
        finally:
            self._check_in(segment)
        self._used += HEADER_BYTES + len(body)
        return segment, index

    def _check_out(self) -> Segment:
        """Return a file for one record alone: who interrupts that finds none."""
        try:
            segment = self._idle.pop()
        except IndexError:
            return self._create(SUFFIX)
        if (
            not segment.sealed
            and segment.size < min(_SEGMENT_BYTES, self._max_bytes // _SEGMENTS)
            and len(segment.states) < _SEGMENT_RECORDS
        ):
            return segment
        self._seal(segment)
        return self._create(SUFFIX)

    def _check_in(self, segment: Segment) -> None:
        while self._idle:  # of an append that interrupted this one
            self._seal(self._idle.pop())
        self._idle.append(segment)

    def _seal(self, segment: Segment) -> None:
        segment.seal()
        self._retire(segment)

    def _create(self, suffix: str) -> Segment:
        try:
            try:
                segment = self._create_in_folder(suffix)
            except FileNotFoundError:  # the folder was removed by hand
                self.locks.insert(0, self._folder.claim(self._clock))
                segment = self._create_in_folder(suffix)
        except OSError:
            self._failed_until = self._clock.monotonic() + _AGAIN_AFTER
            raise
        if suffix == SUFFIX:
            self._segments[segment.name] = segment
        self._measured_at = None  # the others have written, too
        return segment

    def _create_in_folder(self, suffix: str) -> Segment:
        if not self.locks:
            self.locks.append(self._folder.claim(self._clock))
        lock = self.locks[0]
        # names go up even where the clock is set back
        self._newest_ms = max(self._newest_ms, self._clock.now_ms())
        name = self._folder.file_name(self._newest_ms, next(self._numbers), lock)
        return Segment.create(os.path.join(self._folder.path, name + suffix), lock)

    def bury(self, bodies: Sequence[bytes], reason: str) -> str | None:
        """Append dead letters, all or none; return why not, None if they are.

        Raises:
            OSError: If they cannot be written.
        """
        now_ms = self._clock.now_ms()
        letters = [pack_letter(body, reason) for body in bodies]
        records = b"".join(pack(letter, now_ms) for letter in letters)
        size = len(records)
        if max(map(len, letters), default=0) > LARGEST_BODY:
            return "too_large"
        if (
            self._folder.size(DEAD_SUFFIX) + size > self._max_bytes // 2
            or self._used_with(size, self._max_bytes) > self._max_bytes
        ):
            return "spool_full"
        if self._dead is None or self._dead.sealed:
            self._dead = self._create(DEAD_SUFFIX)
        self._dead.append(records, 0)
        self._used += size
        if self._dead.size >= _SEGMENT_BYTES:
            self._dead.seal()
        return None

    def close(self) -> None:
        """Append no more."""
        self._idle.clear()
        if self._dead is not None:
            self._dead.seal()


def pack_letter(body: bytes, reason: str) -> bytes:
    """Return a dead letter: the length of its reason, the reason, the body."""
    said = reason.encode("utf-8", "replace")[:255]
    return bytes([len(said)]) + said + body


def unpack_letter(letter: bytes) -> tuple[bytes, str]:
    """Return body and reason of a dead letter."""
    end = 1 + letter[0] if letter else 1
    return letter[end:], letter[1:end].decode("utf-8", "replace")
