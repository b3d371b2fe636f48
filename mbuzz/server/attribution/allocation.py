"""Exact division of a whole number into shares that add up to it."""

from __future__ import annotations

from collections.abc import Sequence
from operator import sub
from typing import Final

# Up to here a float has every whole number, and fractions to tell remainders by.
_FLOATS_SHOW: Final = 1 << 45
_FINENESS: Final = 1 << 62
_FEW: Final = 4  # units that are quicker given one by one


def allocate(total: int, parts: Sequence[int]) -> list[int]:
    """Return *total* split in proportion to *parts*; the shares sum to it exactly.

    Each share is rounded toward 0, and the units this leaves over go one each to the
    shares that lost most, of equal losses to the earlier. A negative *total* is split
    as its opposite, so a refund takes back exactly what the sale had given.

    Raises:
        ValueError: If a part is negative, or none is more than 0.

    Source: the largest remainder (Hamilton) method of apportionment.
    """
    if not parts or min(parts) < 0:
        raise ValueError("weights must be 0 or more, and at least one more than 0")
    whole = sum(parts)
    if not whole:
        raise ValueError("at least one weight must be more than 0")
    return share_out(total, parts, whole)


def share_out(total: int, parts: Sequence[int], whole: int) -> list[int]:
    """Return the same for *parts* that are known to be right, and to sum to *whole*."""
    size = abs(total)
    if whole == 1:  # all to one
        shares = [0] * len(parts)
        shares[parts.index(1)] = total
        return shares
    if whole == len(parts) and 0 not in parts:  # the same to each
        share, left = divmod(size, whole)
        shares = [share + 1] * left + [share] * (whole - left)
        return shares if total >= 0 else [-share for share in shares]
    shares = [size * part // whole for part in parts]
    left = size - sum(shares)
    if left:
        losses: list[float] = [size * part % whole for part in parts]
        _give(left, shares, losses)
    return shares if total >= 0 else [-share for share in shares]


def allocate_floats(total: int, parts: Sequence[float]) -> list[int]:
    """Return the same for *parts* from 0 to 1, one of them more than 0.

    The shares sum to *total* exactly; which unit goes to whom is as exact as the parts.
    Those that are all below 1e-9 are to be made larger before.
    """
    size = abs(total)
    if size > _FLOATS_SHOW:
        return allocate(total, [int(part * _FINENESS) for part in parts])
    rate = size / sum(parts)
    exact = [part * rate for part in parts]
    shares = list(map(int, exact))
    left = size - sum(shares)
    if left:
        _give(left, shares, list(map(sub, exact, shares)))
    return shares if total >= 0 else [-share for share in shares]


def _give(left: int, shares: list[int], losses: list[float]) -> None:
    """Give the units that are left to those who lost most, of equals to the earlier."""
    if left <= _FEW:  # the sort below would say the same, later
        for _ in range(left):
            most = losses.index(max(losses))
            shares[most] += 1
            losses[most] = -1
        return
    by_loss = sorted(range(len(shares)), key=losses.__getitem__, reverse=True)
    for index in by_loss[:left]:
        shares[index] += 1


def in_units(parts: Sequence[int], unit: int) -> list[int]:
    """Return *parts* rounded to whole units, which add up to their sum so rounded.

    Raises:
        ValueError: If a part is negative.
    """
    total = (sum(parts) + unit // 2) // unit
    return allocate(total, parts) if any(parts) else [0] * len(parts)
