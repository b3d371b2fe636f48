"""What the rest of the server asks of storage, one Protocol per context.

Rows are frozen values with integer ids; every method on tenant data takes the tenant
first. A method belongs to one transaction, which `Storage.write` or `.read` gives out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeVar

from mbuzz.errors import MbuzzError
from mbuzz.server.conversion_settings import EVERY, LOOKBACK_DAYS
from mbuzz.server.model import (
    Credit,
    Landing,
    Session,
    Tenant,
    Touchpoint,
    TrackCall,
)
from mbuzz.server.policy import Policy
from mbuzz.server.storage.privacy_port import (
    JobStore,
    PrivacyStore,
    SuppressionStore,
)

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")


class StorageError(MbuzzError):
    """Storage cannot be used; the text says why and what to do."""


class StorageBusyError(StorageError):
    """Storage cannot take more just now; the caller should try again shortly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A customer of the backend: the owner of keys, users and data."""

    id: int
    public_id: str
    name: str
    currency: str
    timezone: str
    policy: Policy
    deleted_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as it is kept: as a digest, its text nowhere."""

    id: int
    public_id: str
    account: Account
    live: bool
    hint: str
    name: str
    scopes: frozenset[str]
    created_at_ms: int
    last_used_at_ms: int | None
    revoked_at_ms: int | None
    expires_at_ms: int | None = None
    digest: str = field(default="", repr=False)

    @property
    def actor(self) -> str:
        """Return what the audit log calls whoever uses the key."""
        return f"key {self.public_id}"

    @property
    def tenant(self) -> Tenant:
        """Return whose data the key speaks for."""
        return Tenant(self.account.id, self.live)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who may see the dashboard."""

    id: int
    account: Account
    email: str
    password_hash: str = field(repr=False)
    role: str = "owner"
    public_id: str = ""
    created_at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what, and when; *details* tell of it, never the data itself."""

    at_ms: int
    actor: str
    action: str
    details: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A stored session: its ids and its extent."""

    id: int
    public_id: str
    client_session_id: str | None
    started_at_ms: int
    last_event_at_ms: int
    first_event: int
    last_event: int
    page_view_count: int = 0
    sealed: bool = False  # its events are deleted: it cannot be folded again


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifiedSession:
    """A stored session, with all that says where it came from."""

    id: int
    started_at_ms: int
    last_event_at_ms: int
    first_event: int
    landing_url: str
    referrer: str | None
    landing: Landing  # without a key, which sessions do not keep
    list_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A stored web event, and the session it is in.

    `landing` is None where the URL and the referrer say all of it.
    """

    id: int
    session: int | None
    event_id: str
    occurred_at_ms: int
    url: str
    is_page_view: bool
    client_session_id: str | None
    referrer: str | None
    landing: Landing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """What a repeated event is answered with."""

    id: int
    event_type: str
    visitor: int | None
    identity: int | None
    visitor_id: str | None
    session_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event about to be stored.

    `url` is None for a server event, `landing` where URL and referrer say all of it;
    `said_ms` is what the client's clock said.
    """

    event_id: str
    event_type: str
    visitor: int | None
    identity: int | None
    client_session_id: str | None
    occurred_at_ms: int
    received_at_ms: int
    said_ms: int | None
    url: str | None
    referrer: str | None
    landing: Landing | None
    bot_reason: str | None
    flags: frozenset[str]
    properties: Mapping[str, object]
    user_agent: str | None = None


class Tail(NamedTuple):
    """A visitor's latest session, as far as the next event's place depends on it.

    `landing` is that of its first event, as in `EventRow`; `last_client_session_id`
    is its last event's.
    """

    id: int
    public_id: str
    client_session_id: str | None
    started_at_ms: int
    last_event_at_ms: int
    page_view_count: int
    landing_url: str
    referrer: str | None
    last_client_session_id: str | None
    landing: Landing | None
    sealed: bool


class LinkRow(NamedTuple):
    """Who a visitor is or was, and when that was said last."""

    identity: int
    user_id: str
    said_ms: int
    root: int
    from_ms: int
    current: bool


class EventLine(NamedTuple):
    """A row of events about to be stored, its number chosen already."""

    id: int
    id_hour: int
    event_id: str
    event_type: str
    visitor: int
    identity: int | None
    session: int | None
    client_session_id: str | None
    occurred_at_ms: int
    received_at_ms: int
    said_at_ms: int | None
    url: str | None
    referrer: str | None
    landing: Landing | None
    user_agent: str | None
    bot_reason: str | None
    flags: frozenset[str]
    properties: Mapping[str, object]


class NewSession(NamedTuple):
    """A session about to be stored, its number chosen already."""

    id: int
    visitor: int
    public_id: str
    session: Session
    first_event: int
    last_event: int
    list_version: str


def event_hour(said_ms: int | None, received_at_ms: int) -> int:
    """Return the hour that is part of an event's key: the client's, or of receipt."""
    return (received_at_ms if said_ms is None else said_ms) // 3_600_000


class LongerSession(NamedTuple):
    """What is new about a session that goes on."""

    id: int
    last_event: int
    last_event_at_ms: int
    page_views: int
    flags: str


class BulkRows(NamedTuple):
    """All that a batch adds: visitors are (row, visitor_id, first_seen_ms)."""

    visitors: list[tuple[int, str, int]]
    sessions: list[NewSession]
    events: list[EventLine]
    longer: list[LongerSession]
    confirmed: dict[int, tuple[LinkRow, int]]  # by visitor: when it was said again


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConversion:
    """A conversion about to be stored."""

    public_id: str
    dedupe_key: str | None
    conversion_type: str
    visitor: int | None
    identity: int | None
    event: int | None
    revenue_minor: int | None
    currency: str
    converted_at_ms: int
    received_at_ms: int
    is_acquisition: bool
    inherits: bool
    lookback_days: int
    counting: str
    funnel: str | None
    correlation: Mapping[str, object]
    flags: frozenset[str]
    properties: Mapping[str, object]


class Standing(NamedTuple):
    """What a conversion is among the others of its person.

    `counted`: it is in the totals; `acquires`: it made the person a customer;
    `inherited_from`: the conversion whose channels it has taken over.
    """

    counted: bool = True
    acquires: bool = False
    inherited_from: int | None = None


STANDING: Final = Standing()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionRow:
    """A stored conversion.

    `is_acquisition` and `inherits` are what was said of it, `standing` what came of
    that. `lookback_days` of 0 is no limit.
    """

    id: int
    public_id: str
    conversion_type: str
    visitor: int | None
    visitor_id: str | None
    identity: int | None
    revenue_minor: int | None
    currency: str
    converted_at_ms: int
    user_id: str | None = None
    is_acquisition: bool = False
    inherits: bool = False
    lookback_days: int = LOOKBACK_DAYS
    counting: str = EVERY
    funnel: str | None = None
    refunded_minor: int = 0
    voided_at_ms: int | None = None
    void_reason: str | None = None
    standing: Standing = STANDING
    flags: frozenset[str] = frozenset()
    attributed_version: int = 0
    frozen: bool = False  # visits before it are no longer kept

    @property
    def status(self) -> str:
        """Return how much of it still holds."""
        if self.voided_at_ms is not None:
            return "void"
        if not self.refunded_minor:
            return "complete"
        whole = self.refunded_minor == self.revenue_minor
        return "refunded" if whole else "partially_refunded"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRefund:
    """A refund about to be stored."""

    public_id: str
    conversion: int
    refund_id: str
    amount_minor: int
    reason: str | None
    refunded_at_ms: int
    received_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRow:
    """A stored refund; its amount is more than 0."""

    id: int
    public_id: str
    refund_id: str
    amount_minor: int
    reason: str | None
    refunded_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSum:
    """What one channel got under one model: billionths, and millionths of a unit.

    `refunds` is what it gave back, 0 or less.
    """

    model: str
    channel: str
    credit: int
    revenue: int
    refunds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """A period's conversions in one currency, and the visits of all."""

    conversions: int
    revenue_minor: int
    refunds_minor: int = 0  # 0 or less
    visits: Mapping[str, int] = field(default_factory=dict)  # by channel
    visitors: int = 0
    page_views: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRows:
    """What the data-quality panel is made of; visits are sessions that began then."""

    visits: int
    direct: int
    of_one_event: int
    visitors: int
    with_referrer: int
    events: int
    pages: int
    bots: int
    relinked: int  # visitors that became somebody else's
    flags: Mapping[str, int]  # of visits, as they are together
    event_flags: Mapping[str, int]
    conversion_flags: Mapping[str, int]  # with what was wished, and could not be
    sources: Mapping[str, int]
    passed_through: Mapping[tuple[str, str], int]  # (referrer inside a visit, its URL)
    days: Sequence[tuple[int, int, int]]  # day, visits, visitors


