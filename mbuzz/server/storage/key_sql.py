"""SQL of API keys."""

from __future__ import annotations

from collections.abc import Sequence

from mbuzz.server.storage.account_rows import KEY, AccountSql, key_of
from mbuzz.server.storage.connection import first
from mbuzz.server.storage.rows.accounts import Account, ApiKey


class SqlKeyStore(AccountSql):
    """The part of `AccountStore` that is about keys."""

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
    ) -> ApiKey:
        self._change(
            "INSERT INTO api_keys (account_id, live, public_id, digest, hint, name,"
            " scopes, created_at_ms, expires_at_ms)"
            " VALUES (:account_id, :live, :public_id, :digest, :hint, :name,"
            " :scopes, :now, :expires)",
            {
                "account_id": account.id,
                "live": int(live),
                "public_id": public_id,
                "digest": digest,
                "hint": hint,
                "name": name,
                "scopes": " ".join(sorted(scopes)),
                "now": now_ms,
                "expires": expires_at_ms,
            },
        )
        found = self.key_by_digest(digest)
        assert found is not None
        return found

    def key_by_digest(self, digest: str) -> ApiKey | None:
        row = first(
            self._db.rows(
                f"SELECT {KEY} FROM api_keys k JOIN accounts a ON a.id = k.account_id"
                " WHERE k.digest = :digest",
                {"digest": digest},
            )
        )
        return key_of(row) if row else None

    def keys(self, account_id: int) -> Sequence[ApiKey]:
        rows = self._db.rows(
            f"SELECT {KEY} FROM api_keys k JOIN accounts a ON a.id = k.account_id"
            " WHERE k.account_id = :account_id ORDER BY k.id",
            {"account_id": account_id},
        )
        return [key_of(row) for row in rows]

    def revoke_key(self, account_id: int, public_id: str, now_ms: int) -> bool:
        changed = self._change(
            "UPDATE api_keys SET revoked_at_ms = :now WHERE account_id = :account_id"
            " AND public_id = :public_id AND revoked_at_ms IS NULL",
            {"account_id": account_id, "public_id": public_id, "now": now_ms},
        )
        return changed > 0

    def touch_key(self, account_id: int, key_id: int, now_ms: int) -> None:
        self._db.run(
            "UPDATE api_keys"
            " SET last_used_at_ms = max(:now, ifnull(last_used_at_ms, 0))"
            " WHERE account_id = :account_id AND id = :id",
            {"account_id": account_id, "id": key_id, "now": now_ms},
        )
