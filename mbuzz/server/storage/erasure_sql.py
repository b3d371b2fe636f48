"""SQL of erasing people: taking away what is theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mbuzz.server.model import Tenant
from mbuzz.server.storage import person_sql
from mbuzz.server.storage.connection import TENANT, Connection, owner
from mbuzz.server.storage.privacy_port import ErasedEvent, Person, PersonConversion


class SqlErasureStore:
    """The part of `PrivacyStore` about erasing."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

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
            f"UPDATE refund_credits SET session = NULL WHERE {TENANT}"
            " AND session = :session AND conversion IN (SELECT conversion FROM credits"
            f" WHERE {TENANT} AND session = :session)",
            values,
        )
        self._db.run(
            f"UPDATE credits SET session = NULL WHERE {TENANT} AND session = :session",
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
