"""Who a visitor is: links between browsers and users, and users that are one person."""

from __future__ import annotations

from collections.abc import Mapping

from mbuzz import ids
from mbuzz.server.model import AliasCall, IdentifyCall, Tenant
from mbuzz.server.storage.tracking_port import TrackingStore
from mbuzz.server.tracking import traits as words

MAX_PENDING_MS = 30 * 86_400_000  # how long an alias waits for its id
_MOST_IN_GROUP = 100


class RefusedError(Exception):
    """A well-formed call that cannot be carried out; the text says why.

    `unknown`: since what it names is not here.
    """

    def __init__(self, text: str, *, unknown: bool = False) -> None:
        super().__init__(text)
        self.unknown = unknown


def find_or_create(
    store: TrackingStore, tenant: Tenant, user_id: str, at_ms: int
) -> int:
    """Return the identity of *user_id*.

    A new one is merged with the user whose alias waits for it. It has neither visits
    nor conversions yet, so no credits change by that.
    """
    known = store.identity(tenant, user_id)
    if known is not None:
        return known
    public_id = ids.time_ordered("idt", at_ms)
    identity = store.ensure_identity(tenant, user_id, public_id, at_ms)
    waiting = store.take_pending_alias(tenant, user_id)
    if waiting is not None and at_ms - waiting[1] <= MAX_PENDING_MS:
        other = waiting[0]
        if len(store.group(tenant, store.root(tenant, other))) < _MOST_IN_GROUP:
            _merge(store, tenant, identity, other)
    return identity


def link(
    store: TrackingStore, tenant: Tenant, visitor: int, identity: int, at_ms: int
) -> int | None:
    """Say that *visitor* is *identity* at *at_ms*.

    The first link reaches back over everything the visitor did before. A visitor that
    was somebody else, on a shared computer, stays so for the sessions begun by then. A
    late word does not undo a later one; of two at one time, the one sent last counts.

    Returns:
        Since when it is so in UTC milliseconds, None if nothing changed; 0 for the
        first link, more where a former one was closed for it.
    """
    current = store.current_link(tenant, visitor)
    if current is None:
        # Unless somebody was here before, and who was next is erased.
        from_ms = store.links_end(tenant, visitor)
        store.add_link(tenant, visitor, identity, from_ms, at_ms)
        return from_ms
    linked, said_ms = current
    if at_ms < said_ms:
        return None
    if store.root(tenant, linked) == store.root(tenant, identity):
        if at_ms > said_ms:
            store.confirm_link(tenant, visitor, at_ms)
        return None
    store.close_link(tenant, visitor, at_ms)
    store.add_link(tenant, visitor, identity, at_ms, at_ms)
    return at_ms


def identify(
    store: TrackingStore, tenant: Tenant, call: IdentifyCall
) -> tuple[int, int | None, int | None]:
    """Return the identity, the visitor, and since when who is who changed."""
    identity = find_or_create(store, tenant, call.user_id, call.at_ms)
    if call.traits:
        _learn(store, tenant, identity, call.traits, call.at_ms)
    if call.visitor_id is None:
        return identity, None, None
    visitor = store.ensure_visitor(tenant, call.visitor_id, call.at_ms)
    return identity, visitor, link(store, tenant, visitor, identity, call.at_ms)


def _learn(
    store: TrackingStore,
    tenant: Tenant,
    identity: int,
    new: Mapping[str, object],
    at_ms: int,
) -> None:
    kept, said = words.merged(*store.traits(tenant, identity), new, at_ms)
    digest = words.email_hash(kept.get("email"))
    store.set_traits(tenant, identity, kept, said, digest)


def traits_of(
    store: TrackingStore, tenant: Tenant, identity: int
) -> Mapping[str, object]:
    """Return what is known of a person under all ids, of each value the last word."""
    known: words.Said = ({}, {})
    for one in sorted(store.group(tenant, store.root(tenant, identity))):
        known = words.merged(*known, *store.traits(tenant, one))
    return known[0]


def by_email(store: TrackingStore, tenant: Tenant, email: str) -> int | None:
    """Return the one person with that e-mail among the traits; None if not just one."""
    digest = words.email_hash(email)
    found = store.identities_by_email(tenant, digest) if digest else ()
    return found[0] if len(found) == 1 else None


def alias(
    store: TrackingStore, tenant: Tenant, call: AliasCall
) -> tuple[int, int | None, int | None]:
    """Make two ids one person; return the same as `identify`.

    An id that is not known yet waits for its visitor or user to appear, up to 30 days:
    the nightly job ``retention`` ends that.

    Raises:
        RefusedError: If the person would have more ids than is plausible.
    """
    previous = store.identity(tenant, call.previous_id)
    identity = find_or_create(store, tenant, call.user_id, call.at_ms)
    if call.previous_id == call.user_id:
        return identity, None, None
    if previous is not None:
        return identity, None, _merge(store, tenant, identity, previous)
    known = store.visitor(tenant, call.previous_id)
    visitor = store.ensure_visitor(tenant, call.previous_id, call.at_ms)
    if known is None:
        store.add_pending_alias(tenant, call.previous_id, identity, visitor, call.at_ms)
    return identity, visitor, link(store, tenant, visitor, identity, call.at_ms)


def _merge(store: TrackingStore, tenant: Tenant, one: int, other: int) -> int | None:
    """Unite two groups under the older root; neither's history is rewritten.

    Returns:
        0, as all of it belongs together now, or None if it did before.

    Source: union-find by age, with the paths kept compressed.
    """
    roots = {store.root(tenant, one), store.root(tenant, other)}
    if len(roots) == 1:
        return None
    size = sum(len(store.group(tenant, root)) for root in roots)
    if size > _MOST_IN_GROUP:
        raise RefusedError(f"a person may have at most {_MOST_IN_GROUP} user ids")
    older, younger = sorted(
        roots, key=lambda root: (store.identity_created_at(tenant, root), root)
    )
    store.set_root(tenant, younger, older)
    return 0
