"""The pipeline from a well-formed call to what is stored of it, in named steps."""

from __future__ import annotations

from mbuzz import ids
from mbuzz.server.model import (
    AliasCall,
    Call,
    ConversionCall,
    GroupCall,
    IdentifyCall,
    Tenant,
    TrackCall,
)
from mbuzz.server.model_definitions import milestone_name
from mbuzz.server.policy import Policy
from mbuzz.server.storage.rows.conversions import ConversionRow, NewConversion
from mbuzz.server.storage.rows.events import NewEvent
from mbuzz.server.storage.tracking_port import TrackingStore
from mbuzz.server.tracking import identity as identities
from mbuzz.server.tracking import privacy
from mbuzz.server.tracking.bots import FLOOD, MOST_A_MINUTE, judge
from mbuzz.server.tracking.conversions import (
    attribute,
    attribute_again,
    attribute_covered,
    attribute_with_others,
    is_milestone,
    pending_models,
)
from mbuzz.server.tracking.cookieless import COOKIELESS, discreet, of_today
from mbuzz.server.tracking.pages import Page, flags_of, page_of
from mbuzz.server.tracking.placement import place
from mbuzz.server.tracking.recorded import (
    ConversionRecorded,
    EventRecorded,
    GroupRecorded,
    IdentityRecorded,
    Recorded,
    Refused,
)
from mbuzz.server.tracking.standing import affects_others
from mbuzz.server.tracking.suppression import kept

_MINUTE_MS = 60_000


def process(
    store: TrackingStore, tenant: Tenant, policy: Policy, call: Call
) -> Recorded:
    """Carry out one call under its account's policy."""
    may = kept(store, tenant, call)
    if may is None:
        return _dropped(policy, call)
    try:
        if policy.strict_visitors:
            _refuse_unknown(store, tenant, may)
        match may:
            case TrackCall():
                return _record_event(store, tenant, policy, may)
            case IdentifyCall():
                return _identify(store, tenant, policy, may)
            case AliasCall():
                return _alias(store, tenant, policy, may)
            case GroupCall():
                return _group(store, tenant, policy, may)
            case ConversionCall():
                return _record_conversion(store, tenant, policy, may)
    except identities.RefusedError as error:
        return Refused(error=str(error), unknown=error.unknown)


def _refuse_unknown(store: TrackingStore, tenant: Tenant, call: Call) -> None:
    """Refuse a visitor that no page view has made, where the account wants that."""
    if isinstance(call, AliasCall) or (isinstance(call, TrackCall) and call.url):
        return
    known = call.visitor_id
    if known is not None and store.visitor(tenant, known) is None:
        raise identities.RefusedError("Visitor not found")


def _dropped(policy: Policy, call: Call) -> Recorded:
    """Answer a call about somebody erased as if it were kept."""
    match call:
        case TrackCall():
            return EventRecorded(
                call.event_id, call.event_type, call.visitor_id, call.session_id
            )
        case IdentifyCall() | AliasCall():
            return IdentityRecorded(identity_id=ids.time_ordered("idt", call.at_ms))
        case GroupCall():
            return GroupRecorded()
        case ConversionCall():
            conversion = ConversionRow(
                id=0,
                public_id=call.conversion_id,
                conversion_type=call.conversion_type,
                visitor=None,
                visitor_id=call.visitor_id,
                identity=None,
                revenue_minor=call.revenue_minor,
                currency=call.currency or policy.currency,
                converted_at_ms=call.converted_at_ms,
            )
            return ConversionRecorded(conversion=conversion, credits=())


# -- events --


def _record_event(
    store: TrackingStore, tenant: Tenant, policy: Policy, call: TrackCall
) -> EventRecorded:
    if "analytics" not in call.refused or policy.refused_consent == "keep":
        if call.visitor_id is None and call.user_id is None:
            raise identities.RefusedError("visitor_id or user_id is required")
        return _record(store, tenant, policy, call)
    daily = None
    if policy.refused_consent == COOKIELESS:
        daily = of_today(store, tenant, policy, call)
    if daily is not None:
        recorded = _record(store, tenant, discreet(policy), daily)
        # Or the answer would set the cookies.
        return recorded._replace(visitor_id=None, session_id=None)
    return EventRecorded(
        event_id=call.event_id,
        event_type=call.event_type,
        visitor_id=None,
        session_id=None,
        dropped=True,
    )


