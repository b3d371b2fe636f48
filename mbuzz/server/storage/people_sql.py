"""SQL of finding people: which rows are one person's, and under which ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

from mbuzz.server.model import Tenant
from mbuzz.server.storage import person_sql
from mbuzz.server.storage.connection import TENANT, Connection, first, in_list, owner
from mbuzz.server.storage.privacy_port import NamedId, Person

_PEOPLE = 500  # rows of visitors and links in one statement


def _parts(values: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield *values* in parts that fit into one statement."""
    for start in range(0, len(values), _PEOPLE):
        yield values[start : start + _PEOPLE]


class SqlPeopleStore:
    """The part of `PrivacyStore` about who is who."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def person_of_visitor(self, tenant: Tenant, visitor_id: str) -> Person | None:
        """Return the visitor alone, whoever that was."""
        row = first(
            self._db.rows(
                f"SELECT id FROM visitors WHERE {TENANT} AND visitor_id = :visitor_id",
                {**owner(tenant), "visitor_id": visitor_id},
            )
        )
        return Person(visitors=(row[0],)) if row else None

    def person_of_user(self, tenant: Tenant, user_id: str) -> Person | None:
        """Return the person who has a user id, with all other ids and visitors."""
        found = self._db.rows(
            f"SELECT root_id FROM identities WHERE {TENANT} AND user_id = :user_id",
            {**owner(tenant), "user_id": user_id},
        )
        return self._person(tenant, {row[0] for row in found})

    def person_of_email(self, tenant: Tenant, email: str) -> Person | None:
        """Return everybody whose trait ``email`` is this one, as one person.

        By its digest, and what has none: few, for which there is an index as well.
        """
        wanted = email.strip().lower()
        digest = hashlib.sha256(wanted.encode("utf-8", "replace")).hexdigest()
        rows = self._db.rows(
            f"SELECT root_id, traits FROM identities WHERE {TENANT}"
            f" AND email_hash = :digest UNION ALL"
            f" SELECT root_id, traits FROM identities WHERE {TENANT}"
            " AND email_hash IS NULL AND instr(traits, '\"email\"') > 0",
            {**owner(tenant), "digest": digest},
        )
        roots = {
            root
            for root, traits in rows
            if str(json.loads(traits).get("email", "")).strip().lower() == wanted
        }
        return self._person(tenant, roots)

    def _person(self, tenant: Tenant, roots: Iterable[int]) -> Person | None:
        identities = [
            row[0]
            for root in sorted(roots)
            for row in self._db.rows(
                f"SELECT id FROM identities WHERE {TENANT} AND root_id = :root",
                {**owner(tenant), "root": root},
            )
        ]
        if not identities:
            return None
        linked = {
            row[0]
            for identity in identities
            for row in self._db.rows(
                f"SELECT visitor FROM links WHERE {TENANT} AND identity = :identity",
                {**owner(tenant), "identity": identity},
            )
        }
        shared = {row for row in linked if self._is_shared(tenant, row, identities)}
        return Person(
            visitors=tuple(sorted(linked - shared)),
            shared=tuple(sorted(shared)),
            identities=tuple(identities),
        )

    def _is_shared(self, tenant: Tenant, visitor: int, ours: Sequence[int]) -> bool:
        return bool(
            self._db.rows(
                f"SELECT 1 FROM links WHERE {TENANT} AND visitor = :visitor"
                f" AND identity NOT IN ({in_list(ours)}) LIMIT 1",
                {**owner(tenant), "visitor": visitor},
            )
        )

    def ids_of(self, tenant: Tenant, person: Person) -> Sequence[NamedId]:
        """Return the ids under which the person would come again."""
        found: list[NamedId] = []
        for kind, table, column, rows in (
            ("visitor", "visitors", "visitor_id", person.visitors),
            ("user", "identities", "user_id", person.identities),
        ):
            for part in _parts(rows):
                found += [
                    (kind, row[0])
                    for row in self._db.rows(
                        f"SELECT {column} FROM {table} WHERE {TENANT}"
                        f" AND id IN ({in_list(part)})",
                        owner(tenant),
                    )
                ]
        return found

    def public_ids_of(self, tenant: Tenant, person: Person) -> Sequence[str]:
        """Return what answers call the person."""
        found = [text for kind, text in self.ids_of(tenant, person) if kind != "user"]
        for part in _parts(person.identities):
            found += [
                row[0]
                for row in self._db.rows(
                    f"SELECT public_id FROM identities WHERE {TENANT}"
                    f" AND id IN ({in_list(part)})",
                    owner(tenant),
                )
            ]
        return found

    def rows_of(self, tenant: Tenant, person: Person, most: int) -> int:
        """Return how many rows are the person's; more than *most* are not counted."""
        count = 0
        for table, conditions in (
            ("events e", person_sql.events_of(person)),
            ("sessions s", person_sql.sessions_of(person)),
            ("conversions c", person_sql.conversions_of(person)),
        ):
            whose = person_sql.tenants(table[-1])
            for condition, values in conditions:
                ((more,),) = self._db.rows(
                    f"SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE {whose}"
                    f" AND {condition} LIMIT :most)",
                    {**owner(tenant), **values, "most": most + 1},
                )
                count += int(more)
                if count > most:
                    return count
        return count + len(person.visitors) + len(person.identities)