class AccountStore(Protocol):
    """Accounts, keys, users and their log-ins, and who did what."""

    def create_account(
        self, name: str, public_id: str, currency: str, timezone: str, now_ms: int
    ) -> Account: ...
    def accounts(self) -> Sequence[Account]: ...
    def delete_account(self, account_id: int, now_ms: int) -> bool: ...
    def restore_account(self, account_id: int) -> bool: ...
    def settings(self, account_id: int) -> Mapping[str, object]: ...
    def save_settings(
        self, account_id: int, settings: Mapping[str, object]
    ) -> None: ...

    def create_key(
        self,
        account: Account,
        *,
        live: bool,
        public_id: str,
        digest: str,
        hint: str,
        name: str,
        scopes: frozenset[str],
        now_ms: int,
        expires_at_ms: int | None,
    ) -> ApiKey: ...
    def key_by_digest(self, digest: str) -> ApiKey | None: ...
    def keys(self, account_id: int) -> Sequence[ApiKey]: ...
    def revoke_key(self, account_id: int, public_id: str, now_ms: int) -> bool: ...
    def touch_key(self, account_id: int, key_id: int, now_ms: int) -> None: ...

    def create_user(
        self,
        account: Account,
        public_id: str,
        email: str,
        password_hash: str,
        now_ms: int,
        role: str = "owner",
    ) -> User: ...
    def user_by_email(self, email: str) -> User | None: ...
    def users(self, account_id: int) -> Sequence[User]: ...
    def set_role(self, account_id: int, user_id: int, role: str) -> None: ...
    def set_password(self, account_id: int, user_id: int, hashed: str) -> None: ...
    def delete_user(self, account_id: int, user_id: int) -> None: ...

    def create_login(
        self, user: User, digest: str, now_ms: int, expires_at_ms: int
    ) -> None: ...
    def user_by_login(self, digest: str, now_ms: int) -> User | None: ...
    def delete_login(self, digest: str) -> None: ...
    def delete_logins(
        self, account_id: int, user_id: int, but_digest: str | None = None
    ) -> None: ...

    def audit(
        self,
        account_id: int,
        at_ms: int,
        actor: str,
        action: str,
        details: Mapping[str, object],
    ) -> None: ...
    def audit_again(
        self, account_id: int, at_ms: int, actor: str, action: str, since_ms: int
    ) -> None: ...
    def audit_entries(self, account_id: int, limit: int) -> Sequence[AuditEntry]: ...


