"""Who a visitor is: links between browsers and users, and users that are one person."""

from __future__ import annotations

from mbuzz import ids
from mbuzz.server.model import AliasCall, IdentifyCall, Tenant
from mbuzz.server.storage.port import TrackingStore

_MOST_IN_GROUP = 100


class RefusedError(Exception):
    """A well-formed call that cannot be carried out; the text says why."""


def find_or_create(
    store: TrackingStore, tenant: Tenant, user_id: str, at_ms: int
) -> int:
    """Return the identity of *user_id*."""
    return store.ensure_identity(tenant, user_id, ids.time_ordered("idt", at_ms), at_ms)


def link(
    store: TrackingStore, tenant: Tenant, visitor: int, identity: int, at_ms: int
) -> bool:
    """Say that *visitor* is *identity* since *at_ms*; return whether that was new.

    The first link reaches back over everything the visitor did before. A visitor that
    was somebody else, on a shared computer, stays so for the sessions begun by then.
    """
    current = store.current_link(tenant, visitor)
    if current is None:
        store.add_link(tenant, visitor, identity, 0)
        return True
    linked, since_ms = current
    if store.root(tenant, linked) == store.root(tenant, identity) or at_ms <= since_ms:
        return False
    store.close_link(tenant, visitor, at_ms)
    store.add_link(tenant, visitor, identity, at_ms)
    return True


def identify(
    store: TrackingStore, tenant: Tenant, call: IdentifyCall
) -> tuple[int, int | None, bool]:
    """Return the identity, the visitor, and whether who is who changed."""
    identity = find_or_create(store, tenant, call.user_id, call.at_ms)
    if call.traits:
        store.merge_traits(tenant, identity, call.traits)
    if call.visitor_id is None:
        return identity, None, False
    visitor = store.ensure_visitor(tenant, call.visitor_id, call.at_ms)
    return identity, visitor, link(store, tenant, visitor, identity, call.at_ms)


def alias(store: TrackingStore, tenant: Tenant, call: AliasCall) -> int:
    """Make two ids one person and return the identity.

    An id that is not known yet counts as a visitor's and waits for it to appear.

    Raises:
        RefusedError: If the person would have more ids than is plausible.
    """
    previous = store.identity(tenant, call.previous_id)
    identity = find_or_create(store, tenant, call.user_id, call.at_ms)
    if call.previous_id == call.user_id:
        return identity
    if previous is not None:
        _merge(store, tenant, identity, previous)
    else:
        visitor = store.ensure_visitor(tenant, call.previous_id, call.at_ms)
        link(store, tenant, visitor, identity, call.at_ms)
    return identity


def _merge(store: TrackingStore, tenant: Tenant, one: int, other: int) -> None:
    """Unite two groups under the older root; neither's history is rewritten.

    Source: union-find by age, with the paths kept compressed.
    """
    roots = {store.root(tenant, one), store.root(tenant, other)}
    if len(roots) == 1:
        return
    size = sum(len(store.group(tenant, root)) for root in roots)
    if size > _MOST_IN_GROUP:
        raise RefusedError(f"a person may have at most {_MOST_IN_GROUP} user ids")
    older, younger = sorted(
        roots, key=lambda root: (store.identity_created_at(tenant, root), root)
    )
    store.set_root(tenant, younger, older)
