"""What the API says of attribution models, and of one that is tried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mbuzz.clock import iso
from mbuzz.server import money
from mbuzz.server.attribution.allocation import in_units
from mbuzz.server.attribution.dsl.errors import ProgramError
from mbuzz.server.attribution.dsl.json_form import to_json
from mbuzz.server.attribution.dsl.parser import parse
from mbuzz.server.attribution.models import Model
from mbuzz.server.attribution.preview import on_samples
from mbuzz.server.attribution.weights import WHOLE
from mbuzz.server.model import channel_label
from mbuzz.server.model_definitions import (
    CUSTOM,
    MARKOV,
    SHAPLEY,
    TIME_DECAY,
    Definition,
    definition_of,
)
from mbuzz.server.storage.model_port import ModelVersion, Recredit, TrainingRow
from mbuzz.server.tracking.preview import Tried

_DAY_MS = 86_400_000


def definition_body(definition: Definition) -> dict[str, object]:
    """Return what a model is; options that its base does not have are left out."""
    days = definition.lookback_days
    body: dict[str, object] = {
        "id": definition.key,
        "name": definition.name,
        "base": definition.base,
        "own": definition.own,
        "active": definition.active,
        "version": definition.version,
    }
    if definition.base == CUSTOM:
        return {**body, "program": definition.program}
    body["lookback_days"] = "all" if days == 0 else days
    body["exclude_direct"] = definition.exclude_direct
    if definition.base == TIME_DECAY:
        body["half_life_days"] = definition.half_life_days
    if definition.base == MARKOV:
        body["order"] = definition.order
    if definition.base == SHAPLEY:
        body["worth"] = definition.worth
    return body


def model_body(
    definition: Definition, training: TrainingRow | None, recredit: Recredit | None
) -> dict[str, object]:
    """Return a model with how far it is: whether it is trained, and has credited all.

    Of *training* and *recredit* there may be none.
    """
    body = {**definition_body(definition), "status": _status(definition, training)}
    if recredit is not None and recredit.finished_at_ms is None:
        body["status"] = "crediting"
        percent = 100 * recredit.reached // max(recredit.last, 1)
        body["credited_percent"] = min(percent, 100)
    if definition.learns:
        body["training"] = None if training is None else training_body(training)
    return body


def _status(definition: Definition, training: TrainingRow | None) -> str:
    if not definition.active:
        return "off"
    if definition.learns and (training is None or not training.version):
        return "untrained"
    return "ready"


def training_body(training: TrainingRow) -> dict[str, object]:
    """Return when a model was trained, and on how much."""
    return {
        "version": training.version,
        "trained_at": iso(training.trained_at_ms),
        "journeys": training.journeys,
        "conversions": training.conversions,
    }


def in_full(
    definition: Definition, training: TrainingRow | None, recredit: Recredit | None
) -> dict[str, object]:
    """Return a model with its program as a tree, or all that it has learned."""
    body = model_body(definition, training, recredit)
    if definition.program is not None:
        body["ast"] = to_json(parse(definition.program))
    if training is not None and training.state:
        body["training"] = {
            **training_body(training),
            "diagnostics": training.diagnostics,
        }
    return body


def version_body(version: ModelVersion) -> dict[str, object]:
    """Return what a model was, since when, and who made it so."""
    return {
        **definition_body(definition_of(version.definition)),
        "version": version.version,
        "created_at": iso(version.created_at_ms),
        "by": version.actor,
    }


def program_error_body(error: ProgramError) -> dict[str, object]:
    """Return where in a program what is wrong; of a tree the path instead of a line."""
    return {
        "code": error.code,
        "message": error.message,
        "line": error.line,
        "column": error.column,
        "path": error.place.path,
        "hint": error.hint,
        "text": error.render(),
    }


def samples_body(model: Model) -> list[dict[str, object]]:
    """Return what the touchpoints of journeys made for it get."""
    return [
        {
            "journey": name,
            "credits": [
                {
                    "channel": one.channel,
                    "days_to_conversion": one.before_ms / _DAY_MS,
                    "credit": one.credit / WHOLE,
                    "role": one.role or None,
                }
                for one in credits_
            ],
        }
        for name, credits_ in on_samples(model).items()
    ]


def tried_body(tried: Tried, currency: str) -> dict[str, object]:
    """Return what channels get under the model that is tried, and under the other."""
    channels = sorted({channel for sums in tried.sums for channel in sums})
    columns = [_column(sums, channels, currency) for sums in tried.sums]
    return {
        "conversions": tried.conversions,
        "older_left_out": tried.more,
        "currency": currency,
        "rows": [
            {
                "channel": channel,
                "label": channel_label(channel),
                "preview": columns[0][index],
                "compared": columns[1][index],
            }
            for index, channel in enumerate(channels)
        ],
    }


def _column(
    sums: Mapping[str, tuple[int, int]], channels: Sequence[str], currency: str
) -> list[Mapping[str, str]]:
    of = [sums.get(name, (0, 0)) for name in channels]
    counts = in_units([credit for credit, _ in of], WHOLE // 100)
    amounts = in_units([revenue for _, revenue in of], money.unit(currency))
    return [
        {
            "conversions": f"{count // 100}.{count % 100:02d}",
            "revenue": money.text(amount, currency),
        }
        for count, amount in zip(counts, amounts, strict=True)
    ]
