"""What the tracking calls return: truthy when the event was taken, else why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackResult:
    """The answer to `track` and `page`; also readable as ``result["event_id"]``."""

    success: bool
    event_id: str | None = None
    error: str | None = None  # a machine word, such as "missing_identity"

    def __bool__(self) -> bool:
        return self.success

    def __getitem__(self, name: str) -> object:
        if name in ("success", "event_id", "error"):
            return getattr(self, name)
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionResult:
    """The answer to `conversion`; `attribution` is None until the server has said it.

    `attribution` maps a model's name to its credits, as the server sent them.
    """

    success: bool
    conversion_id: str | None = None
    attribution: Mapping[str, object] | None = None
    duplicate: bool = False
    error: str | None = None

    def __bool__(self) -> bool:
        return self.success

    def __getitem__(self, name: str) -> object:
        if name in ("success", "conversion_id", "attribution", "duplicate", "error"):
            return getattr(self, name)
        raise KeyError(name)
