"""What tracking asks of storage, one by one and in bulk; `port` has the rest."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from mbuzz.server.model import (
    Credit,
    Landing,
    Session,
    Tenant,
    Touchpoint,
    TrackCall,
)
from mbuzz.server.storage.model_port import TrainedStore
from mbuzz.server.storage.privacy_port import SaltStore, SuppressionStore
from mbuzz.server.storage.rows.bulk import BulkRows, LinkRow, Tail
from mbuzz.server.storage.rows.conversions import (
    ConversionRow,
    NewConversion,
    NewRefund,
    RefundRow,
    Standing,
)
from mbuzz.server.storage.rows.events import (
    ClassifiedSession,
    EventRow,
    NewEvent,
    SessionRow,
    StoredEvent,
)


class TrackingStore(SuppressionStore, SaltStore, TrainedStore, Protocol):
    """What happened, to whom."""

    def reply(
        self, tenant: Tenant, key: str, since_ms: int
    ) -> tuple[str, str] | None: ...
    def save_reply(
        self, tenant: Tenant, key: str, digest: str, reply: str, now_ms: int
    ) -> None: ...

    def visitor(self, tenant: Tenant, visitor_id: str) -> int | None: ...
    def ensure_visitor(self, tenant: Tenant, visitor_id: str, seen_ms: int) -> int: ...
    def identity(self, tenant: Tenant, user_id: str) -> int | None: ...
    def ensure_identity(
        self, tenant: Tenant, user_id: str, public_id: str, now_ms: int
    ) -> int: ...
    def identity_public_id(self, tenant: Tenant, identity: int) -> str: ...
    def identity_created_at(self, tenant: Tenant, identity: int) -> int: ...
    def identities_by_email(self, tenant: Tenant, digest: str) -> Sequence[int]: ...
    def traits(
        self, tenant: Tenant, identity: int
    ) -> tuple[dict[str, object], dict[str, object]]: ...
    def set_traits(
        self,
        tenant: Tenant,
        identity: int,
        traits: Mapping[str, object],
        said: Mapping[str, object],
        email_hash: str | None,
    ) -> None: ...
    def add_pending_alias(
        self,
        tenant: Tenant,
        previous_id: str,
        identity: int,
        visitor: int,
        said_ms: int,
    ) -> None: ...
    def take_pending_alias(
        self, tenant: Tenant, previous_id: str
    ) -> tuple[int, int] | None: ...
    def expire_pending_aliases(self, tenant: Tenant, before_ms: int) -> int: ...
    def root(self, tenant: Tenant, identity: int) -> int: ...
    def group(self, tenant: Tenant, root: int) -> Sequence[int]: ...
    def set_root(self, tenant: Tenant, old_root: int, new_root: int) -> None: ...
    def links_end(self, tenant: Tenant, visitor: int) -> int: ...
    def link_at(self, tenant: Tenant, visitor: int, at_ms: int) -> int | None: ...
    def current_link(self, tenant: Tenant, visitor: int) -> tuple[int, int] | None: ...
    def linked_identities(self, tenant: Tenant, visitor: int) -> Sequence[int]: ...
    def add_link(
        self, tenant: Tenant, visitor: int, identity: int, from_ms: int, said_ms: int
    ) -> None: ...
    def confirm_link(self, tenant: Tenant, visitor: int, said_ms: int) -> None: ...
    def close_link(self, tenant: Tenant, visitor: int, until_ms: int) -> None: ...

    def claim_group_call(self, tenant: Tenant, call_id: str) -> bool: ...
    def ensure_group(self, tenant: Tenant, group_id: str, now_ms: int) -> int: ...
    def merge_group_traits(
        self, tenant: Tenant, group: int, traits: Mapping[str, object], said_ms: int
    ) -> None: ...
    def add_member(
        self,
        tenant: Tenant,
        group: int,
        identity: int | None,
        visitor: int | None,
        since_ms: int,
    ) -> None: ...

    def insert_event(self, tenant: Tenant, event: NewEvent) -> int | None: ...
    def repeated(self, tenant: Tenant, call: TrackCall) -> StoredEvent | None: ...
    def event(self, tenant: Tenant, event_id: str) -> StoredEvent | None: ...
    def channel_of_event(self, tenant: Tenant, event: int) -> str | None: ...
    def web_events(
        self, tenant: Tenant, visitor: int, from_ms: int, to_ms: int
    ) -> Sequence[EventRow]: ...
    def web_event_rows(
        self, tenant: Tenant, rows: Iterable[int]
    ) -> Mapping[int, EventRow]: ...
    def set_session(self, tenant: Tenant, event: int, session: int | None) -> None: ...
    def count_web_events(
        self, tenant: Tenant, visitor: int, from_ms: int, to_ms: int
    ) -> int: ...

    def visitors_since(
        self, tenant: Tenant, since_ms: int, after: int, limit: int
    ) -> Sequence[int]: ...
    def classified_sessions(
        self, tenant: Tenant, visitor: int, from_ms: int
    ) -> Sequence[ClassifiedSession]: ...
    def set_landing(self, tenant: Tenant, event: int, landing: Landing) -> None: ...
    def set_source(
        self, tenant: Tenant, session: int, landing: Landing, list_version: str
    ) -> None: ...

    def session(self, tenant: Tenant, session: int) -> SessionRow: ...
    def sessions_between(
        self, tenant: Tenant, visitor: int, from_ms: int, to_ms: int
    ) -> Sequence[SessionRow]: ...
    def latest_sessions(self, tenant: Tenant, visitor: int) -> Sequence[SessionRow]: ...
    def session_covering(
        self, tenant: Tenant, visitor: int, at_ms: int, timeout_ms: int
    ) -> SessionRow | None: ...
    def insert_session(
        self,
        tenant: Tenant,
        visitor: int,
        public_id: str,
        session: Session,
        first_event: int,
        last_event: int,
        list_version: str,
    ) -> int: ...
    def update_session(
        self,
        tenant: Tenant,
        row: int,
        session: Session,
        first_event: int,
        last_event: int,
        list_version: str,
    ) -> None: ...
    def extend_session(
        self,
        tenant: Tenant,
        row: int,
        last_event: int,
        last_event_at_ms: int,
        page_views: int,
        flags: frozenset[str],
    ) -> None: ...
    def delete_session(self, tenant: Tenant, row: int) -> None: ...
    def knows_later(self, tenant: Tenant, visitor: int, from_ms: int) -> bool: ...
    def attach_server_events(
        self, tenant: Tenant, visitor: int, from_ms: int, to_ms: int, timeout_ms: int
    ) -> None: ...

    def insert_conversion(
        self, tenant: Tenant, conversion: NewConversion
    ) -> int | None: ...
    def kept_conversion(self, tenant: Tenant, row: int) -> ConversionRow | None: ...
    def conversion(self, tenant: Tenant, row: int) -> ConversionRow: ...
    def find_conversion(
        self, tenant: Tenant, public_id: str, dedupe_key: str | None
    ) -> ConversionRow | None: ...
    def conversion_details(
        self, tenant: Tenant, row: int
    ) -> tuple[dict[str, object], dict[str, object]]: ...
    def flag_conversion(self, tenant: Tenant, row: int, flag: str) -> None: ...
    def void_conversion(
        self, tenant: Tenant, row: int, at_ms: int, reason: str | None
    ) -> None: ...
    def valid_conversions_until(
        self,
        tenant: Tenant,
        identities: Iterable[int],
        visitors: Iterable[int],
        until_ms: int,
        conversion_type: str | None,
    ) -> Sequence[ConversionRow]: ...
    def conversions_of(
        self,
        tenant: Tenant,
        identities: Iterable[int],
        visitors: Iterable[int],
        from_ms: int,
    ) -> Sequence[ConversionRow]: ...
    def linked_visitors(
        self, tenant: Tenant, identities: Iterable[int]
    ) -> Sequence[int]: ...
    def touchpoints_of_identities(
        self, tenant: Tenant, identities: Iterable[int], from_ms: int, until_ms: int
    ) -> Sequence[Touchpoint]: ...
    def touchpoints_of_visitor(
        self, tenant: Tenant, visitor: int, from_ms: int, until_ms: int
    ) -> Sequence[Touchpoint]: ...
    def milestones_of_identities(
        self,
        tenant: Tenant,
        identities: Iterable[int],
        names: Iterable[str],
        until_ms: int,
    ) -> Mapping[str, int]: ...
    def milestones_of_visitor(
        self, tenant: Tenant, visitor: int, names: Iterable[str], until_ms: int
    ) -> Mapping[str, int]: ...
    def replace_credits(
        self,
        tenant: Tenant,
        conversion: ConversionRow,
        standing: Standing,
        credits_: Collection[Credit],
    ) -> None: ...
    def replace_credits_of(
        self,
        tenant: Tenant,
        conversion: ConversionRow,
        models: Collection[str],
        credits_: Collection[Credit],
    ) -> None: ...
    def credits(self, tenant: Tenant, conversion: int) -> Sequence[Credit]: ...

    def insert_refund(self, tenant: Tenant, refund: NewRefund) -> None: ...
    def refunds(self, tenant: Tenant, conversion: int) -> Sequence[RefundRow]: ...
    def replace_refund_credits(
        self,
        tenant: Tenant,
        conversion: ConversionRow,
        taken: Iterable[tuple[RefundRow, Sequence[Credit]]],
    ) -> None: ...
    def refund_credits(
        self, tenant: Tenant, conversion: int
    ) -> Sequence[tuple[int, str, int, str, int]]: ...


class BulkStore(SuppressionStore, Protocol):
    """Many events at once."""

    def stamp(self) -> object:
        """Return what stays equal while nobody changes anything in the database."""
        ...

    def next_rows(self) -> tuple[int, int, int]: ...
    def known_events(
        self, tenant: Tenant, hour: int, event_ids: Iterable[str]
    ) -> Mapping[str, StoredEvent]: ...
    def known_visitors(
        self, tenant: Tenant, visitor_ids: Iterable[str]
    ) -> Mapping[str, int]: ...
    def tails(
        self, tenant: Tenant, visitors: Collection[int]
    ) -> Mapping[int, Sequence[Tail]]: ...
    def with_later_server_events(
        self, tenant: Tenant, visitors: Collection[int], from_ms: int
    ) -> set[int]: ...
    def any_converted_since(self, tenant: Tenant, from_ms: int) -> bool: ...
    def converted_since(
        self, tenant: Tenant, visitors: Collection[int], from_ms: int
    ) -> set[int]: ...
    def links_of(
        self, tenant: Tenant, visitors: Collection[int]
    ) -> Mapping[int, Sequence[LinkRow]]: ...
    def save(self, tenant: Tenant, rows: BulkRows) -> None: ...
