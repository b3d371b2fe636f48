"""Tells the host's own functions what went wrong, and survives whatever they do."""

from __future__ import annotations

import json
import logging
import threading
from collections import deque

from mbuzz import guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from mbuzz.config import Config
    from mbuzz.delivery.queue import Item

_logger = logging.getLogger("mbuzz.delivery")


class Notices:
    """Calls `on_drop` and `on_error`, and writes the debug log of each event's way.

    What a thread has to tell is kept until it holds no lock and calls `speak`: a
    callback may wait for another thread that tracks. A callback that tracks, and fails
    again, is not called from inside itself.
    """

    def __init__(self, config: Config) -> None:
        self._on_drop = config.on_drop
        self._on_error = config.on_error
        self._debug = config.debug
        self._here = threading.local()

    def failed(self, reason: str) -> None:
        """Say why a request failed."""
        on_error = self._on_error
        if on_error is not None:
            self._keep("on_error", lambda: on_error(reason))

    def lost(self, reason: str, items: Sequence[Item]) -> None:
        """Say which events are lost, and why."""
        self.passed("lost", items, reason)
        on_drop = self._on_drop
        if on_drop is not None and items:
            events = [json.loads(item.body) for item in items]
            self._keep("on_drop", lambda: on_drop(reason, events))

    def passed(self, station: str, items: Iterable[Item], reason: str = "") -> None:
        """Log that events came to *station*, if anybody wants to know."""
        if not self._debug or not _logger.isEnabledFor(logging.DEBUG):
            return
        with guard.swallowing("debug log"):
            for item in items:
                event: dict[str, Any] = json.loads(item.body)
                _logger.debug(
                    "event %s (id=%s, type=%s%s)",
                    station,
                    event.get("id"),
                    event["type"],
                    f", reason={reason}" if reason else "",
                )

    def _keep(self, place: str, tell: Callable[[], object]) -> None:
        here = self._here
        if getattr(here, "inside", False):
            return
        if not hasattr(here, "untold"):
            here.untold = deque()
        here.untold.append((place, tell))

    def speak(self) -> None:
        """Tell the host what this thread has to tell; to be called without a lock."""
        here = self._here
        if not getattr(here, "untold", None) or getattr(here, "inside", False):
            return
        here.inside = True
        try:
            while here.untold:
                place, tell = here.untold.popleft()
                with guard.swallowing(place):
                    tell()
        finally:
            here.inside = False
