"""Columns of accounts, keys and users, and the values made of them."""

from __future__ import annotations

from typing import Final

from mbuzz.server.policy import policy_of
from mbuzz.server.storage.connection import Connection, Params, Row
from mbuzz.server.storage.rows.accounts import Account, ApiKey, User

ACCOUNT: Final = (
    "a.id, a.public_id, a.name, a.currency, a.timezone, a.settings, a.models,"
    " a.deleted_at_ms"
)
KEY: Final = (
    "k.id, k.public_id, k.live, k.hint, k.name, k.created_at_ms, k.last_used_at_ms,"
    f" k.revoked_at_ms, k.scopes, k.expires_at_ms, k.digest, {ACCOUNT}"
)
USER: Final = (
    f"u.id, u.email, u.password_hash, u.role, u.public_id, u.created_at_ms, {ACCOUNT}"
)


def account_of(row: Row) -> Account:
    """Return the account that a row of `ACCOUNT` is."""
    return Account(
        id=row[0],
        public_id=row[1],
        name=row[2],
        currency=row[3],
        timezone=row[4],
        policy=policy_of(row[3], row[4], row[5], row[6]),
        deleted_at_ms=row[7],
    )


def key_of(row: Row) -> ApiKey:
    """Return the key that a row of `KEY` is."""
    return ApiKey(
        id=row[0],
        public_id=row[1],
        live=bool(row[2]),
        hint=row[3],
        name=row[4],
        created_at_ms=row[5],
        last_used_at_ms=row[6],
        revoked_at_ms=row[7],
        scopes=frozenset(row[8].split()),
        expires_at_ms=row[9],
        digest=row[10],
        account=account_of(row[11:]),
    )


def user_of(row: Row) -> User:
    """Return the user that a row of `USER` is."""
    return User(
        id=row[0],
        email=row[1],
        password_hash=row[2],
        role=row[3],
        public_id=row[4],
        created_at_ms=row[5],
        account=account_of(row[6:]),
    )


class AccountSql:
    """A connection for SQL on accounts, and how often they were changed by it."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection
        self.version = 0

    def _change(self, sql: str, params: Params) -> int:
        """Run a statement that ends what anybody remembers of accounts and keys."""
        self.version += 1
        return self._db.run(sql, params)
