"""Passwords: stored as scrypt hashes that say how they were made."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import unicodedata
from base64 import b64decode, b64encode
from typing import Final

# 32 MiB for about a quarter of a second, so that two log-ins at once fit a small
# machine. Source: OWASP Password Storage Cheat Sheet, scrypt, N=2**15, r=8, p=3.
_LOG_N: Final = 15
_R: Final = 8
_P: Final = 3

_SALT_BYTES: Final = 16
_DIGEST_BYTES: Final = 32
_MOST_MEMORY: Final = 64 * 2**20  # what a stored hash may ask for
_STORED: Final = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})"
    r"\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})"
)


def hash_password(text: str) -> str:
    """Return what to store of a password: parameters, salt and digest.

    Source: the notation of PHC strings and of passlib, ``$scrypt$ln=15,r=8,p=3$..$..``.
    """
    salt = os.urandom(_SALT_BYTES)
    digest = _digest(text, salt, log_n=_LOG_N, r=_R, p=_P)
    return _notation(salt, digest)


def verify_password(text: str, stored: str | None) -> bool:
    """Tell whether *text* is the password behind *stored*.

    None, for a user who does not exist, takes the same time and is never right.

    Raises:
        ValueError: If *stored* is no hash of ours.
    """
    match = _STORED.fullmatch(stored or _notation(bytes(16), bytes(32)))
    if match is None:
        raise ValueError("the stored password hash is malformed; set a new password")
    log_n, r, p = (int(number) for number in match.group(1, 2, 3))
    salt, expected = (b64decode(part + "==") for part in match.group(4, 5))
    same = hmac.compare_digest(_digest(text, salt, log_n=log_n, r=r, p=p), expected)
    return same and stored is not None


def is_outdated(stored: str) -> bool:
    """Tell whether *stored* was made with other parameters than are used now."""
    return not stored.startswith(f"{_parameters()}$")


def _digest(text: str, salt: bytes, *, log_n: int, r: int, p: int) -> bytes:
    # One letter can be typed as one code point or as two (RFC 8265, section 4.2).
    password = unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(
        password,
        salt=salt,
        n=2**log_n,
        r=r,
        p=p,
        maxmem=_MOST_MEMORY,
        dklen=_DIGEST_BYTES,
    )


def _notation(salt: bytes, digest: bytes) -> str:
    parts = (b64encode(part).decode().rstrip("=") for part in (salt, digest))
    return f"{_parameters()}${'$'.join(parts)}"


def _parameters() -> str:
    return f"$scrypt$ln={_LOG_N},r={_R},p={_P}"
