"""Many places of a list at once, as fast as Python has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TypeAlias

# From a list to what it has at certain places.
Picker: TypeAlias = Callable[[Sequence[float]], Sequence[float]]


def picker(places: Sequence[int]) -> Picker:
    """Return what takes the items at *places* out of a list, in that order.

    `itemgetter` itself would take a single item without a sequence around it.
    """
    if len(places) < 2:
        return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))
    return itemgetter(*places)
