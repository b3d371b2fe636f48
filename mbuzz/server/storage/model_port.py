"""What attribution models ask of storage; `port` puts it beside the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mbuzz.server.model import Tenant
from mbuzz.server.storage.rows.conversions import ConversionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A definition that a model had from then on, as JSON; who gave it."""

    model: str
    version: int
    definition: str
    actor: str
    created_at_ms: int


class Trained(NamedTuple):
    """Which training of a model is in force; `public_id` is of all databases one."""

    model: str
    version: int
    public_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """What a model learned; `known` counts the conversions that there were."""

    public_id: str
    model: str
    version: int
    definition: str
    journeys: int
    conversions: int
    known: int
    state: str
    diagnostics: Mapping[str, object]
    trained_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recredit:
    """A model under which all conversions are credited anew, from `from_ms` on.

    `last` is the row of the latest when it was asked for.
    """

    model: str
    reached: int
    last: int
    from_ms: int
    finished_at_ms: int | None


class LearnedJourney(NamedTuple):
    """A conversion's journey: channels and times before it, the oldest first."""

    conversion: int
    channels: tuple[str, ...]
    before_ms: tuple[int, ...]


class Visit(NamedTuple):
    """A visit, by the row of its visitor."""

    visitor: int
    started_at_ms: int
    channel: str


class Link(NamedTuple):
    """That a visitor was somebody from then until then; `until_ms` None is for ever."""

    visitor: int
    from_ms: int
    until_ms: int | None
    identity: int  # whom the identity was merged into, if into any


class TrainedStore(Protocol):
    """What was learned, in the way of every conversion."""

    def trained(self, tenant: Tenant, models: Iterable[str]) -> Sequence[Trained]: ...
    def training_state(self, tenant: Tenant, public_id: str) -> str: ...


class ModelStore(TrainedStore, Protocol):
    """Training, and credit that is given anew."""

    def add_training(self, tenant: Tenant, training: TrainingRow) -> None: ...
    def confirm_training(self, tenant: Tenant, training: TrainingRow) -> None: ...
    def last_training(self, tenant: Tenant, model: str) -> TrainingRow | None: ...
    def training(
        self, tenant: Tenant, model: str, version: int | None = None
    ) -> TrainingRow | None: ...
    def training_versions(
        self, tenant: Tenant, model: str
    ) -> Sequence[TrainingRow]: ...
    def forget_trainings(self, tenant: Tenant, model: str) -> None: ...
    def count_conversions(self, tenant: Tenant, most: int) -> int: ...
    def learned_journeys(
        self, tenant: Tenant, after: int, most: int
    ) -> Sequence[LearnedJourney]: ...
    def latest_conversions(
        self, tenant: Tenant
    ) -> Sequence[tuple[int | None, int | None, int]]: ...
    def links(self, tenant: Tenant) -> Sequence[Link]: ...
    def visits(
        self, tenant: Tenant, after: int, until: int, from_ms: int
    ) -> Sequence[Visit]: ...
    def next_visitor(self, tenant: Tenant, after: int, step: int) -> int | None: ...

    def ask_recredit(self, tenant: Tenant, model: str, from_ms: int) -> None: ...
    def recredits(self, tenant: Tenant) -> Sequence[Recredit]: ...
    def open_recredits(self) -> Sequence[Tenant]: ...
    def advance_recredit(
        self, tenant: Tenant, model: str, reached: int, finished_at_ms: int | None
    ) -> None: ...
    def conversions_after(
        self, tenant: Tenant, after: int, most: int
    ) -> Sequence[ConversionRow]: ...
    def recent_conversions(
        self, tenant: Tenant, from_ms: int, to_ms: int, currency: str, most: int
    ) -> Sequence[ConversionRow]: ...
