"""SQL of erasing people: who they are, what is theirs, and taking it away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mbuzz.server.model import Tenant
from mbuzz.server.storage import person_sql
from mbuzz.server.storage.connection import (
    TENANT,
    Connection,
    Row,
    dump,
    first,
    in_list,
    owner,
)
from mbuzz.server.storage.privacy_port import (
    ErasedEvent,
    Erasure,
    NamedId,
    Person,
    PersonConversion,
)
from mbuzz.server.storage.suppression_sql import SqlSuppressionStore

_ERASURE = (
    "SELECT id, account_id, live, public_id, actor, status, scope, counts,"
    " created_at_ms, finished_at_ms FROM erasures"
)
_PEOPLE = 500  # rows of visitors and links in one statement


def _erasure(row: Row) -> Erasure:
    scope = json.loads(row[6])
    return Erasure(
        id=row[0],
        tenant=Tenant(row[1], bool(row[2])),
        public_id=row[3],
        actor=row[4],
        status=row[5],
        person=Person(**{name: tuple(rows) for name, rows in scope.items()}),
        counts=json.loads(row[7]),
        created_at_ms=row[8],
        finished_at_ms=row[9],
    )


def _scope(person: Person) -> str:
    return dump(
        {
            "visitors": person.visitors,
            "shared": person.shared,
            "identities": person.identities,
        }
    )


def _parts(values: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield *values* in parts that fit into one statement."""
    for start in range(0, len(values), _PEOPLE):
        yield values[start : start + _PEOPLE]


