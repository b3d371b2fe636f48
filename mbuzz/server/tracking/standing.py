"""What a conversion is among its person's others: counted or not, the first or not.

All of it follows from what is stored, whatever order it came in: a late conversion can
take another's place.
"""

from __future__ import annotations

from mbuzz.server.conversion_settings import EVERY, ONCE_PER_SESSION
from mbuzz.server.model import Tenant
from mbuzz.server.policy import Policy
from mbuzz.server.storage.rows.conversions import ConversionRow, Standing
from mbuzz.server.storage.tracking_port import TrackingStore
from mbuzz.server.tracking.people import owner_of, person


def standing_of(
    store: TrackingStore, tenant: Tenant, policy: Policy, conversion: ConversionRow
) -> tuple[Standing, ConversionRow | None]:
    """Return a conversion's standing, and the one whose channels it takes over."""
    if conversion.voided_at_ms is not None:
        return Standing(counted=False), None
    counted = _counts(store, tenant, policy, conversion)
    if not (conversion.is_acquisition or conversion.inherits):
        return Standing(counted=counted), None
    acquisition = _acquisition(store, tenant, conversion)
    if acquisition is None or acquisition.id == conversion.id:
        return Standing(counted=counted, acquires=acquisition is not None), None
    if not conversion.inherits:
        return Standing(counted=counted), None
    return Standing(counted=counted, inherited_from=acquisition.id), acquisition


def affects_others(conversion: ConversionRow) -> bool:
    """Tell whether later conversions may change with this one."""
    return conversion.is_acquisition or conversion.counting != EVERY


def _acquisition(
    store: TrackingStore, tenant: Tenant, conversion: ConversionRow
) -> ConversionRow | None:
    """Return the first, by its time, of those said to have made the person a customer.

    One that is later than *conversion* itself is not there yet.
    """
    return _first(store, tenant, conversion, None)


def _first(
    store: TrackingStore,
    tenant: Tenant,
    conversion: ConversionRow,
    conversion_type: str | None,
) -> ConversionRow | None:
    key = owner_of(store, tenant, conversion)
    if key is None:
        return conversion if conversion_type or conversion.is_acquisition else None
    who = person(store, tenant, key)
    candidates = store.valid_conversions_until(
        tenant,
        who.identities,
        who.visitors,
        conversion.converted_at_ms,
        conversion_type,
    )
    for candidate in candidates:
        if owner_of(store, tenant, candidate) == key:
            return candidate
    return None


def _counts(
    store: TrackingStore, tenant: Tenant, policy: Policy, conversion: ConversionRow
) -> bool:
    """Tell whether it is in the totals: the first of its kind, where one counts once.

    Source: the counting methods of Google Analytics 4's key events, by time rather
    than by arrival.
    """
    if conversion.counting == EVERY:
        return True
    if conversion.counting == ONCE_PER_SESSION:
        return _first_in_visit(store, tenant, policy, conversion)
    first = _first(store, tenant, conversion, conversion.conversion_type)
    return first is None or first.id == conversion.id


def _first_in_visit(
    store: TrackingStore, tenant: Tenant, policy: Policy, conversion: ConversionRow
) -> bool:
    """Tell whether it is the first of its visit; without one each counts."""
    visitor, timeout_ms = conversion.visitor, policy.session_timeout_ms
    if visitor is None:
        return True
    visit = store.session_covering(
        tenant, visitor, conversion.converted_at_ms, timeout_ms
    )
    if visit is None:
        return True
    for candidate in store.valid_conversions_until(
        tenant,
        (),
        (visitor,),
        conversion.converted_at_ms,
        conversion.conversion_type,
    ):
        if candidate.converted_at_ms < visit.started_at_ms:
            continue
        its_visit = store.session_covering(
            tenant, visitor, candidate.converted_at_ms, timeout_ms
        )
        if its_visit is not None and its_visit.id == visit.id:
            return candidate.id == conversion.id
    return True
