"""Accounts with their keys and users, and lines of the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mbuzz.server.model import Tenant
from mbuzz.server.policy import Policy


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
