"""API keys: made once, shown once, kept as a digest."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from mbuzz import ids, protocol
from mbuzz.server.storage.port import AccountStore
from mbuzz.server.storage.rows.accounts import Account, ApiKey

_USED_EVERY_MS = 60_000  # how exactly "last used" is kept

# What a key may be allowed to do.
SCOPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ingest": "send events and conversions",
        "read": "read reports",
        "admin": "erase and export people's data, change attribution models",
        "import": "send events of any age",
    }
)
DEFAULT_SCOPES: Final = frozenset({"ingest", "read"})
COMMAND_LINE: Final = "command line"  # who did it, in the audit log


class KeyRefusedError(Exception):
    """The request carries no key that counts; the text says which way it failed."""


def digest(key: str) -> str:
    """Return what is stored of *key*. 192 random bits need no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def check_scopes(names: Iterable[str]) -> frozenset[str]:
    """Return what a key may do; who may import may also ingest.

    Raises:
        ValueError: If one is unknown, or there is none.
    """
    scopes = frozenset(names)
    unknown = sorted(scopes - SCOPES.keys())
    if unknown or not scopes:
        raise ValueError(
            f"a key's scopes are some of {', '.join(SCOPES)}, got "
            f"{', '.join(unknown) or 'none'}"
        )
    return scopes | {"ingest"} if "import" in scopes else scopes


def create(
    store: AccountStore,
    account: Account,
    *,
    live: bool,
    name: str,
    now_ms: int,
    scopes: Iterable[str] = DEFAULT_SCOPES,
    expires_at_ms: int | None = None,
    actor: str = COMMAND_LINE,
) -> tuple[ApiKey, str]:
    """Make a key and return it with its text, which is nowhere to be had again."""
    allowed = check_scopes(scopes)
    text = f"sk_{'live' if live else 'test'}_{ids.token()}"
    key = store.create_key(
        account,
        live=live,
        public_id=ids.time_ordered("key", now_ms),
        digest=digest(text),
        hint=f"{text[:8]}...{text[-4:]}",
        name=name,
        scopes=allowed,
        now_ms=now_ms,
        expires_at_ms=expires_at_ms,
    )
    details = {"key": key.public_id, "hint": key.hint, "scopes": sorted(allowed)}
    store.audit(account.id, now_ms, actor, "key.create", details)
    return key, text


def revoke(
    store: AccountStore,
    account: Account,
    public_id: str,
    *,
    now_ms: int,
    actor: str = COMMAND_LINE,
) -> bool:
    """End a key for good; False if the account has no such key that works."""
    done = store.revoke_key(account.id, public_id, now_ms)
    if done:
        store.audit(account.id, now_ms, actor, "key.revoke", {"key": public_id})
    return done


def read_header(header: str | None) -> str:
    """Return the text of the key in an `Authorization` header.

    Raises:
        KeyRefusedError: If it is missing or malformed.
    """
    if not header:
        raise KeyRefusedError(
            "no API key was sent; send the header 'Authorization: Bearer sk_...'"
        )
    scheme, _, text = header.strip().partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not protocol.API_KEY.fullmatch(text):
        raise KeyRefusedError(
            "the Authorization header is malformed; "
            "it must be 'Bearer ' and a key that begins with sk_test_ or sk_live_"
        )
    return text


def authenticate(store: AccountStore, header: str | None, now_ms: int) -> ApiKey:
    """Return the key that an `Authorization` header names.

    The digest is looked up whole, so its index leaks nothing about the key.

    Raises:
        KeyRefusedError: If it is missing, malformed, unknown, revoked or expired, or
            its account is closed.
    """
    wanted = digest(read_header(header))
    key = store.key_by_digest(wanted)
    if key is None or not hmac.compare_digest(key.digest, wanted):
        raise KeyRefusedError("the API key is unknown here; check it and the address")
    if key.revoked_at_ms is not None:
        raise KeyRefusedError(
            "the API key was revoked; make a new one with 'mbuzz keys create'"
        )
    if key.expires_at_ms is not None and key.expires_at_ms <= now_ms:
        raise KeyRefusedError(
            "the API key has expired; make a new one with 'mbuzz keys create'"
        )
    if key.account.deleted_at_ms is not None:
        raise KeyRefusedError(
            "the account of the API key was closed; "
            "for some days 'mbuzz accounts restore' brings it back"
        )
    return key


def needs_touch(key: ApiKey, now_ms: int) -> bool:
    """Tell whether its last use is worth writing down again."""
    return key.last_used_at_ms is None or now_ms - key.last_used_at_ms > _USED_EVERY_MS
