"""The first start: an empty database gets an account, a key and somebody to log in."""

from __future__ import annotations

from dataclasses import dataclass

from mbuzz import ids
from mbuzz.clock import Clock
from mbuzz.server import passwords, team
from mbuzz.server.ingestion import keys
from mbuzz.server.roles import OWNER
from mbuzz.server.storage.port import Storage, Stores
from mbuzz.server.storage.rows.accounts import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStart:
    """What is shown once and kept nowhere else."""

    account: Account
    api_key: str
    email: str
    password: str


def prepare(
    storage: Storage,
    clock: Clock,
    *,
    email: str = "owner@localhost",
    currency: str = "USD",
    timezone: str = "UTC",
    live: bool = False,
    password_cost: passwords.Cost = passwords.COST,
) -> FirstStart | None:
    """Fill an empty database and return its secrets; None if it has an account."""
    if storage.read(lambda stores: bool(stores.accounts.accounts())):
        return None
    password = team.new_password()
    # slow, so outside the transaction
    hashed = passwords.hash_password(password, password_cost)
    now = clock.now_ms()

    def work(stores: Stores) -> FirstStart | None:
        if stores.accounts.accounts():
            return None
        account = stores.accounts.create_account(
            "My business", ids.time_ordered("acct", now), currency, timezone, now
        )
        _, api_key = keys.create(
            stores.accounts, account, live=live, name="first", now_ms=now
        )
        team.add(
            stores,
            account,
            email,
            hashed,
            OWNER,
            actor=keys.COMMAND_LINE,
            now_ms=now,
        )
        return FirstStart(
            account=account, api_key=api_key, email=email, password=password
        )

    return storage.write(work)
