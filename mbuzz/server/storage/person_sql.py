"""SQL of what is whose: the conditions that pick one person's rows of a table.

Erasing and exporting ask the same ones, so that neither knows more than the other.
"""

from __future__ import annotations

from collections.abc import Iterator

from mbuzz.server.storage.connection import in_list
from mbuzz.server.storage.privacy_port import Person

# A condition on the rows of one table, and its parameters.
Condition = tuple[str, dict[str, object]]


def tenants(table: str) -> str:
    """Return the condition that a row of *table* is the tenant's."""
    return f"{table}.account_id = :account_id AND {table}.live = :live"


def while_linked(table: str, moment: str, person: Person) -> str:
    """Return the condition that the visitor was linked to the person at *moment*."""
    return (
        f"EXISTS (SELECT 1 FROM links l WHERE {tenants('l')}"
        f" AND l.visitor = {table}.visitor"
        f" AND l.identity IN ({in_list(person.identities)})"
        f" AND l.linked_from_ms <= {table}.{moment} AND (l.linked_until_ms IS NULL"
        f" OR l.linked_until_ms > {table}.{moment}))"
    )


def events_of(person: Person) -> Iterator[Condition]:
    """Yield what picks the person's rows of ``events e``.

    Of a shared visitor those are what the person is named in, and what names nobody
    and happened while the visitor was the person's.
    """
    for visitor in person.visitors:
        yield "e.visitor = :visitor", {"visitor": visitor}
    for identity in person.identities:
        yield "e.identity = :identity", {"identity": identity}
    linked = while_linked("e", "occurred_at_ms", person)
    for visitor in person.shared:
        yield (
            f"e.visitor = :visitor AND e.identity IS NULL AND {linked}",
            {"visitor": visitor},
        )


def sessions_of(person: Person) -> Iterator[Condition]:
    """Yield what picks the person's rows of ``sessions s``, by when they began."""
    for visitor in person.visitors:
        yield "s.visitor = :visitor", {"visitor": visitor}
    linked = while_linked("s", "started_at_ms", person)
    for visitor in person.shared:
        yield f"s.visitor = :visitor AND {linked}", {"visitor": visitor}


def conversions_of(person: Person) -> Iterator[Condition]:
    """Yield what picks the person's rows of ``conversions c``.

    One that names somebody else is that one's, wherever it happened.
    """
    ours = f"(c.identity IS NULL OR c.identity IN ({in_list(person.identities)}))"
    for visitor in person.visitors:
        yield f"c.visitor = :visitor AND {ours}", {"visitor": visitor}
    for identity in person.identities:
        yield "c.identity = :identity", {"identity": identity}
    linked = while_linked("c", "converted_at_ms", person)
    for visitor in person.shared:
        yield (
            f"c.visitor = :visitor AND c.identity IS NULL AND {linked}",
            {"visitor": visitor},
        )
