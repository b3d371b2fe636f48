"""The interpreter's settings, for a process that does nothing but serve the backend."""

from __future__ import annotations

import gc
import sys
from typing import Final

# Seconds that a thread may compute while others wait for their turn. The database gives
# its turn up with each statement, and at Python's 5 ms would get it back behind every
# thread that parses: transactions of 500 rows fell from 84,000 rows/s to 600 so, and
# to 8,000 with this (measured on two cores with Python 3.11).
_SWITCH_INTERVAL: Final = 0.0005

# New objects after which garbage is looked for, and how much rarer the older ones are
# looked through. A round of 128 requests makes more than Python's 700 without a cycle
# among them: a fifth of the time went into looking.
_THRESHOLDS: Final = (100_000, 10, 10)


def tune() -> None:
    """Make ready to serve, once everything is imported."""
    sys.setswitchinterval(_SWITCH_INTERVAL)
    gc.set_threshold(*_THRESHOLDS)
    gc.freeze()  # what is here now stays
