"""What refunds take back: from whom the sale's credit went to, in the same parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mbuzz.server.attribution.models import credits as credits_of
from mbuzz.server.model import Credit, Touchpoint


def taken_back(
    model: str,
    journey: Sequence[Touchpoint],
    revenue_minor: int,
    amounts: Sequence[int],
    exponent: int,
) -> list[list[Credit]]:
    """Return what each of the refunds *amounts* takes back under *model*.

    An amount is divided as the revenue was, by the model's own weights, so that the
    parts of a refund sum to it exactly. The refund after which nothing is left takes
    what the others left of each part: a sale given back in instalments leaves no
    millionth anywhere. Revenues are negative, conversions are not taken back.

    Raises:
        ValueError: If the amounts are more than the revenue, or one is not positive.
    """
    if any(amount <= 0 for amount in amounts) or sum(amounts) > revenue_minor:
        raise ValueError("refunds must be more than 0, and their sum at most the sale")
    left = {
        credit.position: credit
        for credit in credits_of(model, journey, revenue_minor, exponent)
    }
    remaining = revenue_minor
    refunds = []
    for amount in amounts:
        remaining -= amount
        if remaining:
            taken = credits_of(model, journey, -amount, exponent)
        else:
            taken = [_given_back(credit) for credit in left.values()]
        for credit in taken:
            kept = left[credit.position]
            revenue = (kept.revenue or 0) + (credit.revenue or 0)
            left[credit.position] = replace(kept, revenue=revenue)
        refunds.append([replace(c, credit=0) for c in taken if c.revenue])
    return refunds


def _given_back(credit: Credit) -> Credit:
    return replace(credit, revenue=-(credit.revenue or 0))