def _record(
    store: TrackingStore, tenant: Tenant, policy: Policy, call: TrackCall
) -> EventRecorded:
    stored = store.repeated(tenant, call)
    if stored is not None:
        return EventRecorded(
            event_id=call.event_id,
            event_type=stored.event_type,
            visitor_id=stored.visitor_id,
            session_id=stored.session_id,
            duplicate=True,
        )
    visitor, identity = _who(
        store, tenant, policy, call.visitor_id, call.user_id, call.occurred_at_ms
    )
    page = page_of(call, policy)
    reason = judge(call, policy) if page else None
    # Those told apart for a day may be many people of one network.
    is_one = visitor is not None and COOKIELESS not in call.flags
    if page and visitor is not None and is_one and reason is None:
        reason = _flood(store, tenant, visitor, call.occurred_at_ms)
    row = store.insert_event(
        tenant, _new_event(call, policy, visitor, identity, page, reason)
    )
    assert row is not None, "one writer: the id was free a moment ago"
    session_id = None
    if visitor is not None and reason is None:
        session_id = _into_session(store, tenant, policy, call, visitor, row, page)
    if reason is None and milestone_name(call.event_type) in policy.models.asked_for:
        attribute_again(
            *(store, tenant, policy),
            visitor=visitor,
            identity=identity,
            from_ms=call.occurred_at_ms,
        )
    return EventRecorded(
        event_id=call.event_id,
        event_type=call.event_type,
        visitor_id=call.visitor_id,
        session_id=session_id or call.session_id,
        bot=reason is not None,
    )


def _flood(
    store: TrackingStore, tenant: Tenant, visitor: int, at_ms: int
) -> str | None:
    """Tell whether a visitor is faster than people are.

    The minute is counted only for visits of so many pages that it could be.
    """
    latest = store.latest_sessions(tenant, visitor)
    if not any(session.page_view_count >= MOST_A_MINUTE for session in latest):
        return None
    count = store.count_web_events(tenant, visitor, at_ms - _MINUTE_MS + 1, at_ms)
    return FLOOD if count >= MOST_A_MINUTE else None


def _who(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    visitor_id: str | None,
    user_id: str | None,
    at_ms: int,
) -> tuple[int | None, int | None]:
    """Return the visitor and the identity of a call; a call with both links them."""
    visitor = identity = None
    if visitor_id is not None:
        visitor = store.ensure_visitor(tenant, visitor_id, at_ms)
    if user_id is not None:
        identity = identities.find_or_create(store, tenant, user_id, at_ms)
    if visitor is None or identity is None or not policy.auto_link:
        return visitor, identity
    since_ms = identities.link(store, tenant, visitor, identity, at_ms)
    _renew(store, tenant, policy, visitor, identity, since_ms)
    return visitor, identity


def _renew(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    visitor: int | None,
    identity: int,
    since_ms: int | None,
) -> None:
    """Renew what follows from who is who, if that changed."""
    if since_ms is not None:
        attribute_again(
            store, tenant, policy, visitor=visitor, identity=identity, from_ms=since_ms
        )


def _new_event(
    call: TrackCall,
    policy: Policy,
    visitor: int | None,
    identity: int | None,
    page: Page | None,
    reason: str | None,
) -> NewEvent:
    return NewEvent(
        event_id=call.event_id,
        event_type=call.event_type,
        visitor=visitor,
        identity=identity,
        client_session_id=call.session_id,
        occurred_at_ms=call.occurred_at_ms,
        received_at_ms=call.received_at_ms,
        said_ms=call.said_ms,
        url=page.event.url if page else None,
        referrer=page.event.referrer if page else None,
        landing=page.kept_landing if page else None,
        user_agent=privacy.kept_user_agent(call.user_agent, policy),
        bot_reason=reason,
        flags=flags_of(call, page),
        properties=privacy.kept_properties(call.properties, policy),
    )


def _into_session(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    call: TrackCall,
    visitor: int,
    row: int,
    page: Page | None,
) -> str | None:
    """Return the session's id as the client knows it.

    An event without a page joins the visit it happened in, and never makes one.
    """
    if page is None:
        session = store.session_covering(
            tenant, visitor, call.occurred_at_ms, policy.session_timeout_ms
        )
        if session is None:
            return None
        store.set_session(tenant, row, session.id)
        return call.session_id or session.client_session_id or session.public_id
    placed = place(store, tenant, policy, visitor, row, page.event)
    if placed.changed_from_ms is not None:
        attribute_again(
            store, tenant, policy, visitor=visitor, from_ms=placed.changed_from_ms
        )
    elif placed.covered_from_ms is not None:
        attribute_covered(store, tenant, policy, visitor, placed.covered_from_ms)
    return (
        call.session_id or placed.session.client_session_id or placed.session.public_id
    )


# -- identity --


