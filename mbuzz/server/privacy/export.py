"""Everything that is stored of a person, as one document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mbuzz.clock import iso
from mbuzz.server import money
from mbuzz.server.model import Tenant
from mbuzz.server.storage.port import Stores
from mbuzz.server.storage.privacy_port import Person

MOST_EVENTS: Final = 20_000  # in one document


def export(
    stores: Stores, tenant: Tenant, person: Person, now_ms: int, after: int = 0
) -> dict[str, object]:
    """Return what is stored of *person*; of the events those after row *after*.

    ``next_events_after`` is None when no events are left for another document.
    """
    found = dict(stores.privacy.export(tenant, person, after, MOST_EVENTS))
    events = found["events"]
    rest = events[-1]["row"] if len(events) == MOST_EVENTS else None
    document: dict[str, object] = {
        "exported_at": iso(now_ms),
        "environment": tenant.environment,
    }
    for name, items in found.items():
        document[name] = [_readable(item) for item in items]
    return {**document, "next_events_after": rest}


def _readable(item: Mapping[str, object]) -> dict[str, object]:
    """Return an item with moments and money as people write them."""
    said: dict[str, object] = {}
    for name, value in item.items():
        if name == "row":
            continue
        if name.endswith("_ms"):
            said[name.removesuffix("_ms")] = _moment(value)
        elif name == "revenue_minor":
            said["revenue"] = _amount(value, item["currency"])
        elif name == "amount_minor":
            said["amount"] = _amount(value, item["currency"])
        elif name in ("is_acquisition", "inherit_acquisition"):
            said[name] = bool(value)
        elif name in ("credits", "refunds"):
            said[name] = [_readable(part) for part in _items(value)]
        else:
            said[name] = value
    return said


def _items(value: object) -> Sequence[Mapping[str, object]]:
    assert isinstance(value, list)
    return value


def _moment(value: object) -> str | None:
    return iso(value) if isinstance(value, int) and value > 0 else None


def _amount(value: object, currency: object) -> str | None:
    return money.text(value, str(currency)) if isinstance(value, int) else None
