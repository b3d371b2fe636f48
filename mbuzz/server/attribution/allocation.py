"""Exact division of a whole number into shares that add up to it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction


def allocate(total: int, weights: Sequence[Fraction | int]) -> list[int]:
    """Return *total* split in proportion to *weights*; the parts sum to it exactly.

    Each part is rounded toward 0, and the units this leaves over go one each to the
    parts that lost most, of equal losses to the earlier. A negative *total* is split
    as its opposite, so a refund takes back exactly what the sale had given.

    Raises:
        ValueError: If a weight is negative, or none is more than 0.

    Source: the largest remainder (Hamilton) method of apportionment.
    """
    if any(weight < 0 for weight in weights):
        raise ValueError("weights must be 0 or more")
    # Over one denominator the rest is integer arithmetic, which is exact and fast.
    scale = math.lcm(*(weight.denominator for weight in weights))
    parts = [weight.numerator * (scale // weight.denominator) for weight in weights]
    whole = sum(parts)
    if not whole:
        raise ValueError("at least one weight must be more than 0")
    shares, losses = [], []
    for part in parts:
        share, loss = divmod(abs(total) * part, whole)
        shares.append(share)
        losses.append(loss)
    left = abs(total) - sum(shares)
    by_loss = sorted(range(len(parts)), key=losses.__getitem__, reverse=True)
    for index in by_loss[:left]:  # the sort is stable: equal losses stay in order
        shares[index] += 1
    return shares if total >= 0 else [-share for share in shares]
