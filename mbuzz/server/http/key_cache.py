"""Keys looked up a moment ago, so that ordinary requests ask the database nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, Generic, NamedTuple, TypeVar

from mbuzz.clock import Clock
from mbuzz.server.ingestion import keys
from mbuzz.server.ingestion.keys import KeyRefusedError
from mbuzz.server.networks import Networks
from mbuzz.server.policy import with_datacenters
from mbuzz.server.storage.errors import StorageError
from mbuzz.server.storage.port import Storage, Stores
from mbuzz.server.storage.rows.accounts import ApiKey

T = TypeVar("T")

_KEPT: Final = 2.0  # seconds in which a revocation by another process may not bite
_MOST: Final = 1_000
_LONGEST: Final = 200  # characters of a header; a longer one is not remembered


class _Touch(NamedTuple):
    """A use of a key that is to be written down."""

    account_id: int
    key_id: int
    now_ms: int


class _Recent(Generic[T]):
    """A few values, by header, for a moment; while *version* is the storage's own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[T, float, int]] = {}

    def get(self, header: str, now: float, version: int) -> T | None:
        known = self._known.get(header)
        if known is None or now >= known[1] or version != known[2]:
            return None
        return known[0]

    def put(self, header: str, value: T, now: float, version: int) -> None:
        if len(header) > _LONGEST:
            return
        with self._lock:
            self._known.pop(header, None)
            if len(self._known) >= _MOST:  # the one looked up longest ago
                del self._known[next(iter(self._known))]
            self._known[header] = (value, now + _KEPT, version)


class KeyCache:
    """Finds the key of a header: in memory for a moment, then in the database again.

    What this process changes about keys and accounts counts at once, what others
    change within two seconds. Refusals are kept apart, so that made-up keys, however
    many, push nobody's real one out. A key's account has its policy as this server
    carries it out, with the networks that are *datacenters* here.
    """

    def __init__(
        self, storage: Storage, clock: Clock, datacenters: Networks | None = None
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._datacenters = datacenters
        self._good: _Recent[ApiKey] = _Recent()
        self._bad: _Recent[str] = _Recent()

    def find(self, header: str | None) -> ApiKey:
        """Return the key that an `Authorization` header names.

        Raises:
            KeyRefusedError: If it is none that counts.
        """
        now, version = self._clock.monotonic(), self._storage.accounts_version
        key = self._good.get(header or "", now, version)
        return key if key is not None else self._look_up(header, now, version)

    def _look_up(self, header: str | None, now: float, version: int) -> ApiKey:
        keys.read_header(header)  # what is no key at all costs no query
        assert header is not None
        refusal = self._bad.get(header, now, version)
        if refusal is not None:
            raise KeyRefusedError(refusal)
        now_ms = self._clock.now_ms()
        try:
            key = self._storage.read(
                lambda stores: keys.authenticate(stores.accounts, header, now_ms)
            )
        except KeyRefusedError as error:
            self._bad.put(header, str(error), now, version)
            raise
        if self._datacenters is not None:
            policy = with_datacenters(key.account.policy, self._datacenters)
            key = replace(key, account=replace(key.account, policy=policy))
        self._good.put(header, key, now, version)
        if keys.needs_touch(key, now_ms):
            self._write_down(_Touch(key.account.id, key.id, now_ms))
        return key

    def _write_down(self, touch: _Touch) -> None:
        """Have the use noted, without waiting for it; under pressure it is not."""
        with suppress(StorageError):  # "last used" may be late, the request may not
            self._storage.submit(_touch, touch)


def _touch(stores: Stores, touches: Sequence[_Touch]) -> list[None]:
    """Note uses of keys, all that wait in one transaction."""
    latest = {(t.account_id, t.key_id): t.now_ms for t in touches}
    for (account_id, key_id), now_ms in latest.items():
        stores.accounts.touch_key(account_id, key_id, now_ms)
    return [None] * len(touches)