class TrackingStore(SuppressionStore, Protocol):
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
    def replace_credits(
        self,
        tenant: Tenant,
        conversion: ConversionRow,
        standing: Standing,
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
    def converted_since(
        self, tenant: Tenant, from_ms: int
    ) -> tuple[set[int], set[int]]: ...
    def links_of(
        self, tenant: Tenant, visitors: Collection[int]
    ) -> Mapping[int, Sequence[LinkRow]]: ...
    def save(self, tenant: Tenant, rows: BulkRows) -> None: ...


class ReportStore(Protocol):
    """Sums for the reports; periods are [from, to) in milliseconds."""

    def channel_sums(
        self,
        tenant: Tenant,
        from_ms: int,
        to_ms: int,
        currency: str,
        *,
        by_refund: bool = False,
    ) -> Sequence[ChannelSum]: ...
    def totals(
        self,
        tenant: Tenant,
        from_ms: int,
        to_ms: int,
        currency: str,
        *,
        by_refund: bool = False,
    ) -> Totals: ...
    def currencies(
        self, tenant: Tenant, from_ms: int, to_ms: int
    ) -> Mapping[str, int]: ...
    def has_events(self, tenant: Tenant) -> bool: ...
    def quality(self, tenant: Tenant, from_ms: int, to_ms: int) -> QualityRows: ...


class Stores(Protocol):
    """The stores of one transaction."""

    @property
    def accounts(self) -> AccountStore: ...
    @property
    def tracking(self) -> TrackingStore: ...
    @property
    def bulk(self) -> BulkStore: ...
    @property
    def reports(self) -> ReportStore: ...
    @property
    def privacy(self) -> PrivacyStore: ...
    @property
    def jobs(self) -> JobStore: ...


class Storage(Protocol):
    """A database: work is handed in, so that many writers can share one commit."""

    def write(self, work: Callable[[Stores], T]) -> T:
        """Run *work* in a transaction and return its result once that is on disk.

        Raises:
            StorageBusyError: If the queue of writers is full.
            StorageError: If it could not be committed.
        """
        ...

    def submit(
        self,
        together: Callable[[Stores, Sequence[P]], Sequence[R]],
        payload: P,
        size: int = 1,
        *,
        wake: bool = True,
    ) -> Future[R]:
        """Have *payload* worked on with all others that wait for the same *together*.

        The future has its result once that is on disk, else what went wrong. Where
        *together* fails, each payload is tried by itself, so that one bad one does
        not cost the others theirs. *size* is the payload's share of a transaction.
        Without *wake* it may not begin before `wake` is called.

        Raises:
            StorageBusyError: If the queue of writers is full.
            StorageError: If storage is closed.
        """
        ...

    def wake(self) -> None:
        """Begin with what was submitted without waking the writer."""
        ...

    def outcome(self, future: Future[R]) -> R:
        """Wait for what `submit` returned.

        Raises:
            StorageBusyError: If it takes too long.
        """
        ...

    @property
    def accounts_version(self) -> int:
        """Return what grows when accounts, keys or users were changed through this.

        Other processes' changes do not count: who keeps such a value for longer than
        a moment must look again.
        """
        ...

    def read(self, work: Callable[[Stores], T]) -> T:
        """Run *work* on a consistent snapshot; it must not write."""
        ...

    def check(self) -> None:
        """Raise `StorageError` if the database cannot be used now."""
        ...

    def scrub(self) -> bool:
        """Let nothing that was deleted stand in a journal; False: busy, try later."""
        ...

    def close(self) -> None:
        """Finish what is queued and let the database go."""
        ...
