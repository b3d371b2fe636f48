"""SQL of accounts, keys, users and log-ins."""

from __future__ import annotations

from collections.abc import Sequence

from mbuzz.server.policy import policy_of
from mbuzz.server.storage.connection import Connection, Row, first
from mbuzz.server.storage.port import Account, ApiKey, User

_ACCOUNT = "a.id, a.public_id, a.name, a.currency, a.timezone, a.settings"
_KEY = (
    "k.id, k.public_id, k.live, k.hint, k.name, k.created_at_ms, "
    f"k.last_used_at_ms, k.revoked_at_ms, k.scopes, {_ACCOUNT}"
)


def _account(row: Row) -> Account:
    return Account(
        id=row[0],
        public_id=row[1],
        name=row[2],
        currency=row[3],
        timezone=row[4],
        policy=policy_of(row[3], row[4], row[5]),
    )


def _key(row: Row) -> ApiKey:
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
        account=_account(row[9:]),
    )


def _user(row: Row) -> User:
    return User(
        id=row[0], email=row[1], password_hash=row[2], account=_account(row[3:])
    )


class SqlAccountStore:
    """`AccountStore` in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def create_account(
        self, name: str, public_id: str, currency: str, timezone: str, now_ms: int
    ) -> Account:
        rows = self._db.rows(
            "INSERT INTO accounts (public_id, name, currency, timezone, created_at_ms)"
            " VALUES (:public_id, :name, :currency, :timezone, :now)"
            " RETURNING id, public_id, name, currency, timezone, settings",
            {
                "public_id": public_id,
                "name": name,
                "currency": currency,
                "timezone": timezone,
                "now": now_ms,
            },
        )
        return _account(rows[0])

    def accounts(self) -> Sequence[Account]:
        sql = f"SELECT {_ACCOUNT} FROM accounts a ORDER BY a.id"
        return [_account(row) for row in self._db.rows(sql, {})]

    def create_key(
        self,
        account: Account,
        *,
        live: bool,
        public_id: str,
        digest: str,
        hint: str,
        name: str,
        now_ms: int,
    ) -> ApiKey:
        self._db.run(
            "INSERT INTO api_keys"
            " (account_id, live, public_id, digest, hint, name, created_at_ms)"
            " VALUES (:account_id, :live, :public_id, :digest, :hint, :name, :now)",
            {
                "account_id": account.id,
                "live": int(live),
                "public_id": public_id,
                "digest": digest,
                "hint": hint,
                "name": name,
                "now": now_ms,
            },
        )
        found = self.key_by_digest(digest)
        assert found is not None
        return found

    def key_by_digest(self, digest: str) -> ApiKey | None:
        row = first(
            self._db.rows(
                f"SELECT {_KEY} FROM api_keys k JOIN accounts a ON a.id = k.account_id"
                " WHERE k.digest = :digest",
                {"digest": digest},
            )
        )
        return _key(row) if row else None

    def keys(self, account_id: int) -> Sequence[ApiKey]:
        rows = self._db.rows(
            f"SELECT {_KEY} FROM api_keys k JOIN accounts a ON a.id = k.account_id"
            " WHERE k.account_id = :account_id ORDER BY k.id",
            {"account_id": account_id},
        )
        return [_key(row) for row in rows]

    def revoke_key(self, account_id: int, public_id: str, now_ms: int) -> bool:
        changed = self._db.run(
            "UPDATE api_keys SET revoked_at_ms = :now WHERE account_id = :account_id"
            " AND public_id = :public_id AND revoked_at_ms IS NULL",
            {"account_id": account_id, "public_id": public_id, "now": now_ms},
        )
        return changed > 0

    def touch_key(self, account_id: int, key_id: int, now_ms: int) -> None:
        self._db.run(
            "UPDATE api_keys SET last_used_at_ms = :now"
            " WHERE account_id = :account_id AND id = :id",
            {"account_id": account_id, "id": key_id, "now": now_ms},
        )

    def create_user(
        self,
        account: Account,
        public_id: str,
        email: str,
        password_hash: str,
        now_ms: int,
    ) -> User:
        self._db.run(
            "INSERT INTO users"
            " (account_id, public_id, email, password_hash, created_at_ms)"
            " VALUES (:account_id, :public_id, :email, :password_hash, :now)",
            {
                "account_id": account.id,
                "public_id": public_id,
                "email": email.lower(),
                "password_hash": password_hash,
                "now": now_ms,
            },
        )
        found = self.user_by_email(email)
        assert found is not None
        return found

    def user_by_email(self, email: str) -> User | None:
        row = first(
            self._db.rows(
                f"SELECT u.id, u.email, u.password_hash, {_ACCOUNT} FROM users u"
                " JOIN accounts a ON a.id = u.account_id WHERE u.email = :email",
                {"email": email.lower()},
            )
        )
        return _user(row) if row else None

    def create_login(
        self, user: User, digest: str, now_ms: int, expires_at_ms: int
    ) -> None:
        self._db.run("DELETE FROM logins WHERE expires_at_ms <= :now", {"now": now_ms})
        self._db.run(
            "INSERT INTO logins (digest, account_id, user_id, expires_at_ms)"
            " VALUES (:digest, :account_id, :user_id, :expires)",
            {
                "digest": digest,
                "account_id": user.account.id,
                "user_id": user.id,
                "expires": expires_at_ms,
            },
        )

    def user_by_login(self, digest: str, now_ms: int) -> User | None:
        row = first(
            self._db.rows(
                f"SELECT u.id, u.email, u.password_hash, {_ACCOUNT} FROM logins l"
                " JOIN users u ON u.id = l.user_id"
                " JOIN accounts a ON a.id = u.account_id"
                " WHERE l.digest = :digest AND l.expires_at_ms > :now",
                {"digest": digest, "now": now_ms},
            )
        )
        return _user(row) if row else None

    def delete_login(self, digest: str) -> None:
        self._db.run("DELETE FROM logins WHERE digest = :digest", {"digest": digest})
