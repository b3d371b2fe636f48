"""A client's key for a whole batch: the same again is answered as the first time.

Source: Stripe's API, which keeps answers for 24 hours as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from mbuzz import protocol
from mbuzz.server.http.errors import HttpError
from mbuzz.server.http.request import Request

KEPT_MS: Final = 86_400_000  # how long an answer is given again


def idempotency_key(request: Request) -> str | None:
    """Return the key of the request's header; a long one as its digest."""
    key = request.header("X-Idempotency-Key") or request.header("Idempotency-Key")
    if key is not None and len(key) > protocol.MAX_USER_ID:
        return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    return key


def body_digest(request: Request, envelope: Mapping[str, object]) -> str:
    """Return what two bodies share that say the same.

    When a batch was sent is no part of it: a retry is sent later.
    """
    data = request.body()
    if "sent_at" in envelope:
        rest = {name: value for name, value in envelope.items() if name != "sent_at"}
        with suppress(RecursionError):  # then the bytes must do
            data = json.dumps(rest, separators=(",", ":")).encode()
    return hashlib.sha256(data).hexdigest()


def replay(known: tuple[str, str], digest: str) -> dict[str, object]:
    """Return the answer that was given before.

    Raises:
        HttpError: 409 if it was given to another body.
    """
    known_digest, text = known
    if known_digest != digest:
        raise HttpError(
            409,
            "idempotency_conflict",
            "this idempotency key was used for another body; use a new key",
        )
    reply: dict[str, object] = json.loads(text)
    return reply
