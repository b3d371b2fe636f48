"""An account's own models: made, changed, deleted, with all that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mbuzz.server.model import Tenant
from mbuzz.server.model_definitions import Definition, as_text, definition_text
from mbuzz.server.model_requests import ModelRefusedError, changed, defined
from mbuzz.server.storage.model_port import ModelVersion
from mbuzz.server.storage.port import Stores
from mbuzz.server.storage.rows.accounts import Account

# What was asked before, or of a process that remembers the account as it was, is done.
_SETTLED_MS: Final = 5_000


def make(
    stores: Stores,
    account: Account,
    body: Mapping[str, object],
    *,
    actor: str,
    now_ms: int,
) -> Definition:
    """Make a model of the account's own; conversions are credited under it from now on.

    Those that there are already get theirs by the job ``recrediting``.

    Raises:
        ModelRefusedError: If *body* describes none.
    """
    definition = defined(body, account.policy.models)
    _check_window(account, definition)
    # A key that was used before goes on with the numbers of its versions.
    before = stores.accounts.model_versions(account.id, definition.key)
    if before:
        definition = replace(definition, version=before[0].version + 1)
    _save(stores, account, definition)
    _note_version(stores, account, definition, actor, now_ms)
    if not definition.learns:  # once it has
        _credit_anew(stores, account, definition, now_ms)
    _audit(stores, account, definition, "model.create", actor, now_ms)
    return definition


def change(
    stores: Stores,
    account: Account,
    definition: Definition,
    body: Mapping[str, object],
    *,
    actor: str,
    now_ms: int,
) -> Definition:
    """Change a model; its credits follow by the job ``recrediting``.

    Raises:
        ModelRefusedError: If it cannot be as *body* wants it.
    """
    wanted = changed(definition, body)
    if wanted == definition:
        return definition
    _check_window(account, wanted)
    _save(stores, account, wanted)
    if wanted.version != definition.version:
        _note_version(stores, account, wanted, actor, now_ms)
    if (wanted.version, wanted.active) != (definition.version, definition.active):
        _credit_anew(stores, account, wanted, now_ms)
    _audit(stores, account, wanted, "model.change", actor, now_ms)
    return wanted


def delete(
    stores: Stores, account: Account, definition: Definition, *, actor: str, now_ms: int
) -> None:
    """Delete a model of the account's own; its versions can still be looked up."""
    assert definition.own, "what everybody knows is never deleted"
    left = [
        one
        for key, one in account.policy.models.definitions.items()
        if key != definition.key
    ]
    stores.accounts.save_models(account.id, as_text(left))
    for live in (True, False):
        stores.models.forget_trainings(Tenant(account.id, live), definition.key)
    _credit_anew(stores, account, definition, now_ms)
    _audit(stores, account, definition, "model.delete", actor, now_ms)


def _check_window(account: Account, definition: Definition) -> None:
    """Check that a data-driven model does not want to see more than it learns from.

    Raises:
        ModelRefusedError: If it does.
    """
    days, most = definition.lookback_days, account.policy.lookback_days
    if definition.learns and days is not None and most and not 0 < days <= most:
        raise ModelRefusedError(
            "a data-driven model learns from what conversions are credited to: "
            f"lookback_days must be at most the account's, {most}"
        )


def _save(stores: Stores, account: Account, definition: Definition) -> None:
    known = {**account.policy.models.definitions, definition.key: definition}
    stores.accounts.save_models(account.id, as_text(known.values()))


def _note_version(
    stores: Stores, account: Account, definition: Definition, actor: str, now_ms: int
) -> None:
    version = ModelVersion(
        model=definition.key,
        version=definition.version,
        definition=definition_text(definition),
        actor=actor,
        created_at_ms=now_ms,
    )
    stores.accounts.add_model_version(account.id, version)


def _credit_anew(
    stores: Stores, account: Account, definition: Definition, now_ms: int
) -> None:
    """Have all conversions credited anew, once nobody credits them as it was before."""
    from_ms = now_ms + _SETTLED_MS
    for live in (True, False):
        stores.models.ask_recredit(Tenant(account.id, live), definition.key, from_ms)


def _audit(
    stores: Stores,
    account: Account,
    definition: Definition,
    action: str,
    actor: str,
    now_ms: int,
) -> None:
    details = {"model": definition.key, "version": definition.version}
    stores.accounts.audit(account.id, now_ms, actor, action, details)
