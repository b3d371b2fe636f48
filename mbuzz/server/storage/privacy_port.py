"""What privacy and jobs ask of storage; `port` puts it beside the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mbuzz.server.model import Tenant

# What an id is an id of, and the id: ("visitor", ...), ("user", ...), ("event", ...),
# ("conversion", ...) and ("order", ...), which is the dedupe key of a conversion.
NamedId = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """The rows that are one person's.

    Of the `shared` visitors only what happened while they were linked to one of the
    `identities` is; of the `visitors` everything.
    """

    visitors: tuple[int, ...] = ()
    shared: tuple[int, ...] = ()
    identities: tuple[int, ...] = ()


NOBODY = Person()


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A person's erasure, asked for or carried out; `counts` says of how much."""

    id: int
    public_id: str
    tenant: Tenant
    actor: str
    status: str  # "pending", "running", "done"
    person: Person
    counts: Mapping[str, int]
    created_at_ms: int
    finished_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedEvent:
    """An event that is a person's, and whose session it is missing from now on."""

    id: int
    event_id: str
    visitor: int | None
    session: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonConversion:
    """A conversion that is a person's, with the ids by which it may come again."""

    id: int
    public_id: str
    dedupe_key: str | None
    converted_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAccount:
    """An account as retention sees it; its settings are JSON."""

    id: int
    settings: str
    deleted_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """What is known of a job from its last run."""

    name: str
    due_ms: int
    claimed_until_ms: int
    status: str
    said: str
    failures: int
    started_at_ms: int | None
    finished_at_ms: int | None


class SuppressionStore(Protocol):
    """Ids of the erased, in the way of every call."""

    def suppresses(self, tenant: Tenant) -> bool: ...
    def suppressed(
        self, tenant: Tenant, ids: Iterable[NamedId], now_ms: int
    ) -> set[NamedId]: ...
    def suppress(
        self, tenant: Tenant, ids: Iterable[NamedId], until_ms: int
    ) -> None: ...


class SaltStore(Protocol):
    """Salts of days, by which those who refused are told apart."""

    def daily_salt(
        self, tenant: Tenant, day: str, fresh: str, until_ms: int
    ) -> str: ...


class PrivacyStore(SuppressionStore, Protocol):
    """People found, erased and exported; old data forgotten."""

    def forget_salts(self, tenant: Tenant, now_ms: int) -> int: ...
    def person_of_visitor(self, tenant: Tenant, visitor_id: str) -> Person | None: ...
    def person_of_user(self, tenant: Tenant, user_id: str) -> Person | None: ...
    def person_of_email(self, tenant: Tenant, email: str) -> Person | None: ...
    def ids_of(self, tenant: Tenant, person: Person) -> Sequence[NamedId]: ...
    def public_ids_of(self, tenant: Tenant, person: Person) -> Sequence[str]: ...
    def rows_of(self, tenant: Tenant, person: Person, most: int) -> int: ...

    def add_erasure(
        self, tenant: Tenant, public_id: str, actor: str, person: Person, now_ms: int
    ) -> Erasure: ...
    def save_erasure(self, tenant: Tenant, erasure: Erasure) -> None: ...
    def erasure(self, tenant: Tenant, public_id: str) -> Erasure | None: ...
    def open_erasure(self, tenant: Tenant, person: Person) -> Erasure | None: ...
    def next_erasure(self) -> Erasure | None: ...
    def unscrubbed(self) -> bool: ...
    def set_scrubbed(self) -> None: ...
    def set_secret(self, tenant: Tenant, secret: str) -> None: ...

    def events_of(
        self, tenant: Tenant, person: Person, most: int
    ) -> Sequence[ErasedEvent]: ...
    def delete_events(self, tenant: Tenant, events: Iterable[int]) -> None: ...
    def sessions_of(
        self, tenant: Tenant, person: Person, most: int
    ) -> Sequence[int]: ...
    def detach_session(self, tenant: Tenant, session: int) -> None: ...
    def drop_session(self, tenant: Tenant, session: int) -> None: ...
    def conversions_of_person(
        self, tenant: Tenant, person: Person, most: int
    ) -> Sequence[PersonConversion]: ...
    def anonymise(self, tenant: Tenant, conversion: int, public_id: str) -> None: ...
    def delete_conversion(self, tenant: Tenant, conversion: int) -> None: ...
    def forget_visitors(self, tenant: Tenant, person: Person) -> None: ...
    def untie(self, tenant: Tenant, person: Person) -> Mapping[str, int]: ...
    def delete_replies_about(self, tenant: Tenant, texts: Iterable[str]) -> None: ...
    def delete_people(self, tenant: Tenant, person: Person) -> Mapping[str, int]: ...

    def export(
        self, tenant: Tenant, person: Person, after: int, most: int
    ) -> Mapping[str, Sequence[Mapping[str, object]]]: ...

    def kept_accounts(self) -> Sequence[KeptAccount]: ...
    def forget_events(self, tenant: Tenant, before_ms: int, most: int) -> int: ...
    def forget_bots(self, tenant: Tenant, before_ms: int, most: int) -> int: ...
    def forget_sessions(
        self, tenant: Tenant, before_ms: int, now_ms: int, most: int
    ) -> int: ...
    def forget_conversions(self, tenant: Tenant, before_ms: int, most: int) -> int: ...
    def idle_visitors(
        self, tenant: Tenant, before_ms: int, after: int, most: int
    ) -> tuple[Sequence[int], int | None]: ...
    def forget_idle(self, tenant: Tenant, visitors: Iterable[int]) -> int: ...
    def forget_replies(self, tenant: Tenant, before_ms: int, most: int) -> int: ...
    def forget_suppressions(self, tenant: Tenant, now_ms: int, most: int) -> int: ...
    def forget_erasures(self, tenant: Tenant, before_ms: int, most: int) -> int: ...
    def forget_audit(self, account_id: int, before_ms: int, most: int) -> int: ...
    def forget_logins(self, account_id: int, now_ms: int, most: int) -> int: ...
    def erase_account(self, account_id: int, most: int) -> int: ...


class JobStore(Protocol):
    """When jobs are due, and who is at them."""

    def jobs(self) -> Sequence[JobRow]: ...
    def add_job(self, name: str, due_ms: int) -> None: ...
    def claim_job(
        self, name: str, claimant: str, now_ms: int, until_ms: int
    ) -> bool: ...
    def renew_job(self, name: str, claimant: str, until_ms: int) -> bool: ...
    def finish_job(
        self,
        name: str,
        claimant: str,
        *,
        status: str,
        said: str,
        failures: int,
        due_ms: int,
        now_ms: int,
    ) -> None: ...
