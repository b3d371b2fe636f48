"""The models that `mbuzz attribute` is asked for, taught where they learn."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Final

from mbuzz.cli.attribution.sample import Sample
from mbuzz.errors import ConfigurationError
from mbuzz.server.attribution import algorithmic, markov, shapley
from mbuzz.server.attribution.dsl import syntax
from mbuzz.server.attribution.dsl.interpreter import compile_parsed
from mbuzz.server.attribution.markov import MarkovModel
from mbuzz.server.attribution.models import PRESETS, Model
from mbuzz.server.attribution.paths import NoConversionsError, PathTable
from mbuzz.server.attribution.rules import time_decay

ALL: Final = "all"
CUSTOM: Final = "custom"
BY_CONVERSIONS: Final = "shapley_conversions"
RULES: Final = (*PRESETS,)
LEARNED: Final = ("markov", "shapley", BY_CONVERSIONS, "algorithmic")
# Those that need no file.
NAMES: Final = RULES + LEARNED
# What these need is not in a table of paths.
_MISSING: Final[Mapping[str, str]] = MappingProxyType(
    {
        "time_decay": "the times of touches",
        "w_shaped": "the time of the milestone mql",
        "z_shaped": "the times of the milestones mql and sql",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What changes models.

    Attributes:
        order: Of the Markov chain.
        half_life_days: Of time decay.
        exclude_direct: Whether rules see direct touches only where there are no others.
    """

    order: int
    half_life_days: float
    exclude_direct: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A model that is ready.

    Attributes:
        model: What divides journeys.
        chain: What was learned, of a Markov model.
        fallback: Whether it had nothing to learn from, and so is the same to all.
    """

    model: Model
    chain: MarkovModel | None = None
    fallback: bool = False


def chosen(names: Sequence[str], *, custom: bool, by_conversions: bool) -> list[str]:
    """Return the names of models once each; none given are all, or the *custom* one.

    With *by_conversions* "shapley" is the variant of that name.

    Raises:
        ConfigurationError: If there is no such model, or no file of a custom one.
    """
    found: dict[str, None] = {}
    for name in names or ([] if custom else [ALL]):
        if name == CUSTOM and not custom:
            raise ConfigurationError("the model custom needs --model-file, its program")
        if name not in (*NAMES, ALL, CUSTOM):
            raise ConfigurationError(
                f"there is no model {name!r}; choose from {', '.join(NAMES)}, "
                f"{ALL}, or give your own with --model-file"
            )
        found.update(dict.fromkeys(NAMES if name == ALL else [name]))
    if custom:
        found[CUSTOM] = None
    by_name = {"shapley": BY_CONVERSIONS} if by_conversions else {}
    return [*dict.fromkeys(by_name.get(name, name) for name in found)]


class CannotFitError(ValueError):
    """What was read has too little for a model; the text says of what."""


def _asks_for_times(part: object) -> bool:
    if isinstance(part, syntax.Age | syntax.Recency | syntax.Lookback):
        return True
    if isinstance(part, syntax.Selector):
        return part.name == "milestone"
    if isinstance(part, tuple):
        return any(map(_asks_for_times, part))
    if dataclasses.is_dataclass(part):
        fields = dataclasses.fields(part)
        return any(_asks_for_times(getattr(part, field.name)) for field in fields)
    return False


class Fitter:
    """Makes models ready for the journeys of a sample."""

    def __init__(
        self, sample: Sample, options: Options, program: syntax.Program | None
    ) -> None:
        self._sample = sample
        self._options = options
        self._program = program

    def fit(self, name: str) -> Fitted:
        """Return the model *name*.

        Raises:
            CannotFitError: If the sample is not enough for it.
        """
        if not self._sample.timed:
            self._check_paths_do(name)
        if name == CUSTOM:
            assert self._program is not None, "`chosen` has checked this"
            return Fitted(model=compile_parsed(self._program))
        if name in RULES:
            return Fitted(model=self._rule(name))
        try:
            return self._learned(name)
        except NoConversionsError as error:
            raise CannotFitError(str(error)) from None

    def _check_paths_do(self, name: str) -> None:
        missing = _MISSING.get(name)
        if name == CUSTOM and _asks_for_times(self._program):
            missing = "the times of touches or milestones"
        if missing:
            raise CannotFitError(
                f"it needs {missing}, which a table of paths does not have"
            )

    def _rule(self, name: str) -> Model:
        options, model = self._options, PRESETS[name]
        if name == "time_decay":
            weigh = partial(time_decay, half_life_days=options.half_life_days)
            model = replace(model, weigh=weigh)
        return replace(model, exclude_direct=True) if options.exclude_direct else model

    def _learned(self, name: str) -> Fitted:
        if name == "markov":
            chain = markov.train(self._table, self._options.order)
            return Fitted(model=Model(key=name, weigh=chain.weigh), chain=chain)
        if name == "shapley":
            return Fitted(model=Model(key=name, weigh=shapley.train(self._table).weigh))
        if name == BY_CONVERSIONS:
            return Fitted(model=Model(key=name, weigh=shapley.weigh_by_presence))
        learned = algorithmic.train(self._table)
        return Fitted(
            model=Model(key=name, weigh=learned.weigh), fallback=learned.fallback
        )

    @cached_property
    def _table(self) -> PathTable:
        sample, table = self._sample, PathTable()
        for one in sample.conversions:
            journey = sample.seen(one)
            table.add(
                journey.channels,
                conversions=one.occurrences,
                revenue=journey.revenue or 0,
            )
        for path, count in sample.nulls.items():
            table.add(path, nulls=count)
        return table
