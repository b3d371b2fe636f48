"""What is known of visitors from one transaction to the next.

Somebody who looks at a page is likely to look at another soon. What was asked then is
remembered for as long as nothing but plain events is stored: any other change, by
whomever, and it is asked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mbuzz.server.model import Tenant
from mbuzz.server.policy import Policy
from mbuzz.server.tracking.open_sessions import KnownVisitor

_MOST: Final = 10_000  # visitors, some 1.5 KB each


class Known:
    """What is known of one tenant under one policy."""

    __slots__ = ("policy", "suppresses", "visitors")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.visitors: dict[str, KnownVisitor] = {}
        self.suppresses: bool | None = None  # any id at all; None: nobody asked yet


class Memory:
    """Remembers visitors; used in one transaction at a time.

    `next_rows` are the next free rows of visitors, sessions and events; None: unknown.
    """

    def __init__(self) -> None:
        self.next_rows: tuple[int, int, int] | None = None
        self._stamp: object = None
        self._known: dict[Tenant, Known] = {}

    def begin(self, stamp: object) -> None:
        """Forget everything if *stamp* is not that of the latest `end`."""
        if stamp != self._stamp:
            self._known.clear()
            self.next_rows = None

    def recall(self, tenant: Tenant, policy: Policy) -> Known:
        """Return what is remembered of a tenant, as known under *policy*."""
        known = self._known.get(tenant)
        if known is None or known.policy is not policy:
            known = self._known[tenant] = Known(policy)
        return known

    def keep(self, tenant: Tenant, visitors: Mapping[str, KnownVisitor]) -> None:
        """Remember those of *visitors* that still are plain, and no other of them."""
        known = self._known[tenant].visitors
        for visitor_id, visitor in visitors.items():
            if visitor.plain and not visitor.new:
                known[visitor_id] = visitor
            else:
                known.pop(visitor_id, None)

    def forget(self, tenant: Tenant) -> None:
        """Forget what is known of one tenant."""
        del self._known[tenant]

    def end(self, stamp: object) -> None:
        """Note when the database was as it is remembered."""
        self._stamp = stamp
        if sum(len(known.visitors) for known in self._known.values()) > _MOST:
            self._known.clear()
