"""Accounts of one backend: opened, closed, brought back, and found by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from zoneinfo import ZoneInfo

from mbuzz import ids
from mbuzz.errors import MbuzzError
from mbuzz.server import money
from mbuzz.server.storage.port import Stores
from mbuzz.server.storage.rows.accounts import Account

RESTORABLE_DAYS: Final = 7  # a closed account's data are kept for so long
_MAX_NAME: Final = 100


class AccountError(MbuzzError):
    """There is no such account, or it cannot be opened; the text says why."""


def pick(accounts: Iterable[Account], text: str | None) -> Account:
    """Return the account that *text*, a name or an id, means; None is the only one.

    Raises:
        AccountError: If there is none, or more than one; the text has the choices.
    """
    known = list(accounts)
    if text is None:
        found = known
    else:
        wanted = text.strip().casefold()
        found = [a for a in known if a.public_id == text.strip()] or [
            a for a in known if a.name.casefold() == wanted
        ]
    if len(found) == 1:
        return found[0]
    choices = ", ".join(f"{a.name} ({a.public_id})" for a in (found or known)[:20])
    if text is None:
        raise AccountError(
            f"this backend has several accounts; choose one with --account: {choices}"
            if choices
            else "there is no account that this could be about"
        )
    if found:
        raise AccountError(
            f"several accounts are called {text!r}; choose one by its id: {choices}"
        )
    raise AccountError(f"there is no account {text!r}; there is {choices or 'none'}")


def is_open(account: Account) -> bool:
    """Tell whether the account was not closed."""
    return account.deleted_at_ms is None


def open_account(
    stores: Stores, name: str, currency: str, timezone: str, *, actor: str, now_ms: int
) -> Account:
    """Make an account.

    Raises:
        AccountError: If the name, the currency or the time zone cannot be used.
    """
    name = name.strip()
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise AccountError(
            f"an account's name must have 1 to {_MAX_NAME} printable characters, "
            f"got {name[:200]!r}"
        )
    taken = {account.name.casefold() for account in stores.accounts.accounts()}
    if name.casefold() in taken:
        raise AccountError(f"there is an account {name!r} already; choose another name")
    account = stores.accounts.create_account(
        name,
        ids.time_ordered("acct", now_ms),
        _currency(currency),
        _timezone(timezone),
        now_ms,
    )
    _note(stores, account, "account.create", actor, now_ms)
    return account


def close(stores: Stores, account: Account, *, actor: str, now_ms: int) -> None:
    """Close an account: its keys and log-ins end at once, its data wait for a while."""
    stores.accounts.delete_account(account.id, now_ms)
    for user in stores.accounts.users(account.id):
        stores.accounts.delete_logins(account.id, user.id)
    _note(stores, account, "account.delete", actor, now_ms)


def restore(stores: Stores, account: Account, *, actor: str, now_ms: int) -> None:
    """Bring a closed account back; its keys work again."""
    stores.accounts.restore_account(account.id)
    _note(stores, account, "account.restore", actor, now_ms)


def _note(
    stores: Stores, account: Account, action: str, actor: str, now_ms: int
) -> None:
    details = {"account": account.public_id}
    stores.accounts.audit(account.id, now_ms, actor, action, details)


def _currency(code: str) -> str:
    try:
        return money.currency_code(code)
    except ValueError as error:
        raise AccountError(f"{error}, got {code!r}") from None


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise AccountError(
            f"a time zone has a name such as Europe/Berlin, got {name!r}"
        ) from None
    return name
