"""`kill -9` under load, time and again."""

from __future__ import annotations

import random
from pathlib import Path

from tests.crash.load import Ledger, Load, Traffic, new_seed, send_again
from tests.crash.served import Backend

_LONGEST = 0.8  # seconds of load
_AMID_START = 0.2  # share of starts that do not get to their end


class Kills:
    """Rounds of start, load, kill; what got no answer is sent again after the next."""

    def __init__(self, folder: Path) -> None:
        self._seed = new_seed()
        self._random = random.Random(self._seed)
        self.backend = Backend(folder)
        self.ledger = Ledger()
        self.kills = 0

    def round(self) -> None:
        """Start, send, kill."""
        if self.kills and self._random.random() < _AMID_START:
            self.backend.begin()
            self._pause(_LONGEST)
            self._kill()
        self.backend.start()
        self._send_again()
        self._seed += 1
        traffic = Traffic(self._seed)
        with Load(self.backend.url, self.backend.key, traffic, self.ledger) as load:
            load.answered.acquire(timeout=60)
            self._pause(_LONGEST)
            self._kill()

    def _kill(self) -> None:
        self.backend.kill()
        self.kills += 1

    def _pause(self, most: float) -> None:
        self.backend.wait(self._random.uniform(0, most))

    def _send_again(self) -> None:
        backend = self.backend
        send_again(backend.url, backend.key, self.ledger, lambda: False)

    def finish(self) -> None:
        """Send what is left, and end in order."""
        self.backend.start()
        self._send_again()
        assert not self.ledger.unanswered
        assert self.backend.stop() == 0, self.backend.output

    def close(self) -> None:
        """End what still runs."""
        self.backend.kill()
