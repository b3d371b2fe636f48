"""Forgetting what is older than its account keeps it, and accounts that are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from mbuzz.clock import Clock
from mbuzz.server.accounts import RESTORABLE_DAYS
from mbuzz.server.jobs import DAY_MS, Job, Steps
from mbuzz.server.model import Tenant
from mbuzz.server.privacy.keeping import retention_of
from mbuzz.server.storage.port import Storage, Stores
from mbuzz.server.storage.privacy_port import KeptAccount
from mbuzz.server.tracking.identity import MAX_PENDING_MS

MOST_ROWS: Final = 5_000  # in one transaction
_HOUR_MS: Final = 3_600_000
_NIGHT_MS: Final = 3 * _HOUR_MS  # 03:00 UTC
_REPLIES_MS: Final = DAY_MS

ACTOR: Final = "job:retention"  # in the audit log
# What goes to the audit log, by its name there: what was recorded of people. The rest
# is housekeeping, of which there is some every night.
_NOTED: Final = {
    "events": "events",
    "events of bots": "events_of_bots",
    "sessions": "sessions",
    "conversions": "conversions",
    "visitors": "visitors",
}

# Steps of which each says how much it deleted, and what of.
Part = tuple[str, Iterator[int]]
Counts = dict[str, int]


def _forget(storage: Storage, chunk: Callable[[Stores], int]) -> Iterator[int]:
    """Delete chunk by chunk until nothing is left to delete."""
    while done := storage.write(chunk):
        yield done


def retain(storage: Storage, clock: Clock) -> Steps:
    """Delete what is older than each account wants to keep it, the oldest first."""
    counts: Counts = {}
    for account in storage.read(lambda stores: stores.privacy.kept_accounts()):
        for live in (False, True):
            yield from _noted(storage, clock, account, Tenant(account.id, live), counts)
        yield from _counted(_retain_account(storage, clock, account), counts)
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _noted(
    storage: Storage,
    clock: Clock,
    account: KeptAccount,
    tenant: Tenant,
    counts: Counts,
) -> Iterator[None]:
    """Carry out what there is to do; an entry of the audit log says what that was.

    Also if it ends early: what is gone by then is not seen by the next run.
    """
    gone: Counts = {}
    try:
        yield from _counted(_retain_tenant(storage, clock, account, tenant), gone)
    finally:
        for name, count in gone.items():
            counts[name] = counts.get(name, 0) + count
        told = {key: gone[name] for name, key in _NOTED.items() if gone.get(name)}
        if told:
            now_ms = clock.now_ms()
            details = {"environment": tenant.environment, **told}
            storage.write(
                lambda stores: stores.accounts.audit(
                    tenant.account_id, now_ms, ACTOR, "data.forget", details
                )
            )


def _counted(parts: list[Part], counts: Counts) -> Iterator[None]:
    for name, steps in parts:
        for done in steps:
            counts[name] = counts.get(name, 0) + done
            yield


def _retain_tenant(
    storage: Storage, clock: Clock, account: KeptAccount, tenant: Tenant
) -> list[Part]:
    """Return what there is to do for one environment of an account, in this order."""
    now_ms = clock.now_ms()
    keep = retention_of(account.settings)
    parts: list[Part] = []

    def add(name: str, days: int, delete: Callable[[Stores, int], int]) -> None:
        if days:
            before_ms = now_ms - days * DAY_MS
            parts.append(
                (name, _forget(storage, lambda stores: delete(stores, before_ms)))
            )

    def until(name: str, delete: Callable[[Stores], int]) -> None:
        parts.append((name, _forget(storage, delete)))

    add(
        "events",
        keep.events_days,
        lambda s, before: s.privacy.forget_events(tenant, before, MOST_ROWS),
    )
    add(
        "events of bots",
        keep.bots_days,
        lambda s, before: s.privacy.forget_bots(tenant, before, MOST_ROWS),
    )
    add(
        "sessions",
        keep.sessions_days,
        lambda s, before: s.privacy.forget_sessions(tenant, before, now_ms, MOST_ROWS),
    )
    add(
        "conversions",
        keep.conversions_days,
        lambda s, before: s.privacy.forget_conversions(tenant, before, MOST_ROWS),
    )
    if keep.sessions_days:
        before_ms = now_ms - keep.sessions_days * DAY_MS
        parts.append(("visitors", _forget_visitors(storage, tenant, before_ms)))
    until(
        "replies",
        lambda s: s.privacy.forget_replies(tenant, now_ms - _REPLIES_MS, MOST_ROWS),
    )
    # One night's are few: an alias waits only if it came before its visitor.
    waited_ms = now_ms - MAX_PENDING_MS
    parts.append(("aliases", _expire_aliases(storage, tenant, waited_ms)))
    until(
        "suppressed ids",
        lambda s: s.privacy.forget_suppressions(tenant, now_ms, MOST_ROWS),
    )
    add(
        "erasures",
        keep.audit_days,
        lambda s, before: s.privacy.forget_erasures(tenant, before, MOST_ROWS),
    )
    return parts


def _expire_aliases(storage: Storage, tenant: Tenant, before_ms: int) -> Iterator[int]:
    """End the links to visitors that were announced, and never came."""
    yield storage.write(
        lambda stores: stores.tracking.expire_pending_aliases(tenant, before_ms)
    )


def _retain_account(storage: Storage, clock: Clock, account: KeptAccount) -> list[Part]:
    now_ms = clock.now_ms()
    parts: list[Part] = [
        (
            "log-ins",
            _forget(
                storage,
                lambda s: s.privacy.forget_logins(account.id, now_ms, MOST_ROWS),
            ),
        )
    ]
    if days := retention_of(account.settings).audit_days:
        before_ms = now_ms - days * DAY_MS
        parts.append(
            (
                "audit entries",
                _forget(
                    storage,
                    lambda s: s.privacy.forget_audit(account.id, before_ms, MOST_ROWS),
                ),
            )
        )
    return parts


def _forget_visitors(storage: Storage, tenant: Tenant, before_ms: int) -> Iterator[int]:
    """Delete visitors of whom nothing is left; they are looked for without a writer."""
    reached: int | None = 0
    while reached is not None:
        idle, reached = storage.read(partial(_idle, tenant, before_ms, reached))
        yield storage.write(partial(_forget_idle, tenant, idle)) if idle else 0


def _idle(
    tenant: Tenant, before_ms: int, after: int, stores: Stores
) -> tuple[Sequence[int], int | None]:
    return stores.privacy.idle_visitors(tenant, before_ms, after, MOST_ROWS)


def _forget_idle(tenant: Tenant, idle: Sequence[int], stores: Stores) -> int:
    return stores.privacy.forget_idle(tenant, idle)


def forget_salts(storage: Storage, clock: Clock) -> Steps:
    """Delete the salts of days that are over: their visitors are nobody's from then."""
    gone = 0
    for account in storage.read(lambda stores: stores.privacy.kept_accounts()):
        for live in (False, True):
            work = partial(_forget_salts, Tenant(account.id, live), clock.now_ms())
            gone += storage.write(work)
            yield
    if gone:
        storage.scrub()  # a writer in the way makes the journal empty later
    return f"{gone} salts" if gone else ""


