"""Whose a conversion is, and everything else that is the same person's."""

from __future__ import annotations

from typing import NamedTuple

from mbuzz.server.model import Tenant
from mbuzz.server.storage.rows.conversions import ConversionRow
from mbuzz.server.storage.tracking_port import TrackingStore


class Person(NamedTuple):
    """A user under all ids, or a browser of which nobody knows whose it is.

    `key` tells persons apart.
    """

    key: tuple[str, int]
    identities: tuple[int, ...]
    visitors: tuple[int, ...]


def owner_of(
    store: TrackingStore, tenant: Tenant, conversion: ConversionRow
) -> tuple[str, int] | None:
    """Return the key of the person who converted; None if nobody is known."""
    identity = identity_of(store, tenant, conversion)
    if identity is not None:
        return "identity", store.root(tenant, identity)
    if conversion.visitor is not None:
        return "visitor", conversion.visitor
    return None


def identity_of(
    store: TrackingStore, tenant: Tenant, conversion: ConversionRow
) -> int | None:
    """Return who it is said to be of, else who had the browser when it happened."""
    if conversion.identity is not None or conversion.visitor is None:
        return conversion.identity
    return store.link_at(tenant, conversion.visitor, conversion.converted_at_ms)


def person(store: TrackingStore, tenant: Tenant, key: tuple[str, int]) -> Person:
    """Return the person with *key*."""
    kind, row = key
    if kind == "visitor":
        return Person(key, (), (row,))
    identities = tuple(store.group(tenant, row))
    return Person(key, identities, tuple(store.linked_visitors(tenant, identities)))
