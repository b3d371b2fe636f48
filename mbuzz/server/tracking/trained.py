"""Data-driven models as they are applied: by what they learned latest."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import Final

from mbuzz.server.attribution.models import Model
from mbuzz.server.attribution.trained import restore
from mbuzz.server.attribution.weights import Weigh
from mbuzz.server.model import Tenant
from mbuzz.server.model_definitions import Models
from mbuzz.server.storage.model_port import Trained
from mbuzz.server.storage.tracking_port import TrackingStore

_MOST: Final = 64  # trainings kept in memory; those used longest ago go


class _Kept:
    """What the latest training of each model weighs by.

    With its public id, which no two databases share.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Tenant, str], tuple[str, Weigh]] = OrderedDict()

    def weigh(
        self, store: TrackingStore, tenant: Tenant, base: str, trained: Trained
    ) -> Weigh:
        key = tenant, trained.model
        with self._lock:
            known = self._known.get(key)
            if known is not None and known[0] == trained.public_id:
                self._known.move_to_end(key)
                return known[1]
        state = json.loads(store.training_state(tenant, trained.public_id))
        weigh = restore(base, state).weigh
        with self._lock:
            self._known[key] = trained.public_id, weigh
            self._known.move_to_end(key)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
        return weigh


_KEPT: Final = _Kept()


def trained_models(store: TrackingStore, tenant: Tenant, models: Models) -> list[Model]:
    """Return the data-driven ones of *models* that have been trained."""
    if not models.learned:
        return []
    keys = [definition.key for definition in models.learned]
    latest = {trained.model: trained for trained in store.trained(tenant, keys)}
    return [
        definition.weighing(
            _KEPT.weigh(store, tenant, definition.base, latest[definition.key]),
            latest[definition.key].version,
        )
        for definition in models.learned
        if definition.key in latest
    ]