def _forget_salts(tenant: Tenant, now_ms: int, stores: Stores) -> int:
    return stores.privacy.forget_salts(tenant, now_ms)


def erase_accounts(storage: Storage, clock: Clock) -> Steps:
    """Delete the accounts that were deleted a week ago, with all that is theirs."""
    gone = 0
    until_ms = clock.now_ms() - RESTORABLE_DAYS * DAY_MS
    for account in storage.read(lambda stores: stores.privacy.kept_accounts()):
        if account.deleted_at_ms is None or account.deleted_at_ms > until_ms:
            continue
        for _ in _forget(storage, partial(_erase_account, account.id, until_ms)):
            yield
        gone += 1
    return f"{gone} accounts" if gone else ""


def _erase_account(account_id: int, until_ms: int, stores: Stores) -> int:
    """Delete a part of an account, unless it was restored in the meantime."""
    doomed = {
        account.id
        for account in stores.privacy.kept_accounts()
        if account.deleted_at_ms is not None and account.deleted_at_ms <= until_ms
    }
    if account_id not in doomed:
        return 0
    return stores.privacy.erase_account(account_id, MOST_ROWS)


JOBS: Final = (
    Job(
        name="retention",
        about="deletes what is older than its account keeps it",
        work=retain,
        at_ms=_NIGHT_MS,
    ),
    Job(
        name="salts",
        about="deletes what visitors who refused were told apart by, after two days",
        work=forget_salts,
        every_ms=_HOUR_MS,
    ),
    Job(
        name="accounts",
        about="deletes accounts a week after `mbuzz accounts delete`",
        work=erase_accounts,
        at_ms=_NIGHT_MS,
    ),
)
