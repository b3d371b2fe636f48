"""What goes wrong with storage, as callers are told."""

from __future__ import annotations

from mbuzz.errors import MbuzzError


class StorageError(MbuzzError):
    """Storage cannot be used; the text says why and what to do."""


class StorageBusyError(StorageError):
    """Storage cannot take more just now; the caller should try again shortly."""


class TooLongError(Exception):
    """A thread that lends the writer a hand has done so for long enough.

    What it was at is undone, and the writer does it instead.
    """
