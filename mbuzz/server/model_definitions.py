"""The models an account has: those known to everybody, and those it has defined."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Final

from mbuzz.server.attribution.coalitions import weigh_by_presence
from mbuzz.server.attribution.dsl.interpreter import compile_program
from mbuzz.server.attribution.dsl.parser import parse
from mbuzz.server.attribution.dsl.syntax import Selector, walk
from mbuzz.server.attribution.journeys import lookback_ms
from mbuzz.server.attribution.models import MODEL_LABELS, PRESETS, Model
from mbuzz.server.attribution.rules import HALF_LIFE_DAYS, MILESTONES, time_decay
from mbuzz.server.attribution.trained import TRAINED
from mbuzz.server.attribution.weights import Weigh

CUSTOM: Final = "custom"
TIME_DECAY: Final = "time_decay"
LAST_NON_DIRECT: Final = "last_non_direct"
MARKOV: Final = "markov"
SHAPLEY: Final = "shapley"
RATE: Final = "rate"  # the first of `WORTHS`, which has to be learned

# Whole journeys are known by its credits; so it is on in every account, unchanged.
JOURNEYS: Final = "linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a model is, whoever defined it.

    Attributes:
        key: What the API and every credit call it.
        name: What people call it.
        base: A key of `PRESETS`, one of `TRAINED`, or `CUSTOM`.
        version: Of the definition; what a data-driven one learned has its own.
        active: Whether conversions are credited under it.
        lookback_days: Its own window, 0 for no limit; None is the conversion's.
        exclude_direct: Whether direct visits count only where there are no others.
        half_life_days: Of `TIME_DECAY`.
        order: Of `MARKOV`: how many visits in a row are one state.
        worth: Of `SHAPLEY`.
        program: Of `CUSTOM`, as it was written.
    """

    key: str
    name: str
    base: str
    version: int = 1
    active: bool = True
    lookback_days: int | None = None
    exclude_direct: bool = False
    half_life_days: float = HALF_LIFE_DAYS
    order: int = 1
    worth: str = RATE
    program: str | None = None

    @property
    def learns(self) -> bool:
        """Tell whether it has to be trained."""
        return self.base in TRAINED and self.worth == RATE

    @property
    def own(self) -> bool:
        """Tell whether the account has defined it."""
        return self.key not in BUILT_IN

    def gives_as(self, other: Definition) -> bool:
        """Tell whether *other* gives the same, whatever it is called."""
        alike = replace(other, name=self.name, active=self.active, version=self.version)
        return alike == self

    def model(self) -> Model:
        """Return it as it is applied.

        Raises:
            ProgramError: If its program is none.
        """
        assert not self.learns, "what it weighs by is learned"
        if self.base == CUSTOM:
            assert self.program is not None
            return compile_program(self.program, self.key, self.version)
        preset = PRESETS.get(self.base)
        if self.base == TIME_DECAY:
            weigh: Weigh = partial(time_decay, half_life_days=self.half_life_days)
        elif preset is not None:
            weigh = preset.weigh
        else:
            weigh = weigh_by_presence
        return self.weighing(weigh, self.version)

    def weighing(self, weigh: Weigh, version: int) -> Model:
        """Return the model that looks at what this one does, and weighs it so."""
        days = self.lookback_days
        return Model(
            key=self.key,
            weigh=weigh,
            version=version,
            lookback_ms=None if days is None else lookback_ms(days),
            exclude_direct=self.exclude_direct or self.base == LAST_NON_DIRECT,
        )

    def milestones(self) -> frozenset[str]:
        """Return the names of the milestones that it asks for."""
        if self.program is not None:
            return frozenset(
                str(part.argument)
                for part in walk(parse(self.program))
                if isinstance(part, Selector) and part.name == "milestone"
            )
        return MILESTONES.get(self.base, frozenset())


BUILT_IN: Final[Mapping[str, Definition]] = MappingProxyType(
    {
        key: Definition(key=key, name=name, base=key)
        for key, name in MODEL_LABELS.items()
    }
)


def milestone_name(name: str) -> str:
    """Return a milestone's name as those of events and conversions are compared.

    Of letters only A to Z are made small, as SQL does it.
    """
    return name.strip().encode().lower().decode().replace(" ", "_")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Models:
    """An account's models; compared by identity.

    Attributes:
        definitions: All of them, by key.
        rules: Those that credit a conversion at once.
        learned: Those that do once they are trained.
        milestones: The names that the rules ask for, as they have them.
        asked_for: The same, as events are compared with them.
    """

    definitions: Mapping[str, Definition]
    rules: tuple[Model, ...] = ()
    learned: tuple[Definition, ...] = ()
    milestones: frozenset[str] = frozenset()
    asked_for: frozenset[str] = frozenset()

    @property
    def active(self) -> list[str]:
        """Return the keys of those that conversions are credited under."""
        return [key for key, one in self.definitions.items() if one.active]

    def widest_ms(self, lookback_days: int) -> int:
        """Return the window that no model sees beyond; 0 is no limit.

        *lookback_days* is the conversion's own.
        """
        windows = {lookback_ms(lookback_days)}
        windows.update(m.lookback_ms for m in self.rules if m.lookback_ms is not None)
        own = (one.lookback_days for one in self.learned)
        windows.update(lookback_ms(days) for days in own if days is not None)
        return 0 if 0 in windows else max(windows)


def among(definitions: Iterable[Definition], models: Iterable[Model]) -> Models:
    """Return *models* alone, as if they were an account's; *definitions* are theirs."""
    milestones = frozenset().union(*(one.milestones() for one in definitions))
    return Models(definitions={}, rules=tuple(models), milestones=milestones)


def _assembled(changed: Iterable[Definition]) -> Models:
    definitions = {**BUILT_IN, **{one.key: one for one in changed}}
    active = [one for one in definitions.values() if one.active]
    rules = [one for one in active if not one.learns]
    milestones = frozenset().union(*(one.milestones() for one in rules))
    return Models(
        definitions=MappingProxyType(definitions),
        rules=tuple(one.model() for one in rules),
        learned=tuple(one for one in active if one.learns),
        milestones=milestones,
        asked_for=frozenset(map(milestone_name, milestones)),
    )


@lru_cache(maxsize=1_024)
def models_of(text: str) -> Models:
    """Return the models of an account that has chosen so (JSON), the same for the same.

    All that are not named are as everybody knows them.
    """
    return _assembled(Definition(**one) for one in json.loads(text))


def as_text(definitions: Iterable[Definition]) -> str:
    """Return what `models_of` reads: those that are not as everybody knows them."""
    changed = [asdict(one) for one in definitions if one != BUILT_IN.get(one.key)]
    return json.dumps(changed, separators=(",", ":"), sort_keys=True)


def definition_text(definition: Definition) -> str:
    """Return a definition as JSON, which `definition_of` reads."""
    return json.dumps(asdict(definition), separators=(",", ":"), sort_keys=True)


def definition_of(text: str) -> Definition:
    """Return the definition that `definition_text` wrote."""
    return Definition(**json.loads(text))


STANDARD: Final = models_of("[]")
