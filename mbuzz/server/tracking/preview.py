"""A model tried out on an account's own conversions, beside another one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mbuzz.server import money
from mbuzz.server.attribution.models import Model
from mbuzz.server.attribution.totals import channel_totals
from mbuzz.server.attribution.trained import restore
from mbuzz.server.model import Tenant
from mbuzz.server.model_definitions import CUSTOM, Definition, among, definition_of
from mbuzz.server.policy import Policy
from mbuzz.server.storage.port import Stores
from mbuzz.server.tracking.journeys import known_of, source_of


class UntrainedError(ValueError):
    """A data-driven model was to be tried that has not learned anything yet."""


class Tried(NamedTuple):
    """What came of it: what channels get under each model, of how many conversions.

    Sums are in billionths of conversions and millionths of the currency unit.

    `more` says that the period has others, which are older.
    """

    sums: Sequence[Mapping[str, tuple[int, int]]]
    conversions: int
    more: bool


def as_model(
    stores: Stores, tenant: Tenant, definition: Definition, version: int | None = None
) -> tuple[Definition, Model]:
    """Return a definition and its model; a data-driven one as of a training, or now.

    Raises:
        UntrainedError: If it has not been trained, or not that often.
    """
    if not definition.learns:
        return definition, definition.model()
    if definition.key == CUSTOM:
        raise UntrainedError(
            f"{definition.base} learns before it gives anything: make the model, or "
            "give as model one that has learned"
        )
    training = stores.models.training(tenant, definition.key, version)
    if training is None or not training.state:
        raise UntrainedError(
            f"{definition.key} has not been trained"
            f"{'' if version is None else f' {version} times'} on this data; "
            "`mbuzz jobs run training` trains it, and `mbuzz serve` does by itself"
        )
    then = definition_of(training.definition)
    learned = restore(then.base, json.loads(training.state))
    return then, then.weighing(learned.weigh, training.version)


def try_out(
    stores: Stores,
    tenant: Tenant,
    policy: Policy,
    tried: Sequence[tuple[Definition, Model]],
    span: tuple[int, int],
    currency: str,
    most: int,
) -> Tried:
    """Credit the latest conversions of a period under some models, and keep nothing.

    At most *most* of those in *currency*; *span* is [from, to) in milliseconds.
    """
    models = among([one for one, _ in tried], [model for _, model in tried])
    found = stores.models.recent_conversions(tenant, *span, currency, most + 1)
    tried_on = []
    for conversion in found[:most]:
        source = source_of(stores.tracking, tenant, conversion)
        known = known_of(stores.tracking, tenant, policy, source, models)
        revenue = money.millionths(conversion.revenue_minor, conversion.currency)
        journey = known.journey._replace(revenue=revenue)
        tried_on.append(known._replace(journey=journey))
    sums = [
        channel_totals(model, (known.shown_to(model) for known in tried_on))
        for model in models.rules
    ]
    return Tried(sums, len(tried_on), len(found) > most)
