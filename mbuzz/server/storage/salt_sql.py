"""SQL of the salts by which visitors who refused are told apart for a day."""

from __future__ import annotations

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import TENANT, Connection, owner


class SqlSaltStore:
    """The part of `TrackingStore` and `PrivacyStore` about daily salts."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def daily_salt(self, tenant: Tenant, day: str, fresh: str, until_ms: int) -> str:
        """Return the salt of a day; it is *fresh*, until *until_ms*, if it had none."""
        self._db.run(
            "INSERT INTO daily_salts (account_id, live, day, salt, until_ms)"
            " VALUES (:account_id, :live, :day, :salt, :until) ON CONFLICT DO NOTHING",
            {**owner(tenant), "day": day, "salt": fresh, "until": until_ms},
        )
        ((salt,),) = self._db.rows(
            f"SELECT salt FROM daily_salts WHERE {TENANT} AND day = :day",
            {**owner(tenant), "day": day},
        )
        return str(salt)

    def forget_salts(self, tenant: Tenant, now_ms: int) -> int:
        """Delete the salts whose time is over."""
        return self._db.run(
            f"DELETE FROM daily_salts WHERE {TENANT} AND until_ms <= :now",
            {**owner(tenant), "now": now_ms},
        )
