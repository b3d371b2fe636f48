"""SQL of users and their log-ins."""

from __future__ import annotations

from collections.abc import Sequence

from mbuzz.server.storage.account_rows import USER, AccountSql, user_of
from mbuzz.server.storage.connection import first
from mbuzz.server.storage.rows.accounts import Account, User


class SqlUserStore(AccountSql):
    """The part of `AccountStore` that is about people."""

    def create_user(
        self,
        account: Account,
        public_id: str,
        email: str,
        password_hash: str,
        now_ms: int,
        role: str = "owner",
    ) -> User:
        self._change(
            "INSERT INTO users"
            " (account_id, public_id, email, password_hash, role, created_at_ms)"
            " VALUES (:account_id, :public_id, :email, :password_hash, :role, :now)",
            {
                "account_id": account.id,
                "public_id": public_id,
                "email": email.lower(),
                "password_hash": password_hash,
                "role": role,
                "now": now_ms,
            },
        )
        found = self.user_by_email(email)
        assert found is not None
        return found

    def user_by_email(self, email: str) -> User | None:
        row = first(
            self._db.rows(
                f"SELECT {USER} FROM users u JOIN accounts a ON a.id = u.account_id"
                " WHERE u.email = :email",
                {"email": email.lower()},
            )
        )
        return user_of(row) if row else None

    def users(self, account_id: int) -> Sequence[User]:
        rows = self._db.rows(
            f"SELECT {USER} FROM users u JOIN accounts a ON a.id = u.account_id"
            " WHERE u.account_id = :account_id ORDER BY u.id",
            {"account_id": account_id},
        )
        return [user_of(row) for row in rows]

    def set_role(self, account_id: int, user_id: int, role: str) -> None:
        self._change(
            "UPDATE users SET role = :role WHERE account_id = :account_id AND id = :id",
            {"account_id": account_id, "id": user_id, "role": role},
        )

    def set_password(self, account_id: int, user_id: int, hashed: str) -> None:
        self._change(
            "UPDATE users SET password_hash = :hashed"
            " WHERE account_id = :account_id AND id = :id",
            {"account_id": account_id, "id": user_id, "hashed": hashed},
        )

    def delete_user(self, account_id: int, user_id: int) -> None:
        self.delete_logins(account_id, user_id)
        self._change(
            "DELETE FROM users WHERE account_id = :account_id AND id = :id",
            {"account_id": account_id, "id": user_id},
        )

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
                f"SELECT {USER} FROM logins l"
                " JOIN users u ON u.id = l.user_id AND u.account_id = l.account_id"
                " JOIN accounts a ON a.id = u.account_id"
                " WHERE l.digest = :digest AND l.expires_at_ms > :now"
                " AND a.deleted_at_ms IS NULL",
                {"digest": digest, "now": now_ms},
            )
        )
        return user_of(row) if row else None

    def delete_login(self, digest: str) -> None:
        self._db.run("DELETE FROM logins WHERE digest = :digest", {"digest": digest})

    def delete_logins(
        self, account_id: int, user_id: int, but_digest: str | None = None
    ) -> None:
        self._db.run(
            "DELETE FROM logins WHERE account_id = :account_id AND user_id = :user_id"
            " AND digest IS NOT :but",
            {"account_id": account_id, "user_id": user_id, "but": but_digest},
        )
