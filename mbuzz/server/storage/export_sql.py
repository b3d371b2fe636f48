"""SQL of exporting a person: every row that is theirs, with ids instead of numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from mbuzz.server.model import Tenant
from mbuzz.server.storage import person_sql
from mbuzz.server.storage.connection import Connection, Row, in_list, owner
from mbuzz.server.storage.person_sql import Condition
from mbuzz.server.storage.privacy_port import Person

_JSON = frozenset(
    {
        "traits",
        "utm",
        "click_ids",
        "landing",
        "properties",
        "group_traits",
        "correlation",
        "traits_said",
    }
)
_LISTS = frozenset({"flags"})

_SESSIONS = {
    "row": "s.id",
    "id": "s.public_id",
    "session_id": "s.client_session_id",
    "visitor_id": "v.visitor_id",
    "started_at_ms": "s.started_at_ms",
    "last_event_at_ms": "s.last_event_at_ms",
    "page_views": "s.page_view_count",
    "channel": "s.channel",
    "source": "s.source",
    "medium": "s.medium",
    "campaign": "s.campaign",
    "utm": "s.initial_utm",
    "click_ids": "s.click_ids",
    "landing_url": "s.landing_url",
    "referrer": "s.referrer",
    "flags": "s.flags",
    "list_version": "s.list_version",
}
_EVENTS = {
    "row": "e.id",
    "id": "e.event_id",
    "event_type": "e.event_type",
    "visitor_id": "v.visitor_id",
    "user_id": "i.user_id",
    "session": "s.public_id",
    "session_id": "e.client_session_id",
    "occurred_at_ms": "e.occurred_at_ms",
    "received_at_ms": "e.received_at_ms",
    "said_at_ms": "e.said_at_ms",
    "url": "e.url",
    "referrer": "e.referrer",
    "landing": "e.landing",
    "user_agent": "e.user_agent",
    "bot_reason": "e.bot_reason",
    "flags": "e.flags",
    "properties": "e.properties",
}
_CONVERSIONS = {
    "row": "c.id",
    "id": "c.public_id",
    "dedupe_key": "c.dedupe_key",
    "conversion_type": "c.conversion_type",
    "visitor_id": "v.visitor_id",
    "user_id": "i.user_id",
    "event_id": "e.event_id",
    "revenue_minor": "c.revenue_minor",
    "currency": "c.currency",
    "converted_at_ms": "c.converted_at_ms",
    "received_at_ms": "c.received_at_ms",
    "is_acquisition": "c.is_acquisition",
    "inherit_acquisition": "c.inherits",
    "funnel": "c.funnel",
    "correlation": "c.correlation",
    "flags": "c.flags",
    "voided_at_ms": "c.voided_at_ms",
    "void_reason": "c.void_reason",
    "properties": "c.properties",
}
_REFUNDS = {
    "id": "f.public_id",
    "refund_id": "f.refund_id",
    "amount_minor": "f.amount_minor",
    "currency": "c.currency",
    "reason": "f.reason",
    "refunded_at_ms": "f.refunded_at_ms",
    "received_at_ms": "f.received_at_ms",
}
_CREDITS = {
    "model": "r.model",
    "position": "r.position",
    "session": "s.public_id",
    "channel": "r.channel",
    "credit_billionths": "r.credit",
    "revenue_millionths": "r.revenue",
    "currency": "r.currency",
}
_VISITORS = {"visitor_id": "v.visitor_id", "first_seen_ms": "v.first_seen_ms"}
_USERS = {
    "user_id": "i.user_id",
    "id": "i.public_id",
    "created_at_ms": "i.created_at_ms",
    "same_person_as": "root.user_id",
    "traits": "i.traits",
    "traits_said": "i.said",
}
_LINKS = {
    "visitor_id": "v.visitor_id",
    "user_id": "i.user_id",
    "from_ms": "l.linked_from_ms",
    "until_ms": "l.linked_until_ms",
    "said_at_ms": "l.said_ms",
}
_GROUPS = {
    "group_id": "g.group_id",
    "visitor_id": "v.visitor_id",
    "user_id": "i.user_id",
    "since_ms": "m.since_ms",
    "group_traits": "g.traits",
}

Item = dict[str, object]


def _item(names: Mapping[str, str], row: Row) -> Item:
    """Return a row by its names; JSON is read, moments are left as they are."""
    item: Item = {}
    for name, value in zip(names, row, strict=True):
        if name in _JSON and value is not None:
            item[name] = json.loads(value)
        elif name in _LISTS:
            item[name] = value.split()
        else:
            item[name] = value
    return item


class SqlExportStore:
    """The part of `PrivacyStore` about exporting."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def export(
        self, tenant: Tenant, person: Person, after: int, most: int
    ) -> Mapping[str, Sequence[Mapping[str, object]]]:
        """Return what is stored of a person; of the events *most* after a row.

        Every event has its ``row``, which says where to go on.
        """
        conversions = self._picked(
            tenant,
            _CONVERSIONS,
            "conversions c LEFT JOIN visitors v ON v.id = c.visitor"
            " LEFT JOIN identities i ON i.id = c.identity"
            " LEFT JOIN events e ON e.id = c.event AND e.account_id = c.account_id"
            " AND e.live = c.live",
            "c",
            person_sql.conversions_of(person),
        )
        for conversion in conversions:
            conversion["credits"] = self._credits(tenant, conversion["row"])
            conversion["refunds"] = self._refunds(tenant, conversion["row"])
        return {
            "users": self._users(tenant, person),
            "visitors": self._visitors(tenant, person),
            "links": self._links(tenant, person),
            "groups": self._groups(tenant, person),
            "sessions": self._picked(
                tenant,
                _SESSIONS,
                "sessions s LEFT JOIN visitors v ON v.id = s.visitor",
                "s",
                person_sql.sessions_of(person),
            ),
            "events": self._picked(
                tenant,
                _EVENTS,
                "events e LEFT JOIN visitors v ON v.id = e.visitor"
                " LEFT JOIN identities i ON i.id = e.identity"
                " LEFT JOIN sessions s ON s.id = e.session",
                "e",
                person_sql.events_of(person),
                after,
                most,
            ),
            "conversions": conversions,
        }

    def _picked(
        self,
        tenant: Tenant,
        names: Mapping[str, str],
        tables: str,
        of: str,
        conditions: Iterable[Condition],
        after: int = 0,
        most: int = -1,
    ) -> list[Item]:
        """Return the rows that a condition picks, each once, in the order of rows."""
        found: dict[object, Item] = {}
        for condition, values in conditions:
            rows = self._db.rows(
                f"SELECT {', '.join(names.values())} FROM {tables}"
                f" WHERE {person_sql.tenants(of)} AND {condition} AND {of}.id > :after"
                f" ORDER BY {of}.id LIMIT :most",
                {**owner(tenant), **values, "after": after, "most": most},
            )
            found.update((row[0], _item(names, row)) for row in rows)
        kept = sorted(found.items(), key=lambda entry: int(str(entry[0])))
        return [item for _, item in (kept if most < 0 else kept[:most])]

    def _listed(
        self, tenant: Tenant, names: Mapping[str, str], tables: str, of: str, where: str
    ) -> list[Item]:
        rows = self._db.rows(
            f"SELECT {', '.join(names.values())} FROM {tables}"
            f" WHERE {person_sql.tenants(of)} AND {where}",
            owner(tenant),
        )
        return [_item(names, row) for row in rows]

    def _credits(self, tenant: Tenant, conversion: object) -> list[Item]:
        return self._listed(
            tenant,
            _CREDITS,
            "credits r LEFT JOIN sessions s ON s.id = r.session",
            "r",
            f"r.conversion = {in_list([int(str(conversion))])}"
            " ORDER BY r.model, r.position",
        )

    def _refunds(self, tenant: Tenant, conversion: object) -> list[Item]:
        return self._listed(
            tenant,
            _REFUNDS,
            "refunds f JOIN conversions c ON c.id = f.conversion",
            "f",
            f"f.conversion = {in_list([int(str(conversion))])} ORDER BY f.id",
        )

    def _users(self, tenant: Tenant, person: Person) -> list[Item]:
        return self._listed(
            tenant,
            _USERS,
            "identities i LEFT JOIN identities root ON root.id = i.root_id",
            "i",
            f"i.id IN ({in_list(person.identities)}) ORDER BY i.id",
        )

    def _visitors(self, tenant: Tenant, person: Person) -> list[Item]:
        rows = in_list([*person.visitors, *person.shared])
        return self._listed(
            tenant, _VISITORS, "visitors v", "v", f"v.id IN ({rows}) ORDER BY v.id"
        )

    def _links(self, tenant: Tenant, person: Person) -> list[Item]:
        ours = f"l.visitor IN ({in_list(person.visitors)})"
        if person.identities:
            ours = f"l.identity IN ({in_list(person.identities)})"
        return self._listed(
            tenant,
            _LINKS,
            "links l JOIN visitors v ON v.id = l.visitor"
            " JOIN identities i ON i.id = l.identity",
            "l",
            f"{ours} ORDER BY l.linked_from_ms, l.visitor",
        )

    def _groups(self, tenant: Tenant, person: Person) -> list[Item]:
        linked = person_sql.while_linked("m", "since_ms", person)
        return self._listed(
            tenant,
            _GROUPS,
            "memberships m JOIN groups g ON g.id = m.member_of"
            " LEFT JOIN visitors v ON v.id = m.visitor"
            " LEFT JOIN identities i ON i.id = m.identity",
            "m",
            f"(m.visitor IN ({in_list(person.visitors)})"
            f" OR m.identity IN ({in_list(person.identities)})"
            f" OR (m.visitor IN ({in_list(person.shared)}) AND {linked}))"
            " ORDER BY g.group_id",
        )