class SqlErasureStore(SqlSuppressionStore):
    """The part of `PrivacyStore` about erasing."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._db = connection

    # -- who --

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
        """Return everybody whose trait ``email`` is this one, as one person."""
        wanted = email.strip().lower()
        rows = self._db.rows(
            f"SELECT root_id, traits FROM identities WHERE {TENANT}"
            " AND traits LIKE '%\"email\"%'",
            owner(tenant),
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

    # -- the order to erase --

    def add_erasure(
        self, tenant: Tenant, public_id: str, actor: str, person: Person, now_ms: int
    ) -> Erasure:
        rows = self._db.rows(
            "INSERT INTO erasures (account_id, live, public_id, actor, status, scope,"
            " counts, created_at_ms) VALUES (:account_id, :live, :public_id, :actor,"
            " 'pending', :scope, '{}', :now) RETURNING id",
            {
                **owner(tenant),
                "public_id": public_id,
                "actor": actor,
                "scope": _scope(person),
                "now": now_ms,
            },
        )
        return Erasure(
            id=rows[0][0],
            public_id=public_id,
            tenant=tenant,
            actor=actor,
            status="pending",
            person=person,
            counts={},
            created_at_ms=now_ms,
        )

    def save_erasure(self, tenant: Tenant, erasure: Erasure) -> None:
        self._db.run(
            "UPDATE erasures SET status = :status, scope = :scope, counts = :counts,"
            f" finished_at_ms = :finished WHERE {TENANT} AND id = :id",
            {
                **owner(tenant),
                "id": erasure.id,
                "status": erasure.status,
                "scope": _scope(erasure.person),
                "counts": dump(dict(erasure.counts)),
                "finished": erasure.finished_at_ms,
            },
        )

    def erasure(self, tenant: Tenant, public_id: str) -> Erasure | None:
        row = first(
            self._db.rows(
                f"{_ERASURE} WHERE {TENANT} AND public_id = :public_id",
                {**owner(tenant), "public_id": public_id},
            )
        )
        return _erasure(row) if row else None

    def open_erasure(self, tenant: Tenant, person: Person) -> Erasure | None:
        """Return the erasure of exactly this person that is not done yet."""
        row = first(
            self._db.rows(
                f"{_ERASURE} WHERE {TENANT} AND status IN ('pending', 'running')"
                " AND scope = :scope ORDER BY id LIMIT 1",
                {**owner(tenant), "scope": _scope(person)},
            )
        )
        return _erasure(row) if row else None

    def next_erasure(self) -> Erasure | None:
        """Return the oldest erasure that is not done, of any account."""
        row = first(
            self._db.rows(
                f"{_ERASURE} WHERE status IN ('pending', 'running')"
                " ORDER BY id LIMIT 1",
                {},
            )
        )
        return _erasure(row) if row else None

    def unscrubbed(self) -> bool:
        """Tell whether what was erased may still stand in the journal."""
        return bool(
            self._db.rows(
                "SELECT 1 FROM erasures WHERE status = 'done' AND scrubbed = 0 LIMIT 1",
                {},
            )
        )

    def set_scrubbed(self) -> None:
        self._db.run(
            "UPDATE erasures SET scrubbed = 1 WHERE status = 'done' AND scrubbed = 0",
            {},
        )

    # -- events and sessions --

    def events_of(
        self, tenant: Tenant, person: Person, most: int
    ) -> Sequence[ErasedEvent]:
        """Return some of the person's events; no more than *most*, and at least one."""
        for condition, values in person_sql.events_of(person):
            rows = self._db.rows(
                "SELECT e.id, e.event_id, e.visitor, e.session FROM events e"
                f" WHERE {person_sql.tenants('e')} AND {condition} LIMIT :most",
                {**owner(tenant), **values, "most": most},
            )
            if rows:
                return [
                    ErasedEvent(
                        id=row[0], event_id=row[1], visitor=row[2], session=row[3]
                    )
                    for row in rows
                ]
        return []

    def delete_events(self, tenant: Tenant, events: Iterable[int]) -> None:
        for event in events:
            self._db.run(
                f"DELETE FROM events WHERE {TENANT} AND id = :id",
                {**owner(tenant), "id": event},
            )

    def sessions_of(self, tenant: Tenant, person: Person, most: int) -> Sequence[int]:
        """Return some of the person's sessions of which no page is left."""
        for condition, values in person_sql.sessions_of(person):
            rows = self._db.rows(
                f"SELECT s.id FROM sessions s WHERE {person_sql.tenants('s')}"
                f" AND {condition} AND NOT EXISTS (SELECT 1 FROM events e"
                f" WHERE {person_sql.tenants('e')} AND e.visitor = s.visitor"
                " AND e.session = s.id AND e.url IS NOT NULL"
                " AND e.bot_reason IS NULL) LIMIT :most",
                {**owner(tenant), **values, "most": most},
            )
            if rows:
                return [row[0] for row in rows]
        return []

    def detach_session(self, tenant: Tenant, session: int) -> None:
        """Let credits stand without their session; they never change again."""
        values = {**owner(tenant), "session": session}
        self._db.run(
            f"UPDATE conversions SET frozen = 1 WHERE {TENANT} AND id IN (SELECT"
            f" conversion FROM credits WHERE {TENANT} AND session = :session)",
            values,
        )
        self._db.run(
            f"UPDATE credits SET session = NULL WHERE {TENANT} AND session = :session",
            values,
        )
        self._db.run(
            f"UPDATE refund_credits SET session = NULL WHERE {TENANT}"
            " AND session = :session",
            values,
        )

    def drop_session(self, tenant: Tenant, session: int) -> None:
        """Delete a session; what happened in it, and is left, is in none."""
        self.detach_session(tenant, session)
        values = {**owner(tenant), "session": session}
        self._db.run(
            f"UPDATE events SET session = NULL WHERE {TENANT} AND visitor ="
            f" (SELECT visitor FROM sessions WHERE {TENANT} AND id = :session)"
            " AND session = :session",
            values,
        )
        self._db.run(f"DELETE FROM sessions WHERE {TENANT} AND id = :session", values)

    # -- conversions --

    def conversions_of_person(
        self, tenant: Tenant, person: Person, most: int
    ) -> Sequence[PersonConversion]:
        """Return some of the person's conversions; at least one if there are any."""
        for condition, values in person_sql.conversions_of(person):
            rows = self._db.rows(
                "SELECT c.id, c.public_id, c.dedupe_key, c.converted_at_ms"
                f" FROM conversions c WHERE {person_sql.tenants('c')} AND {condition}"
                " LIMIT :most",
                {**owner(tenant), **values, "most": most},
            )
            if rows:
                return [
                    PersonConversion(
                        id=row[0],
                        public_id=row[1],
                        dedupe_key=row[2],
                        converted_at_ms=row[3],
                    )
                    for row in rows
                ]
        return []

    def anonymise(self, tenant: Tenant, conversion: int, public_id: str) -> None:
        """Leave of a conversion its amount, type, time and the channels credited."""
        values = {**owner(tenant), "id": conversion, "public_id": public_id}
        self._db.run(
            "UPDATE conversions SET public_id = :public_id, dedupe_key = NULL,"
            " visitor = NULL, identity = NULL, event = NULL, properties = '{}',"
            " correlation = NULL, void_reason = NULL, inherited_from = NULL,"
            f" frozen = 1 WHERE {TENANT} AND id = :id",
            values,
        )
        self._db.run(
            f"UPDATE credits SET session = NULL WHERE {TENANT} AND conversion = :id",
            values,
        )
        self._db.run(
            "UPDATE refunds SET refund_id = public_id, reason = NULL"
            f" WHERE {TENANT} AND conversion = :id",
            values,
        )
        self._db.run(
            f"UPDATE refund_credits SET session = NULL WHERE {TENANT}"
            " AND conversion = :id",
            values,
        )

    def delete_conversion(self, tenant: Tenant, conversion: int) -> None:
        values = {**owner(tenant), "id": conversion}
        for table in ("credits", "refund_credits", "refunds"):
            self._db.run(
                f"DELETE FROM {table} WHERE {TENANT} AND conversion = :id", values
            )
        self._db.run(f"DELETE FROM conversions WHERE {TENANT} AND id = :id", values)

    def forget_visitors(self, tenant: Tenant, person: Person) -> None:
        """Take the person's browsers out of what others did with them."""
        for visitor in person.visitors:
            self._db.run(
                f"UPDATE conversions SET visitor = NULL WHERE {TENANT}"
                " AND visitor = :visitor",
                {**owner(tenant), "visitor": visitor},
            )

    # -- people --

    def untie(self, tenant: Tenant, person: Person) -> Mapping[str, int]:
        """Delete the person's links and memberships; return how many."""
        counts = {"links": 0, "memberships": 0}
        linked = person_sql.while_linked("memberships", "since_ms", person)
        for visitor in person.shared:  # by the links, which go after this
            counts["memberships"] += self._db.run(
                f"DELETE FROM memberships WHERE {TENANT} AND visitor = :visitor"
                f" AND {linked}",
                {**owner(tenant), "visitor": visitor},
            )
        for column, rows in (
            ("visitor", person.visitors),
            ("identity", person.identities),
        ):
            for row in rows:
                for table in ("links", "memberships"):
                    counts[table] += self._db.run(
                        f"DELETE FROM {table} WHERE {TENANT} AND {column} = :row",
                        {**owner(tenant), "row": row},
                    )
                self._db.run(
                    f"DELETE FROM pending_aliases WHERE {TENANT} AND {column} = :row",
                    {**owner(tenant), "row": row},
                )
        return counts

    def delete_replies_about(self, tenant: Tenant, texts: Iterable[str]) -> None:
        """Delete the replies kept for repeated batches in which a text stands."""
        for text in texts:
            self._db.run(
                f"DELETE FROM replies WHERE {TENANT} AND instr(reply, :text) > 0",
                {**owner(tenant), "text": text},
            )

    def delete_people(self, tenant: Tenant, person: Person) -> Mapping[str, int]:
        """Delete the rows that are the person; nothing refers to them any more."""
        counts = {"visitors": 0, "users": 0}
        for name, table, rows in (
            ("visitors", "visitors", person.visitors),
            ("users", "identities", person.identities),
        ):
            for row in rows:
                counts[name] += self._db.run(
                    f"DELETE FROM {table} WHERE {TENANT} AND id = :id",
                    {**owner(tenant), "id": row},
                )
        return counts
