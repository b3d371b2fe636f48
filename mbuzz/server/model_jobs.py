"""Jobs of attribution: data-driven models trained, credit given anew where owed."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Final

from mbuzz import guard, ids
from mbuzz.clock import Clock
from mbuzz.server.attribution.journeys import lookback_ms
from mbuzz.server.attribution.rules import linear
from mbuzz.server.attribution.trained import train
from mbuzz.server.jobs import Job, Steps
from mbuzz.server.model import Tenant
from mbuzz.server.model_definitions import Definition, definition_of, definition_text
from mbuzz.server.storage.connection import dump
from mbuzz.server.storage.model_port import TrainingRow
from mbuzz.server.storage.port import Storage, Stores
from mbuzz.server.storage.rows.accounts import Account
from mbuzz.server.tracking.conversions import credit_under
from mbuzz.server.tracking.learning import learn

_HOUR_MS: Final = 3_600_000
_NIGHT_MS: Final = 4 * _HOUR_MS
_CREDITED: Final = 50  # conversions credited anew in a transaction, at most ...
_MOST_CREDITS: Final = 2_000  # ... unless their journeys are long
# Until so many conversions are known, a model is trained anew whenever they double.
_MANY: Final = 1_000
_ALL: Final = 2**62


# -- training --


def train_models(storage: Storage, clock: Clock) -> Steps:
    """Train what has not been trained in the last hour, or knows half of it all."""
    learned = 0
    for account in storage.read(_open_accounts):
        for live in (True, False):
            tenant = Tenant(account.id, live)
            due = storage.read(
                partial(_due, tenant=tenant, account=account, now_ms=clock.now_ms())
            )
            for _, alike in groupby(sorted(due, key=_scope), key=_scope):
                learned += yield from _train(
                    storage, clock, tenant, account, list(alike)
                )
    return f"{learned} models learned something new" if learned else ""


def training_pending(stores: Stores) -> bool:
    """Tell whether a model of anybody waits to be trained."""
    return any(
        _is_pending(stores, Tenant(account.id, live), definition)
        for account in _open_accounts(stores)
        for live in (True, False)
        for definition in account.policy.models.learned
    )


def _open_accounts(stores: Stores) -> Sequence[Account]:
    return [one for one in stores.accounts.accounts() if one.deleted_at_ms is None]


def _is_pending(stores: Stores, tenant: Tenant, definition: Definition) -> bool:
    latest = stores.models.last_training(tenant, definition.key)
    known = latest.known if latest is not None else 0
    if latest is not None and not definition_of(latest.definition).gives_as(definition):
        return True
    enough = max(1, 2 * known)
    return known < _MANY and stores.models.count_conversions(tenant, enough) >= enough


def _due(
    stores: Stores, *, tenant: Tenant, account: Account, now_ms: int
) -> list[Definition]:
    due = []
    for definition in account.policy.models.learned:
        latest = stores.models.last_training(tenant, definition.key)
        if _is_pending(stores, tenant, definition) or (
            latest is not None and latest.trained_at_ms <= now_ms - _HOUR_MS
        ):
            due.append(definition)
    return due


def _scope(definition: Definition) -> tuple[int, bool]:
    """Return what models that see the same journeys have in common."""
    days = definition.lookback_days
    return -1 if days is None else days, definition.exclude_direct


def _train(
    storage: Storage,
    clock: Clock,
    tenant: Tenant,
    account: Account,
    due: Sequence[Definition],
) -> Generator[None, None, int]:
    """Train models that see the same journeys; return how many learned something."""
    now_ms = clock.now_ms()
    known = storage.read(lambda stores: stores.models.count_conversions(tenant, _ALL))
    seer = due[0].weighing(linear, 0)  # how it weighs does not matter yet
    window_ms = lookback_ms(account.policy.lookback_days)
    table = yield from learn(storage, tenant, seer, window_ms, now_ms)
    learned = 0
    for definition in due:
        state, diagnostics = "", dict[str, object]()
        if table.conversions:
            model = train(
                definition.base, table, order=definition.order, worth=definition.worth
            )
            state, diagnostics = dump(dict(model.state)), dict(model.diagnostics)
        training = TrainingRow(
            public_id=ids.time_ordered("trn", now_ms),
            model=definition.key,
            version=0,
            definition=definition_text(definition),
            journeys=table.journeys,
            conversions=table.conversions,
            known=known,
            state=state,
            diagnostics=diagnostics,
            trained_at_ms=now_ms,
        )
        learned += storage.write(partial(_keep, tenant=tenant, training=training))
        yield
    return learned


def _keep(stores: Stores, *, tenant: Tenant, training: TrainingRow) -> bool:
    """Keep what was learned, if that is new; tell whether it is.

    What weighs as before is no new version: every figure stays what it was. A model
    that was changed or deleted meanwhile has learned nothing: it is due again.
    """
    models = stores.accounts.account(tenant.account_id).policy.models
    definition = models.definitions.get(training.model)
    learned = definition_of(training.definition)
    if definition is None or not definition.gives_as(learned):
        return False
    before = stores.models.training(tenant, training.model)
    version = before.version if before is not None else 0
    is_new = bool(training.state) and (before is None or before.state != training.state)
    kept = replace(training, version=version + is_new)
    if not is_new:
        stores.models.confirm_training(tenant, kept)
        return False
    stores.models.add_training(tenant, kept)
    stores.models.ask_recredit(tenant, training.model, training.trained_at_ms)
    return True


# -- credit given anew --


def recredit(storage: Storage, clock: Clock) -> Steps:
    """Give the credit of models that changed anew, a few conversions at a time.

    What fails for one tenant is no reason for the others to wait.
    """
    credited = 0
    failures: list[Exception] = []
    for tenant in storage.read(lambda stores: stores.models.open_recredits()):
        while True:
            some = partial(_some, tenant=tenant, now_ms=clock.now_ms())
            done = guard.attempt(partial(storage.write, some), failures.append)
            if done is None:
                break
            credited += done
            yield
    if failures:
        raise failures[0]
    return f"{credited} conversions credited anew" if credited else ""


def recredit_pending(stores: Stores) -> bool:
    """Tell whether credit is to be given anew, under any model of anybody."""
    return bool(stores.models.open_recredits())


def _some(stores: Stores, *, tenant: Tenant, now_ms: int) -> int | None:
    """Go on with what is furthest behind; None once there is nothing to do.

    Models that are equally far go together, so that each journey is looked up once.
    """
    still = [
        one
        for one in stores.models.recredits(tenant)
        if one.finished_at_ms is None and one.from_ms <= now_ms
    ]
    if not still:
        return None
    reached = min(one.reached for one in still)
    keys = [one.model for one in still if one.reached == reached]
    policy = stores.accounts.account(tenant.account_id).policy
    found = stores.models.conversions_after(tenant, reached, _CREDITED)
    given = done = 0
    while done < len(found) and given < _MOST_CREDITS:
        given += credit_under(stores.tracking, tenant, policy, found[done], keys)
        done += 1
    finished = done == len(found) < _CREDITED
    reached = found[done - 1].id if done else reached
    for key in keys:
        stores.models.advance_recredit(
            tenant, key, reached, now_ms if finished else None
        )
    return done


JOBS: Final = (
    Job(
        name="training",
        about="trains the data-driven models on what there is by now",
        work=train_models,
        at_ms=_NIGHT_MS,
        pending=training_pending,
    ),
    Job(
        name="recrediting",
        about="gives credit anew where a model has changed",
        work=recredit,
        pending=recredit_pending,
    ),
)
