"""Traits: of each value the last word, by when it was said, not when it came."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

MOST_TRAITS: Final = 500  # top-level names; beyond, what was said longest ago goes

# Traits and, of the same shape, when each value was said.
Said = tuple[dict[str, Any], dict[str, Any]]


def merged(
    kept: Mapping[str, Any],
    said: Mapping[str, Any],
    new: Mapping[str, Any],
    at_ms: int | Mapping[str, Any],
) -> Said:
    """Return *kept*, said at the times *said*, with *new*, said at *at_ms*.

    Objects are merged value by value, to any depth; of two words at one time the one
    that came last counts. *at_ms* can be of the shape of *new*.
    """
    traits, times = dict(kept), dict(said)
    for name, value in new.items():
        when = at_ms.get(name, 0) if isinstance(at_ms, Mapping) else at_ms
        have, had = traits.get(name), times.get(name, 0)
        if isinstance(value, dict) and value and isinstance(have, dict) and have:
            times_of = had if isinstance(had, dict) else dict.fromkeys(have, had)
            traits[name], times[name] = merged(have, times_of, value, when)
        elif name not in traits or _latest(when) >= _latest(had):
            traits[name] = value
            times[name] = _like(value, when)
    if len(traits) > MOST_TRAITS:
        newest = sorted(traits, key=lambda key: _latest(times[key]), reverse=True)
        for name in newest[MOST_TRAITS:]:
            del traits[name], times[name]
    return traits, times


def _latest(when: int | Mapping[str, Any]) -> int:
    if isinstance(when, Mapping):
        return max(map(_latest, when.values()), default=0)
    return when


def _like(value: object, when: int | Mapping[str, Any]) -> int | dict[str, Any]:
    """Return *when* for each value inside of *value*."""
    if not isinstance(value, dict) or not value:
        return _latest(when)
    times = when if isinstance(when, Mapping) else dict.fromkeys(value, when)
    return {name: _like(part, times.get(name, 0)) for name, part in value.items()}


def email_hash(email: object) -> str | None:
    """Return the digest by which a user is found by e-mail; None if it is none.

    Case and the spaces around it do not count.
    """
    text = email.strip().lower() if isinstance(email, str) else ""
    if "@" not in text:
        return None
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
