"""The answer of `mbuzz attribute` for programs: one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TextIO

from mbuzz.cli.attribution.earnings import Earnings, shares
from mbuzz.cli.attribution.sample import Sample
from mbuzz.server.attribution.models import Model
from mbuzz.server.attribution.weights import WHOLE

_MILLION = 10**6
_NOTHING = f"0.{0:09d}"


def write(
    out: TextIO,
    sample: Sample,
    found: Mapping[str, Earnings],
    left_out: Mapping[str, str],
    *,
    credits_: bool,
) -> None:
    """Write what was found, with *credits_* also what each touch got.

    Amounts are decimal text, exact, as are the credits of touches.
    """
    head = {
        "journeys": sample.journeys,
        "conversions": sample.converted,
        "revenue": amount(sample.revenue),
        "models": {name: _model(one) for name, one in found.items()},
        "left_out": dict(left_out),
    }
    text = json.dumps(head)
    if not credits_:
        print(text, file=out)
        return
    out.write(f'{text[:-1]}, "credits": {{')  # piece by piece: it may be very long
    for count, (name, one) in enumerate(found.items()):
        out.write(f"{', ' if count else ''}{json.dumps(name)}: {{")
        _write_credits(out, sample, one.fitted.model)
        out.write("}")
    print("}}", file=out)


def _write_credits(out: TextIO, sample: Sample, model: Model) -> None:
    for count, one in enumerate(sample.conversions):
        texts = [_NOTHING] * one.touches
        for position, credit in shares(sample, model, one):
            texts[one.places[position]] = billionths(credit)
        comma = ", " if count else ""
        out.write(f"{comma}{json.dumps(one.id)}: {json.dumps(texts)}")


def _model(earned: Earnings) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "conversions": {name: n / WHOLE for name, n in earned.credits.items()},
        "revenue": {name: amount(n) for name, n in earned.revenues.items()},
    }
    chain = earned.fitted.chain
    if chain is not None:
        entry["order"] = chain.order
        entry["channel_report"] = {
            "conversions": chain.channel_conversions(),
            "revenue": {
                name: amount(round(n)) for name, n in chain.channel_revenue().items()
            },
        }
        entry["removal_effects"] = dict(chain.removal_effects)
        if chain.estimated:
            entry["estimated"] = list(chain.estimated)
    if earned.fitted.fallback:
        entry["fallback"] = True
    return entry


def amount(millionths: int) -> str:
    """Return an amount as decimal text with at least two decimals."""
    size = abs(millionths)
    fraction = f"{size % _MILLION:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if millionths < 0 else ''}{size // _MILLION}.{fraction}"


def billionths(credit: int) -> str:
    """Return a credit as decimal text with all its nine decimals."""
    return f"{credit // WHOLE}.{credit % WHOLE:09d}"
