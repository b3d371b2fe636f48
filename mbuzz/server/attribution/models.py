"""Attribution models: how a conversion's credit is shared along its journey."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Final, TypeAlias

from mbuzz.server.attribution.allocation import allocate
from mbuzz.server.model import Credit, Touchpoint

# From a journey, never empty and in order, to a weight for each of its touchpoints.
# Weights are exact and only their proportions matter; a model that computes with
# floats converts them as they are, `Fraction(0.1)`, so that nothing is rounded twice.
Model: TypeAlias = Callable[[Sequence[Touchpoint]], Sequence[Fraction | int]]

WHOLE: Final = 1_000_000_000  # billionths in one conversion
_MICRO_DIGITS: Final = 6  # revenue credits are in millionths of the currency unit
_MOST_DECIMALS: Final = 4  # of a currency in ISO 4217 (CLF, UYW)


def first_touch(journey: Sequence[Touchpoint]) -> list[int]:
    """Return the weights that give everything to where the journey began."""
    return [1] + [0] * (len(journey) - 1)


def last_touch(journey: Sequence[Touchpoint]) -> list[int]:
    """Return the weights that give everything to the last one, direct or not."""
    return [0] * (len(journey) - 1) + [1]


def linear(journey: Sequence[Touchpoint]) -> list[int]:
    """Return equal weights: a channel met twice counts twice."""
    return [1] * len(journey)


MODELS: Final[Mapping[str, Model]] = MappingProxyType(
    {"first_touch": first_touch, "last_touch": last_touch, "linear": linear}
)

# Raised when a model gives other credits than before; each credit keeps its own.
MODEL_VERSIONS: Final[Mapping[str, int]] = MappingProxyType(dict.fromkeys(MODELS, 1))

MODEL_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {"first_touch": "First touch", "last_touch": "Last touch", "linear": "Linear"}
)


def credits(  # noqa: A001 - the builtin is for the interactive prompt only
    model: str,
    journey: Sequence[Touchpoint],
    revenue_minor: int | None,
    exponent: int,
) -> list[Credit]:
    """Return the credits of one conversion under *model*, in the journey's order.

    They sum to `WHOLE`, and their revenues to *revenue_minor*, both exactly; each is
    divided by the model's own weights, so revenue does not inherit the rounding of
    the credit. Touchpoints that get neither are left out; `Credit.position` still
    counts them. A conversion without a journey is one unattributed credit.

    Args:
        model: A key of `MODELS`.
        journey: What `eligible` returned.
        revenue_minor: In the currency's smallest unit, negative for a refund; None
            for a conversion without revenue.
        exponent: The currency's decimals, 0 to 4.

    Raises:
        ValueError: If the model is unknown, or *exponent* out of range.
    """
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}; got {model!r}")
    if not 0 <= exponent <= _MOST_DECIMALS:
        raise ValueError(f"exponent must be 0 to {_MOST_DECIMALS}, got {exponent!r}")
    revenue: int | None = None
    if revenue_minor is not None:
        revenue = revenue_minor * 10 ** (_MICRO_DIGITS - exponent)
    version = MODEL_VERSIONS.get(model, 1)
    if not journey:
        return [
            Credit(
                model=model,
                position=0,
                credit=WHOLE,
                revenue=revenue,
                touchpoint=None,
                version=version,
            )
        ]
    weights = MODELS[model](journey)
    shares = allocate(WHOLE, weights)
    revenues: Sequence[int | None] = [None] * len(journey)
    if revenue is not None:
        revenues = allocate(revenue, weights)
    return [
        Credit(
            model=model,
            position=position,
            credit=share,
            revenue=revenues[position],
            touchpoint=touchpoint,
            length=len(journey),
            weight=float(weights[position]),
            version=version,
        )
        for position, (touchpoint, share) in enumerate(
            zip(journey, shares, strict=True)
        )
        if share or revenues[position]
    ]
