"""SQL of milestones: events and conversions on the way that models ask for by name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import Connection, in_list, owner

# As types of conversions are written, so that `Demo booked` is `demo_booked`.
_NAME = "replace(lower(trim(name)), ' ', '_')"
_EVENT = "SELECT e.event_type AS name, e.occurred_at_ms AS at_ms FROM"
_EVENTS = (
    "e.account_id = :account_id AND e.live = :live AND e.bot_reason IS NULL"
    " AND e.occurred_at_ms <= :until"
)
_CONVERSION = "SELECT k.conversion_type, k.converted_at_ms FROM"
_CONVERSIONS = (
    "k.account_id = :account_id AND k.live = :live AND k.voided_at_ms IS NULL"
    " AND k.converted_at_ms <= :until"
)


def _linked(table: str, moment: str) -> str:
    """Return how rows of *table* that name nobody are of whom their visitor was."""
    return (
        f"ON {table}.visitor = l.visitor AND {table}.identity IS NULL"
        f" AND {table}.{moment} >= l.linked_from_ms"
        f" AND (l.linked_until_ms IS NULL OR {table}.{moment} < l.linked_until_ms)"
        " WHERE l.account_id = :account_id AND l.live = :live AND l.identity IN ({})"
    )


_OF_IDENTITIES = (
    f"{_EVENT} events e WHERE {_EVENTS} AND e.identity IN ({{}})"
    f" UNION ALL {_EVENT} links l JOIN events e {_linked('e', 'occurred_at_ms')}"
    f" AND {_EVENTS}"
    f" UNION ALL {_CONVERSION} conversions k WHERE {_CONVERSIONS}"
    " AND k.identity IN ({})"
    f" UNION ALL {_CONVERSION} links l JOIN conversions k"
    f" {_linked('k', 'converted_at_ms')} AND {_CONVERSIONS}"
)
_OF_VISITOR = (
    f"{_EVENT} events e WHERE {_EVENTS} AND e.visitor = :visitor"
    f" UNION ALL {_CONVERSION} conversions k WHERE {_CONVERSIONS}"
    " AND k.visitor = :visitor"
)


class SqlMilestoneStore:
    """The part of `TrackingStore` about milestones."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def milestones_of_identities(
        self,
        tenant: Tenant,
        identities: Iterable[int],
        names: Iterable[str],
        until_ms: int,
    ) -> Mapping[str, int]:
        """Return when what has each of *names* first was, if it was by then."""
        among = in_list(list(identities))
        return self._first(tenant, _OF_IDENTITIES.replace("{}", among), names, until_ms)

    def milestones_of_visitor(
        self, tenant: Tenant, visitor: int, names: Iterable[str], until_ms: int
    ) -> Mapping[str, int]:
        """Return the same of a browser of which nobody knows whose it is."""
        return self._first(tenant, _OF_VISITOR, names, until_ms, visitor)

    def _first(
        self,
        tenant: Tenant,
        reached: str,
        names: Iterable[str],
        until_ms: int,
        visitor: int | None = None,
    ) -> Mapping[str, int]:
        rows = self._db.rows(
            f"SELECT {_NAME} AS called, MIN(at_ms) FROM ({reached})"
            " WHERE called IN (SELECT value FROM json_each(:names)) GROUP BY called",
            {
                **owner(tenant),
                "names": json.dumps(sorted(names)),
                "until": until_ms,
                "visitor": visitor,
            },
        )
        return {row[0]: row[1] for row in rows}
