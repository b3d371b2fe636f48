"""API keys: made once, shown once, kept as a digest."""

from __future__ import annotations

import hashlib

from mbuzz import ids, protocol
from mbuzz.server.storage.port import Account, AccountStore, ApiKey

_USED_EVERY_MS = 60_000  # how exactly "last used" is kept


class KeyRefusedError(Exception):
    """The request carries no key that counts; the text says which way it failed."""


def digest(key: str) -> str:
    """Return what is stored of *key*. 192 random bits need no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def create(
    store: AccountStore, account: Account, *, live: bool, name: str, now_ms: int
) -> tuple[ApiKey, str]:
    """Make a key and return it with its text, which is nowhere to be had again."""
    text = f"sk_{'live' if live else 'test'}_{ids.token()}"
    key = store.create_key(
        account,
        live=live,
        public_id=ids.time_ordered("key", now_ms),
        digest=digest(text),
        hint=f"{text[:8]}...{text[-4:]}",
        name=name,
        now_ms=now_ms,
    )
    return key, text


def authenticate(store: AccountStore, header: str | None) -> ApiKey:
    """Return the key that an `Authorization` header names.

    The digest is looked up whole, so its index leaks nothing about the key.

    Raises:
        KeyRefusedError: If it is missing, malformed, unknown or revoked.
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
    key = store.key_by_digest(digest(text))
    if key is None:
        raise KeyRefusedError("the API key is unknown here; check it and the address")
    if key.revoked_at_ms is not None:
        raise KeyRefusedError(
            "the API key was revoked; make a new one with 'mbuzz keys create'"
        )
    return key


def needs_touch(key: ApiKey, now_ms: int) -> bool:
    """Tell whether its last use is worth writing down again."""
    return key.last_used_at_ms is None or now_ms - key.last_used_at_ms > _USED_EVERY_MS
