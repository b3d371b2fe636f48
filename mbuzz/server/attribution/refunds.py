"""What refunds take back: from whom the sale's revenue went to, in the same parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mbuzz.server.attribution.allocation import allocate
from mbuzz.server.model import Credit


def taken_back(
    credits_: Sequence[Credit], amounts: Sequence[int]
) -> list[list[Credit]]:
    """Return what each of the refunds *amounts* takes back of one model's credits.

    An amount is divided as the revenue was, so that the parts of a refund sum to it
    exactly. The refund after which nothing is left takes what the others left of each
    part: a sale given back in instalments leaves no millionth anywhere. Revenues are
    negative, conversions are not taken back.

    Args:
        credits_: Of one conversion under one model; their revenues sum to its own.
        amounts: In millionths of the currency unit, in the order of the refunds.

    Raises:
        ValueError: If the amounts are more than the revenue, or one is not positive.
    """
    parts = [credit.revenue or 0 for credit in credits_]
    remaining = sum(parts)
    if any(amount <= 0 for amount in amounts) or sum(amounts) > remaining:
        raise ValueError("refunds must be more than 0, and their sum at most the sale")
    left, refunds = list(parts), []
    for amount in amounts:
        remaining -= amount
        taken = allocate(amount, parts) if remaining else list(left)
        left = [kept - gone for kept, gone in zip(left, taken, strict=True)]
        refunds.append(
            [
                replace(credit, credit=0, revenue=-gone)
                for credit, gone in zip(credits_, taken, strict=True)
                if gone
            ]
        )
    return refunds
