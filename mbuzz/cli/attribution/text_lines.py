"""The lines of a file, with their numbers: UTF-8 text, none of them endless."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, Final

from mbuzz.cli.attribution.line_values import LineError
from mbuzz.cli.console import CliError, Progress

STANDARD_INPUT: Final = "-"
LONGEST: Final = 4 * 1024 * 1024  # bytes
_STEP: Final = 8 * 1024 * 1024  # bytes of a file, for the progress bar
_SHOWN_FROM: Final = 4  # steps


def opened(name: str) -> AbstractContextManager[BinaryIO]:
    """Return a file to read from, which leaves the standard input open.

    Raises:
        CliError: If it cannot be read.
    """
    if name == STANDARD_INPUT:
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise CliError(f"cannot read {name}: {error.strerror or error}") from None


def _size(name: str, file: BinaryIO) -> int:
    """Return how many bytes a file has, 0 for what has no end to tell."""
    return (
        Path(name).stat().st_size if name != STANDARD_INPUT and file.seekable() else 0
    )


def numbered(name: str, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their numbers, and show how far that is.

    Of a line that is longer than `LONGEST` there is a byte too many, and no more.
    """
    steps = _size(name, file) // _STEP
    bar = None
    if steps >= _SHOWN_FROM and sys.stderr.isatty():
        bar = Progress("reading", steps)
    number = done = 0
    try:
        while raw := file.readline(LONGEST + 1):
            number += 1
            yield number, raw
            done += len(raw)
            while raw and not raw.endswith(b"\n"):  # the rest of one that is too long
                raw = file.readline(LONGEST)
                done += len(raw)
            while bar is not None and done >= _STEP:
                done -= _STEP
                bar.step()
    finally:
        if bar is not None:
            bar.finish()


def text(raw: bytes) -> str:
    """Return a line as text.

    Raises:
        LineError: If it is too long, or no UTF-8.
    """
    if len(raw) > LONGEST:
        raise LineError(
            f"the line is longer than {LONGEST >> 20} MiB; is each journey "
            "on a line of its own?"
        )
    try:
        return raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise LineError(
            f"byte {error.start + 1} is not UTF-8; save the file as UTF-8 text, "
            "not compressed"
        ) from None


def named(name: str) -> str:
    """Return what to call a file."""
    return "the standard input" if name == STANDARD_INPUT else name
