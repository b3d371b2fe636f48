"""Passwords: stored as scrypt hashes that say how they were made."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import unicodedata
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What it takes to try one password; who has many to try pays it for each.

    32 MiB for about a quarter of a second, so that two log-ins at once fit a small
    machine. Source: OWASP Password Storage Cheat Sheet, scrypt, N=2**15, r=8, p=3.
    """

    log_n: int = 15
    r: int = 8
    p: int = 3

    def __str__(self) -> str:
        """Return how a stored hash begins that was made at this cost."""
        return f"$scrypt$ln={self.log_n},r={self.r},p={self.p}$"


COST: Final = Cost()

_SALT_BYTES: Final = 16
_DIGEST_BYTES: Final = 32
_MOST_MEMORY: Final = 64 * 2**20  # what a stored hash may ask for
_STORED: Final = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})"
    r"\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})"
)


def hash_password(text: str, cost: Cost = COST) -> str:
    """Return what to store of a password: parameters, salt and digest.

    Source: the notation of PHC strings and of passlib, ``$scrypt$ln=15,r=8,p=3$..$..``.
    """
    salt = os.urandom(_SALT_BYTES)
    return _notation(salt, _digest(text, salt, cost), cost)


def verify_password(text: str, stored: str | None, cost: Cost = COST) -> bool:
    """Tell whether *text* is the password behind *stored*.

    None, for a user who does not exist, takes as long as one made at *cost*, and is
    never right.

    Raises:
        ValueError: If *stored* is no hash of ours.
    """
    match = _STORED.fullmatch(stored or _notation(bytes(16), bytes(32), cost))
    if match is None:
        raise ValueError("the stored password hash is malformed; set a new password")
    log_n, r, p = (int(number) for number in match.group(1, 2, 3))
    salt, expected = (b64decode(part + "==") for part in match.group(4, 5))
    theirs = Cost(log_n=log_n, r=r, p=p)
    same = hmac.compare_digest(_digest(text, salt, theirs), expected)
    return same and stored is not None


def is_outdated(stored: str, cost: Cost = COST) -> bool:
    """Tell whether *stored* was made at another cost than is asked now."""
    return not stored.startswith(str(cost))


def _digest(text: str, salt: bytes, cost: Cost) -> bytes:
    # One letter can be typed as one code point or as two (RFC 8265, section 4.2).
    password = unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(
        password,
        salt=salt,
        n=2**cost.log_n,
        r=cost.r,
        p=cost.p,
        maxmem=_MOST_MEMORY,
        dklen=_DIGEST_BYTES,
    )


def _notation(salt: bytes, digest: bytes, cost: Cost) -> str:
    parts = (b64encode(part).decode().rstrip("=") for part in (salt, digest))
    return f"{cost}{'$'.join(parts)}"
