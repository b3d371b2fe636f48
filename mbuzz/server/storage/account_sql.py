"""SQL of accounts and of who did what; keys and users are in the bases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from mbuzz.server.storage.account_rows import ACCOUNT, account_of
from mbuzz.server.storage.connection import dump
from mbuzz.server.storage.key_sql import SqlKeyStore
from mbuzz.server.storage.model_port import ModelVersion
from mbuzz.server.storage.rows.accounts import Account, AuditEntry
from mbuzz.server.storage.user_sql import SqlUserStore


class SqlAccountStore(SqlKeyStore, SqlUserStore):
    """`AccountStore` in SQL."""

    def create_account(
        self, name: str, public_id: str, currency: str, timezone: str, now_ms: int
    ) -> Account:
        self._change(
            "INSERT INTO accounts (public_id, name, currency, timezone, created_at_ms)"
            " VALUES (:public_id, :name, :currency, :timezone, :now)",
            {
                "public_id": public_id,
                "name": name,
                "currency": currency,
                "timezone": timezone,
                "now": now_ms,
            },
        )
        sql = f"SELECT {ACCOUNT} FROM accounts a WHERE a.public_id = :public_id"
        return account_of(self._db.rows(sql, {"public_id": public_id})[0])

    def accounts(self) -> Sequence[Account]:
        sql = f"SELECT {ACCOUNT} FROM accounts a ORDER BY a.id"
        return [account_of(row) for row in self._db.rows(sql, {})]

    def account(self, account_id: int) -> Account:
        sql = f"SELECT {ACCOUNT} FROM accounts a WHERE a.id = :account_id"
        ((*row,),) = self._db.rows(sql, {"account_id": account_id})
        return account_of(tuple(row))

    def settings(self, account_id: int) -> Mapping[str, object]:
        """Return what an account has chosen, as it was written."""
        ((text,),) = self._db.rows(
            "SELECT settings FROM accounts WHERE id = :account_id",
            {"account_id": account_id},
        )
        found: dict[str, object] = json.loads(text)
        return found

    def save_settings(self, account_id: int, settings: Mapping[str, object]) -> None:
        """Replace what an account has chosen."""
        self._db.run(
            "UPDATE accounts SET settings = :settings WHERE id = :account_id",
            {"account_id": account_id, "settings": dump(dict(settings))},
        )

    def save_models(self, account_id: int, models: str) -> None:
        """Replace the models that an account has chosen (JSON)."""
        self._change(
            "UPDATE accounts SET models = :models WHERE id = :account_id",
            {"account_id": account_id, "models": models},
        )

    def add_model_version(self, account_id: int, version: ModelVersion) -> None:
        self._db.run(
            "INSERT INTO model_versions (account_id, model, version, definition,"
            " actor, created_at_ms) VALUES (:account_id, :model, :version,"
            " :definition, :actor, :at)",
            {
                "account_id": account_id,
                "model": version.model,
                "version": version.version,
                "definition": version.definition,
                "actor": version.actor,
                "at": version.created_at_ms,
            },
        )

    def model_versions(self, account_id: int, model: str) -> Sequence[ModelVersion]:
        """Return what a model was, the latest first."""
        rows = self._db.rows(
            "SELECT model, version, definition, actor, created_at_ms"
            " FROM model_versions WHERE account_id = :account_id AND model = :model"
            " ORDER BY version DESC",
            {"account_id": account_id, "model": model},
        )
        return [
            ModelVersion(
                model=row[0],
                version=row[1],
                definition=row[2],
                actor=row[3],
                created_at_ms=row[4],
            )
            for row in rows
        ]

    def delete_account(self, account_id: int, now_ms: int) -> bool:
        changed = self._change(
            "UPDATE accounts SET deleted_at_ms = :now"
            " WHERE id = :id AND deleted_at_ms IS NULL",
            {"id": account_id, "now": now_ms},
        )
        return changed > 0

    def restore_account(self, account_id: int) -> bool:
        changed = self._change(
            "UPDATE accounts SET deleted_at_ms = NULL"
            " WHERE id = :id AND deleted_at_ms IS NOT NULL",
            {"id": account_id},
        )
        return changed > 0

    # -- who did what --

    def audit(
        self,
        account_id: int,
        at_ms: int,
        actor: str,
        action: str,
        details: Mapping[str, object],
    ) -> None:
        self._db.run(
            "INSERT INTO audit (account_id, at_ms, actor, action, details)"
            " VALUES (:account_id, :at, :actor, :action, :details)",
            {
                "account_id": account_id,
                "at": at_ms,
                "actor": actor,
                "action": action,
                "details": dump(details),
            },
        )

    def audit_again(
        self, account_id: int, at_ms: int, actor: str, action: str, since_ms: int
    ) -> None:
        changed = self._db.run(
            "UPDATE audit SET details ="
            " json_set(details, '$.times', json_extract(details, '$.times') + 1)"
            " WHERE account_id = :account_id AND id = (SELECT max(id) FROM audit"
            " WHERE account_id = :account_id AND at_ms >= :since AND actor = :actor"
            " AND action = :action)",
            {
                "account_id": account_id,
                "since": since_ms,
                "actor": actor,
                "action": action,
            },
        )
        if not changed:
            self.audit(account_id, at_ms, actor, action, {"times": 1})

    def audit_entries(self, account_id: int, limit: int) -> Sequence[AuditEntry]:
        rows = self._db.rows(
            "SELECT at_ms, actor, action, details FROM audit"
            " WHERE account_id = :account_id ORDER BY at_ms DESC, id DESC LIMIT :limit",
            {"account_id": account_id, "limit": limit},
        )
        return [
            AuditEntry(
                at_ms=row[0], actor=row[1], action=row[2], details=json.loads(row[3])
            )
            for row in rows
        ]
