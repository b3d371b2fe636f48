"""The data-driven models as they are trained, kept as JSON and applied again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from mbuzz.server.attribution import algorithmic, markov, shapley
from mbuzz.server.attribution.algorithmic import AlgorithmicModel
from mbuzz.server.attribution.coalitions import (
    Shares,
    weigh_by_presence,
    weigh_by_share,
)
from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.paths import Path, PathTable
from mbuzz.server.attribution.shapley import Rate
from mbuzz.server.attribution.weights import Weigh, Weights

TRAINED: Final = ("markov", "shapley", "algorithmic")
WORTHS: Final = ("rate", "conversions")
SMALL_SAMPLE: Final = 30  # conversions; of fewer the diagnostics warn

_Json: TypeAlias = dict[str, Any]

# Divisions that were seen are kept, so many of them, of journeys so long.
_KEPT: Final = 20_000
_SHORT: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model that has learned.

    Attributes:
        key: ``markov``, ``shapley`` or ``algorithmic``.
        weigh: How it divides a journey. A channel that it does not know gets nothing
            beside others that it knows.
        state: All that `restore` needs to divide journeys just so, as JSON can have it.
        diagnostics: What it learned, for people, as JSON can have it; empty if it was
            restored.
    """

    key: str
    weigh: Weigh
    state: Mapping[str, Any]
    diagnostics: Mapping[str, Any]


def train(
    key: str, table: PathTable, *, order: int = 1, worth: str = "rate"
) -> Trained:
    """Return the model *key* as it learns from *table*.

    Args:
        key: One of `TRAINED`.
        table: Journeys that converted, and journeys that did not.
        order: Of a Markov chain, 1 to 4.
        worth: What a set of channels is worth to the Shapley model: the ``rate`` at
            which it converts, or its ``conversions``, which needs nothing learned.

    Raises:
        ValueError: If there is no such model, order or worth.
        NoConversionsError: If a Markov chain, or rates, are to be learned of none.
    """
    _check(key, worth)
    learned, found = {
        "markov": lambda: _markov(table, order),
        "shapley": lambda: _shapley(table, worth),
        "algorithmic": lambda: _algorithmic(table),
    }[key]()
    conversions = table.conversions
    return Trained(
        key=key,
        weigh=_weigh(key, learned),
        state=learned,
        diagnostics={
            "journeys": table.journeys,
            "conversions": conversions,
            "revenue": table.revenue,
            "channels": list(table.channels),
            "small_sample": conversions < SMALL_SAMPLE,
            **found,
        },
    )


def restore(key: str, state: Mapping[str, Any]) -> Trained:
    """Return the model *key* as it was when it had that *state*: the same credits.

    Raises:
        ValueError: If there is no such model.
    """
    _check(key, state.get("worth", "rate"))
    return Trained(key=key, weigh=_weigh(key, state), state=state, diagnostics={})


def _check(key: str, worth: str) -> None:
    if key not in TRAINED:
        raise ValueError(f"model must be one of {', '.join(TRAINED)}; got {key!r}")
    if worth not in WORTHS:
        raise ValueError(f"worth must be one of {', '.join(WORTHS)}; got {worth!r}")


def _markov(table: PathTable, order: int) -> tuple[_Json, _Json]:
    model = markov.train(table, order)
    effects = dict(model.removal_effects)
    return {"order": order, "removal_effects": effects}, {
        "order": order,
        "states": model.states,
        "conversion_probability": model.conversion_probability,
        "removal_effects": effects,
        "value_removal_effects": dict(model.value_removal_effects),
        "estimated": list(model.estimated),
        "channel_conversions": model.channel_conversions(),
        "channel_revenue": model.channel_revenue(),
        "transitions": {name: dict(row) for name, row in model.transitions.items()},
    }


def _shapley(table: PathTable, worth: str) -> tuple[_Json, _Json]:
    if worth == "conversions":
        return {"worth": worth}, {"worth": worth}
    model = shapley.train(table)
    number = {channel: index for index, channel in enumerate(model.channels)}
    rates = [
        [
            [number[channel] for channel in rate.channels],
            rate.journeys,
            rate.conversions,
        ]
        for rate in model.rates
    ]
    return {"worth": worth, "channels": list(model.channels), "rates": rates}, {
        "worth": worth,
        "sets": len(rates),
        "too_large_sets": model.too_large,
        "raw_conversions": dict(model.raw_conversions),
        "raw_revenue": dict(model.raw_revenue),
    }


def _algorithmic(table: PathTable) -> tuple[_Json, _Json]:
    model = algorithmic.train(table)
    learned = {
        "intercept": model.intercept,
        "coefficients": dict(model.coefficients),
        "fallback": model.fallback,
    }
    return learned, learned


def _weigh(key: str, state: Mapping[str, Any]) -> Weigh:
    if key == "markov":
        effects = state["removal_effects"]
        return _kept(lambda journey: markov.weigh_by_channel(effects, journey))
    if key == "algorithmic":
        return _by_share(AlgorithmicModel(**state).shares)
    if state["worth"] == "conversions":
        return _kept(weigh_by_presence)
    names = state["channels"]
    return _by_share(
        shapley.shares_of(
            [
                Rate(tuple([names[index] for index in members]), journeys, conversions)
                for members, journeys, conversions in state["rates"]
            ]
        )
    )


def _by_share(shares: Shares) -> Weigh:
    """Have the shares of a set of channels, too, reckoned once."""
    known = lru_cache(_KEPT)(shares)
    return _kept(
        lambda journey: weigh_by_share(known(frozenset(journey.channels)), journey)
    )


def _kept(weigh: Weigh) -> Weigh:
    """Have a division that looks at channels alone done once for each short path."""

    @lru_cache(_KEPT)
    def known(channels: Path) -> Weights:
        return weigh(Journey(channels, ()))

    def look(journey: Journey) -> Weights:
        channels = journey.channels
        return known(channels) if len(channels) <= _SHORT else weigh(journey)

    return look
