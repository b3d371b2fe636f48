"""Answers of the backend that came after the page had gone out."""

from __future__ import annotations

import threading
from collections import OrderedDict

from mbuzz.clock import Clock

_MOST = 20_000  # ids, of which a visitor on his way has two
_KEPT_FOR = 1_800.0  # seconds, as long as a session lives


class LateAnswers:
    """What the backend called a visitor and session, until the visitor's next page."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # id as proposed: id as told, until when. Each by itself: the browser may have
        # got the one corrected and not yet the other.
        self._told: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def keep(self, visitor: str, session: str, told: tuple[str, str]) -> None:
        """Remember what was *told* for a visitor and session that we had proposed."""
        until = self._clock.monotonic() + _KEPT_FOR
        with self._lock:
            for proposed, name in zip((visitor, session), told, strict=True):
                if proposed != name:
                    self._told[proposed] = (name, until)
                    self._told.move_to_end(proposed)
            while len(self._told) > _MOST:
                self._told.popitem(last=False)

    def correct(self, visitor: str, session: str | None) -> tuple[str, str | None]:
        """Return the visitor and session that the browser's cookies stand for."""
        if not self._told:
            return visitor, session
        now = self._clock.monotonic()
        with self._lock:
            name = self._named(visitor, now)
            return name, None if session is None else self._named(session, now)

    def _named(self, proposed: str, now: float) -> str:
        told, until = self._told.get(proposed, (proposed, now))
        return proposed if until < now else told