def _identify(
    store: TrackingStore, tenant: Tenant, policy: Policy, call: IdentifyCall
) -> IdentityRecorded:
    identity, visitor, since_ms = identities.identify(store, tenant, call)
    _renew(store, tenant, policy, visitor, identity, since_ms)
    return IdentityRecorded(
        identity_id=store.identity_public_id(tenant, identity),
        visitor_linked=visitor is not None,
        previous_link_closed=bool(since_ms),
    )


def _alias(
    store: TrackingStore, tenant: Tenant, policy: Policy, call: AliasCall
) -> IdentityRecorded:
    identity, visitor, since_ms = identities.alias(store, tenant, call)
    _renew(store, tenant, policy, visitor, identity, since_ms)
    return IdentityRecorded(
        identity_id=store.identity_public_id(tenant, identity),
        visitor_linked=True,
        previous_link_closed=bool(since_ms),
    )


def _group(
    store: TrackingStore, tenant: Tenant, policy: Policy, call: GroupCall
) -> GroupRecorded:
    if call.call_id and not store.claim_group_call(tenant, call.call_id):
        return GroupRecorded(duplicate=True)
    group = store.ensure_group(tenant, call.group_id, call.at_ms)
    if call.traits:
        store.merge_group_traits(tenant, group, call.traits, call.at_ms)
    visitor, identity = _who(
        store, tenant, policy, call.visitor_id, call.user_id, call.at_ms
    )
    if identity is not None:
        store.add_member(tenant, group, identity, None, call.at_ms)
    elif visitor is not None:
        store.add_member(tenant, group, None, visitor, call.at_ms)
    return GroupRecorded()


# -- conversions --


def _record_conversion(
    store: TrackingStore, tenant: Tenant, policy: Policy, call: ConversionCall
) -> ConversionRecorded:
    known = store.find_conversion(tenant, call.conversion_id, call.dedupe_key)
    if known is not None:
        return _repeated_conversion(store, tenant, policy, call, known)
    stored = None
    if call.event_id is not None:
        stored = store.event(tenant, call.event_id)
        if stored is None:
            raise identities.RefusedError("event_id is not known here", unknown=True)
    visitor, identity = _who(
        store, tenant, policy, call.visitor_id, call.user_id, call.converted_at_ms
    )
    unknown_user = False
    if identity is None and call.email is not None:
        identity = identities.by_email(store, tenant, call.email)
        unknown_user = identity is None
    if stored is not None:
        visitor = visitor if visitor is not None else stored.visitor
        identity = identity if identity is not None else stored.identity
    event = stored.id if stored is not None else None
    row = store.insert_conversion(
        tenant, _new_conversion(call, policy, visitor, identity, event)
    )
    assert row is not None, "one writer: the key was free a moment ago"
    conversion = store.conversion(tenant, row)
    if affects_others(conversion) or is_milestone(policy, conversion):
        attribute_with_others(store, tenant, policy, conversion)
        credits_ = store.credits(tenant, row)
    else:
        credits_ = attribute(store, tenant, policy, conversion)
    return ConversionRecorded(
        conversion=store.conversion(tenant, row),
        credits=credits_,
        pending=pending_models(policy, credits_),
        unknown_user=unknown_user,
    )


def _repeated_conversion(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    call: ConversionCall,
    known: ConversionRow,
) -> ConversionRecorded:
    """Say what is known; another amount is no update."""
    amount = call.revenue_minor, call.currency or policy.currency
    differs = (known.revenue_minor, known.currency) != amount
    if differs:
        store.flag_conversion(tenant, known.id, "amount_differs")
    credits_ = store.credits(tenant, known.id)
    return ConversionRecorded(
        conversion=known,
        credits=credits_,
        pending=pending_models(policy, credits_),
        duplicate=True,
        amount_differs=differs,
    )


def _new_conversion(
    call: ConversionCall,
    policy: Policy,
    visitor: int | None,
    identity: int | None,
    event: int | None,
) -> NewConversion:
    return NewConversion(
        public_id=call.conversion_id,
        dedupe_key=call.dedupe_key,
        conversion_type=call.conversion_type,
        visitor=visitor,
        identity=identity,
        event=event,
        revenue_minor=call.revenue_minor,
        currency=call.currency or policy.currency,
        converted_at_ms=call.converted_at_ms,
        received_at_ms=call.received_at_ms,
        is_acquisition=call.is_acquisition,
        inherits=call.inherits,
        lookback_days=policy.lookback_of(call.conversion_type),
        counting=policy.counting_of(call.conversion_type),
        funnel=call.funnel,
        correlation=call.correlation,
        flags=call.flags,
        properties=privacy.kept_properties(call.properties, policy),
    )
