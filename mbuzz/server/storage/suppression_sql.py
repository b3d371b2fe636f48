"""SQL of the ids of erased people: digests that tell a late call about them."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable

from mbuzz.server.model import Tenant
from mbuzz.server.storage.connection import TENANT, Connection, first, owner
from mbuzz.server.storage.privacy_port import NamedId

_BYTES = 16  # of 32: no two of as many ids as anybody has will be the same


def _digest(secret: str, named: NamedId) -> str:
    """Return what is kept of an id; without the secret it cannot be guessed."""
    text = "\0".join(named).encode("utf-8", "surrogatepass")
    return hmac.digest(secret.encode(), text, "sha256")[:_BYTES].hex()


class SqlSuppressionStore:
    """The part of `TrackingStore` and `PrivacyStore` about the ids of the erased."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def suppresses(self, tenant: Tenant) -> bool:
        """Tell whether there is any suppressed id at all; costs one look."""
        return bool(
            self._db.rows(
                f"SELECT 1 FROM suppressions WHERE {TENANT} LIMIT 1", owner(tenant)
            )
        )

    def suppressed(
        self, tenant: Tenant, ids: Iterable[NamedId], now_ms: int
    ) -> set[NamedId]:
        """Return those of *ids* that are suppressed at *now_ms*."""
        secret = self._secret(tenant)
        if secret is None:
            return set()
        by_digest = {_digest(secret, named): named for named in ids}
        rows = self._db.rows(
            f"SELECT digest FROM suppressions WHERE {TENANT} AND until_ms > :now"
            " AND digest IN (SELECT value FROM json_each(:digests))",
            {**owner(tenant), "now": now_ms, "digests": json.dumps([*by_digest])},
        )
        return {by_digest[digest] for (digest,) in rows}

    def suppress(self, tenant: Tenant, ids: Iterable[NamedId], until_ms: int) -> None:
        """Keep the digests of *ids*; `set_secret` comes before."""
        secret = self._secret(tenant)
        assert secret is not None, "set_secret comes first"
        for named in ids:
            self._db.run(
                "INSERT INTO suppressions (account_id, live, digest, until_ms)"
                " VALUES (:account_id, :live, :digest, :until)"
                " ON CONFLICT (account_id, live, digest)"
                " DO UPDATE SET until_ms = excluded.until_ms",
                {
                    **owner(tenant),
                    "digest": _digest(secret, named),
                    "until": until_ms,
                },
            )

    def set_secret(self, tenant: Tenant, secret: str) -> None:
        """Keep *secret* as the digests' key, unless there is one."""
        self._db.run(
            "INSERT INTO suppression_secrets (account_id, live, secret)"
            " VALUES (:account_id, :live, :secret) ON CONFLICT DO NOTHING",
            {**owner(tenant), "secret": secret},
        )

    def _secret(self, tenant: Tenant) -> str | None:
        row = first(
            self._db.rows(
                f"SELECT secret FROM suppression_secrets WHERE {TENANT}", owner(tenant)
            )
        )
        return row[0] if row else None
