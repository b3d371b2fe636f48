"""What is left of a session when part of it was somebody's who is erased."""

from __future__ import annotations

from mbuzz import ids
from mbuzz.server.model import Tenant
from mbuzz.server.policy import Policy
from mbuzz.server.storage.port import Stores
from mbuzz.server.tracking.pages import stored_page
from mbuzz.server.tracking.sessions import fold
from mbuzz.server.tracking.sources import list_version


def fold_rest(
    stores: Stores, tenant: Tenant, policy: Policy, visitor: int, session: int
) -> None:
    """Make a session anew from the events that are left; without any it goes.

    Credits for it stand as they are, without it: their channel may have come from what
    is erased. A session whose own events were deleted for their age stays as it is.
    """
    tracking, privacy = stores.tracking, stores.privacy
    kept = tracking.session(tenant, session)
    if kept.sealed:
        return
    rows = [
        row
        for row in tracking.web_events(
            tenant, visitor, kept.started_at_ms, kept.last_event_at_ms
        )
        if row.session == session
    ]
    if not rows:
        privacy.drop_session(tenant, session)
        return
    privacy.detach_session(tenant, session)
    row_of = {row.id: row for row in rows}
    version = list_version()
    for number, folded in enumerate(
        fold((stored_page(r, policy) for r in rows), policy)
    ):
        members = [row_of[event.row] for event in folded.events]
        ends = members[0].id, members[-1].id
        if number == 0:
            tracking.update_session(tenant, session, folded, *ends, version)
            continue
        public_id = ids.time_ordered("sess", folded.first.occurred_at_ms)
        home = tracking.insert_session(
            tenant, visitor, public_id, folded, *ends, version
        )
        for member in members:
            tracking.set_session(tenant, member.id, home)
    timeout_ms = policy.session_timeout_ms
    end_ms = kept.last_event_at_ms + timeout_ms
    tracking.attach_server_events(
        tenant, visitor, kept.started_at_ms, end_ms, timeout_ms
    )
