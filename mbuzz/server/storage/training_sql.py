"""SQL of what data-driven models learned, and of the journeys they learn from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import TENANT, Connection, Row, dump, first, owner
from mbuzz.server.storage.model_port import (
    LearnedJourney,
    Link,
    Trained,
    TrainingRow,
    Visit,
)

KEPT: Final = 60  # trainings of a model; of rates of many channels each is large

_SAID = (
    "public_id, model, version, definition, journeys, conversions, known, trained_at_ms"
)
_FROM = f"FROM trainings WHERE {TENANT} AND model = :model"


def _training(row: Row) -> TrainingRow:
    return TrainingRow(
        public_id=row[0],
        model=row[1],
        version=row[2],
        definition=row[3],
        journeys=row[4],
        conversions=row[5],
        known=row[6],
        trained_at_ms=row[7],
        state=row[8],
        diagnostics=json.loads(row[9]),
    )


class SqlTrainedStore:
    """`TrainedStore` in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def trained(self, tenant: Tenant, models: Iterable[str]) -> Sequence[Trained]:
        """Return the latest training of those *models* that have learned something."""
        rows = self._db.rows(
            "SELECT t.model, t.version, t.public_id FROM json_each(:models) j"
            " CROSS JOIN trainings t ON t.account_id = :account_id AND t.live = :live"
            " AND t.model = j.value AND t.version = (SELECT MAX(o.version)"
            " FROM trainings o WHERE o.account_id = :account_id AND o.live = :live"
            " AND o.model = j.value) WHERE t.version > 0",
            {**owner(tenant), "models": json.dumps(list(models))},
        )
        return [Trained(*row) for row in rows]

    def training_state(self, tenant: Tenant, public_id: str) -> str:
        ((state,),) = self._db.rows(
            f"SELECT state FROM trainings WHERE {TENANT} AND public_id = :public_id",
            {**owner(tenant), "public_id": public_id},
        )
        return str(state)


