"""What the rest of the server asks of storage, one Protocol per context.

Rows are frozen values with integer ids; every method on tenant data takes the tenant
first. A method belongs to one transaction, which `Storage.write` or `.read` gives out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from mbuzz.server.model import Tenant
from mbuzz.server.storage.model_port import ModelStore, ModelVersion
from mbuzz.server.storage.pending import Pending
from mbuzz.server.storage.privacy_port import JobStore, PrivacyStore
from mbuzz.server.storage.rows.accounts import Account, ApiKey, AuditEntry, User
from mbuzz.server.storage.rows.reports import ChannelSum, QualityRows, Totals
from mbuzz.server.storage.tracking_port import BulkStore, TrackingStore

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")


class AccountStore(Protocol):
    """Accounts, keys, users and their log-ins, and who did what."""

    def create_account(
        self, name: str, public_id: str, currency: str, timezone: str, now_ms: int
    ) -> Account: ...
    def accounts(self) -> Sequence[Account]: ...
    def account(self, account_id: int) -> Account: ...
    def delete_account(self, account_id: int, now_ms: int) -> bool: ...
    def restore_account(self, account_id: int) -> bool: ...
    def settings(self, account_id: int) -> Mapping[str, object]: ...
    def save_settings(
        self, account_id: int, settings: Mapping[str, object]
    ) -> None: ...
    def save_models(self, account_id: int, models: str) -> None: ...
    def add_model_version(self, account_id: int, version: ModelVersion) -> None: ...
    def model_versions(self, account_id: int, model: str) -> Sequence[ModelVersion]: ...

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


class ReportStore(Protocol):
    """Sums for the reports; periods are [from, to) in milliseconds."""

    def credited_models(self, tenant: Tenant) -> Sequence[str]: ...
    def crediting(self, tenant: Tenant) -> Sequence[str]: ...
    def channel_sums(
        self,
        tenant: Tenant,
        from_ms: int,
        to_ms: int,
        currency: str,
        models: Sequence[str],
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
    def models(self) -> ModelStore: ...
    @property
    def jobs(self) -> JobStore: ...

    def check_time(self) -> None:
        """Raise `TooLongError` if the writer had better go on with this.

        To be called before anything that may take a millisecond or more.
        """
        ...


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
    ) -> Pending[R]:
        """Have *payload* worked on with all others that wait for the same *together*.

        What comes of it is there once that is on disk, or what went wrong. Where
        *together* fails, each payload is tried by itself, so that one bad one does
        not cost the others theirs. *size* is the payload's share of a transaction.
        Without *wake* it may not begin before `wake` or `settle` is called.

        Raises:
            StorageBusyError: If the queue of writers is full.
            StorageError: If storage is closed.
        """
        ...

    def wake(self) -> None:
        """Begin with what was submitted without waking the writer."""
        ...

    def settle(self) -> bool:
        """Do what was submitted without waking the writer: here, if that is quick.

        Return whether some is left for the next call; what takes long the writer does.
        """
        ...

    def outcome(self, pending: Pending[R]) -> R:
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
