"""The file of a database: made for its owner alone, and told from others."""

from __future__ import annotations

import os
from contextlib import suppress
from os import stat
from pathlib import Path


def identity(path: str) -> tuple[int, int] | None:
    """Return what tells a file from another of the same name; None without a file."""
    try:
        found = stat(path)  # noqa: PTH116 - at every commit, and a third of the time
    except OSError:
        return None
    return found.st_dev, found.st_ino


def make_private(where: str) -> None:
    """Make a missing file for its owner alone: what people did is nobody else's.

    SQLite gives the files beside it, and `mbuzz db backup` the copies, the same mode.
    """
    with suppress(OSError):  # it is there, or SQLite says why it cannot be
        os.close(os.open(where, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def cannot_open(path: str, error: Exception) -> str:
    """Return what is told of a file that cannot be opened, and what to do."""
    folder = Path(path).parent
    why: object = error
    if path != ":memory:" and not folder.is_dir():
        why = f"the folder {folder} does not exist"
    return (
        f"cannot use the database {path}: {why}; "
        "choose a file in a folder you can write to with --database"
    )