class SqlTrainingStore(SqlTrainedStore):
    """The part of `ModelStore` about training."""

    def add_training(self, tenant: Tenant, training: TrainingRow) -> None:
        """Keep a training, and the `KEPT` before it.

        Version 0 is of one that had nothing to learn from.
        """
        self._db.run(
            f"DELETE FROM trainings WHERE {TENANT} AND model = :model"
            " AND version < :oldest",
            {
                **owner(tenant),
                "model": training.model,
                "oldest": training.version - KEPT,
            },
        )
        values = {
            **owner(tenant),
            "public_id": training.public_id,
            "model": training.model,
            "version": training.version,
            "definition": training.definition,
            "journeys": training.journeys,
            "conversions": training.conversions,
            "known": training.known,
            "state": training.state,
            "diagnostics": dump(dict(training.diagnostics)),
            "trained_at_ms": training.trained_at_ms,
        }
        marks = ", ".join(f":{name}" for name in values)
        self._db.run(
            f"INSERT INTO trainings ({', '.join(values)}) VALUES ({marks})", values
        )

    def confirm_training(self, tenant: Tenant, training: TrainingRow) -> None:
        """Keep that a training had the result of the version before once more."""
        changed = self._db.run(
            "UPDATE trainings SET journeys = :journeys, conversions = :conversions,"
            " known = :known, definition = :definition, diagnostics = :diagnostics,"
            f" trained_at_ms = :at WHERE {TENANT} AND model = :model"
            " AND version = :version",
            {
                **owner(tenant),
                "model": training.model,
                "version": training.version,
                "journeys": training.journeys,
                "conversions": training.conversions,
                "known": training.known,
                "definition": training.definition,
                "diagnostics": dump(dict(training.diagnostics)),
                "at": training.trained_at_ms,
            },
        )
        if not changed:
            self.add_training(tenant, training)

    def last_training(self, tenant: Tenant, model: str) -> TrainingRow | None:
        """Return when a model was trained last, on how much, but not what it learned.

        Its version is 0 if there was nothing to learn from.
        """
        row = first(
            self._db.rows(
                f"SELECT {_SAID}, '', '{{}}' {_FROM} ORDER BY version DESC LIMIT 1",
                {**owner(tenant), "model": model},
            )
        )
        return None if row is None else _training(row)

    def training(
        self, tenant: Tenant, model: str, version: int | None = None
    ) -> TrainingRow | None:
        """Return what a model learned then, or latest, with all of it."""
        which = "" if version is None else " AND version = :version"
        row = first(
            self._db.rows(
                f"SELECT {_SAID}, state, diagnostics {_FROM}{which}"
                " ORDER BY version DESC LIMIT 1",
                {**owner(tenant), "model": model, "version": version},
            )
        )
        return None if row is None else _training(row)

    def training_versions(self, tenant: Tenant, model: str) -> Sequence[TrainingRow]:
        """Return when a model learned from how much, the latest first."""
        rows = self._db.rows(
            f"SELECT {_SAID}, '', '{{}}' {_FROM} AND version > 0 ORDER BY version DESC",
            {**owner(tenant), "model": model},
        )
        return [_training(row) for row in rows]

    def forget_trainings(self, tenant: Tenant, model: str) -> None:
        self._db.run(
            f"DELETE FROM trainings WHERE {TENANT} AND model = :model",
            {**owner(tenant), "model": model},
        )

    # -- what there is to learn from --

    def count_conversions(self, tenant: Tenant, most: int) -> int:
        """Return how many conversions there are, counting up to *most*."""
        ((count,),) = self._db.rows(
            "SELECT COUNT(*) FROM (SELECT 1 FROM conversions"
            f" WHERE {TENANT} LIMIT :most)",
            {**owner(tenant), "most": most},
        )
        return int(count)

    def learned_journeys(
        self, tenant: Tenant, after: int, most: int
    ) -> Sequence[LearnedJourney]:
        """Return journeys of conversions after a row, some of which may have none.

        Those of renewals are left out: their acquisition's was theirs.
        """
        rows = self._db.rows(
            "SELECT k.id, c.channel, c.before_ms, k.inherited_from"
            " FROM (SELECT id, inherited_from FROM conversions"
            f" WHERE {TENANT} AND id > :after ORDER BY id LIMIT :most) k"
            " LEFT JOIN credits c ON c.account_id = :account_id AND c.live = :live"
            " AND c.conversion = k.id AND c.model = 'linear'"
            " ORDER BY k.id, c.position",
            {**owner(tenant), "after": after, "most": most},
        )
        journeys = []
        for conversion, found in groupby(rows, key=lambda row: int(row[0])):
            visits = [row for row in found if row[2] is not None and row[3] is None]
            journeys.append(
                LearnedJourney(
                    conversion,
                    tuple(row[1] for row in visits),
                    tuple(row[2] for row in visits),
                )
            )
        return journeys

    def latest_conversions(
        self, tenant: Tenant
    ) -> Sequence[tuple[int | None, int | None, int]]:
        """Return identity, visitor and time of what each pair of them did last."""
        rows = self._db.rows(
            "SELECT COALESCE(i.root_id, i.id), c.visitor, MAX(c.converted_at_ms)"
            " FROM conversions c LEFT JOIN links l ON c.identity IS NULL"
            " AND l.visitor = c.visitor AND l.account_id = c.account_id"
            " AND l.live = c.live AND l.linked_from_ms <= c.converted_at_ms"
            " AND (l.linked_until_ms IS NULL OR l.linked_until_ms > c.converted_at_ms)"
            " LEFT JOIN identities i ON i.id = COALESCE(c.identity, l.identity)"
            " WHERE c.account_id = :account_id AND c.live = :live"
            " AND c.voided_at_ms IS NULL GROUP BY 1, 2",
            owner(tenant),
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def links(self, tenant: Tenant) -> Sequence[Link]:
        rows = self._db.rows(
            "SELECT l.visitor, l.linked_from_ms, l.linked_until_ms,"
            " COALESCE(i.root_id, i.id) FROM links l"
            " JOIN identities i ON i.id = l.identity"
            " WHERE l.account_id = :account_id AND l.live = :live"
            " ORDER BY l.visitor, l.linked_from_ms",
            owner(tenant),
        )
        return [Link(*row) for row in rows]

    def next_visitor(self, tenant: Tenant, after: int, step: int) -> int | None:
        """Return the visitor of the visit *step* further; None if there are fewer."""
        row = first(
            self._db.rows(
                f"SELECT visitor FROM sessions WHERE {TENANT} AND visitor > :after"
                " ORDER BY visitor LIMIT 1 OFFSET :step",
                {**owner(tenant), "after": after, "step": step},
            )
        )
        return row[0] if row else None

    def visits(
        self, tenant: Tenant, after: int, until: int, from_ms: int
    ) -> Sequence[Visit]:
        """Return the visits since then of visitors *after* one and up to another."""
        rows = self._db.rows(
            f"SELECT visitor, started_at_ms, channel FROM sessions WHERE {TENANT}"
            " AND visitor > :after AND visitor <= :until AND started_at_ms > :from_ms"
            " ORDER BY visitor, started_at_ms",
            {**owner(tenant), "after": after, "until": until, "from_ms": from_ms},
        )
        return [Visit(*row) for row in rows]
