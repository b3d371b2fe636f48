"""Users of an account: who is added, changed and removed, by which rules.

Each function runs inside of a transaction and leaves an entry in the audit log.
"""

from __future__ import annotations

import re
from typing import Final

from mbuzz import ids
from mbuzz.errors import MbuzzError
from mbuzz.server.roles import OWNER, ROLES
from mbuzz.server.storage.port import Stores
from mbuzz.server.storage.rows.accounts import Account, User

_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")
_MAX_EMAIL: Final = 254  # RFC 5321, 4.5.3.1.3, without the brackets
_MIN_PASSWORD: Final = 10
_MAX_PASSWORD: Final = 256


class TeamError(MbuzzError):
    """That cannot be done to this account's users; the text says why."""


def check_email(text: str) -> str:
    """Return an e-mail address as it is kept.

    Raises:
        TeamError: If it is none.
    """
    email = text.strip().lower()
    if len(email) > _MAX_EMAIL or not _EMAIL.fullmatch(email):
        raise TeamError(f"an e-mail address looks like ada@example.com, got {text!r}")
    return email


def check_password(text: str, email: str) -> str:
    """Return *text* if it will do as the password of *email*.

    Source: NIST SP 800-63B, 3.1.1: long enough, and no rules on kinds of letters.

    Raises:
        TeamError: If it is too short, too long, or the e-mail address itself.
    """
    if not _MIN_PASSWORD <= len(text) <= _MAX_PASSWORD:
        raise TeamError(
            f"a password must have from {_MIN_PASSWORD} to {_MAX_PASSWORD} "
            f"characters, this one has {len(text)}"
        )
    if text.lower() in (email, email.partition("@")[0]):
        raise TeamError("a password must not be the e-mail address; choose another")
    return text


def new_password() -> str:
    """Return a password for somebody who was given none."""
    return ids.token(9)


def find(stores: Stores, account: Account, email: str) -> User:
    """Return the account's user with this e-mail address.

    Raises:
        TeamError: If there is none; the text names those there are.
    """
    users = stores.accounts.users(account.id)
    for user in users:
        if user.email == email.strip().lower():
            return user
    known = ", ".join(user.email for user in users[:10]) or "nobody"
    raise TeamError(f"there is no user {email!r} in {account.name}; there is {known}")


def add(
    stores: Stores,
    account: Account,
    email: str,
    hashed: str,
    role: str,
    *,
    actor: str,
    now_ms: int,
) -> User:
    """Add somebody to the account.

    Raises:
        TeamError: If the role is unknown or the e-mail address is taken.
    """
    _check_role(role)
    if stores.accounts.user_by_email(email) is not None:
        raise TeamError(
            f"there is a user {email} already, and each has one account; "
            "take another e-mail address"
        )
    public_id = ids.time_ordered("user", now_ms)
    user = stores.accounts.create_user(account, public_id, email, hashed, now_ms, role)
    _note(stores, user, "user.create", actor, now_ms, role=role)
    return user


def change_role(
    stores: Stores, user: User, role: str, *, actor: str, now_ms: int
) -> None:
    """Give *user* another role, from the next request on.

    Raises:
        TeamError: If the role is unknown, or this is the last owner.
    """
    _check_role(role)
    if role != OWNER:
        _keep_an_owner(stores, user)
    stores.accounts.set_role(user.account.id, user.id, role)
    _note(stores, user, "user.role", actor, now_ms, before=user.role, role=role)


def change_password(
    stores: Stores,
    user: User,
    hashed: str,
    *,
    actor: str,
    now_ms: int,
    but_login: str | None = None,
) -> None:
    """Give *user* another password, and end all log-ins but *but_login*, a digest."""
    stores.accounts.set_password(user.account.id, user.id, hashed)
    stores.accounts.delete_logins(user.account.id, user.id, but_login)
    _note(stores, user, "user.password", actor, now_ms)


def remove(stores: Stores, user: User, *, actor: str, now_ms: int) -> None:
    """Remove *user* and end their log-ins.

    Raises:
        TeamError: If this is the last owner.
    """
    _keep_an_owner(stores, user)
    stores.accounts.delete_user(user.account.id, user.id)
    _note(stores, user, "user.delete", actor, now_ms, role=user.role)


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise TeamError(f"a role is one of {', '.join(ROLES)}, got {role!r}")


def _keep_an_owner(stores: Stores, user: User) -> None:
    owners = [u for u in stores.accounts.users(user.account.id) if u.role == OWNER]
    if [owner.id for owner in owners] == [user.id]:
        raise TeamError(
            f"{user.email} is the last owner of {user.account.name}; "
            "make somebody else an owner first"
        )


def _note(
    stores: Stores, user: User, action: str, actor: str, now_ms: int, **details: object
) -> None:
    stores.accounts.audit(
        user.account.id, now_ms, actor, action, {"user": user.email, **details}
    )
