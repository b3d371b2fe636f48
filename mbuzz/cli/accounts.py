"""`mbuzz accounts`: the accounts of one backend, each with data of its own."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mbuzz.cli.console import CliError, table
from mbuzz.cli.database import ACTOR, database_arguments, opened
from mbuzz.clock import SYSTEM_CLOCK, iso

if TYPE_CHECKING:
    from mbuzz.server.storage.rows.accounts import Account


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    shared = database_arguments(account=False)
    parser = commands.add_parser(
        "accounts",
        help="open, list, close and restore accounts",
        description="Work on the accounts of a backend's database, which may be in "
        "use. Accounts share a backend and nothing else.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", parents=[shared], help="open an account")
    create.add_argument("name", metavar="NAME", help="such as a shop's name")
    create.add_argument("--currency", default="USD", help="default: %(default)s")
    create.add_argument("--timezone", default="UTC", help="default: %(default)s")
    create.set_defaults(run=create_account)
    listing = actions.add_parser("list", parents=[shared], help="show the accounts")
    listing.set_defaults(run=list_accounts)
    for name, run, what in (
        ("delete", delete_account, "close an account: its keys end at once"),
        ("restore", restore_account, "bring a closed account back"),
    ):
        action = actions.add_parser(name, parents=[shared], help=what)
        action.add_argument("account", metavar="ACCOUNT", help="its name or id")
        action.set_defaults(run=run)


def create_account(args: argparse.Namespace) -> int:
    """Open an account; it has no key and no user yet."""
    from mbuzz.server import accounts

    now = SYSTEM_CLOCK.now_ms()
    with opened(args) as storage:
        account = storage.write(
            lambda stores: accounts.open_account(
                stores, args.name, args.currency, args.timezone, actor=ACTOR, now_ms=now
            )
        )
    print(f"account {account.name} is open: {account.public_id}")
    print(f"  a key      mbuzz keys create --account {account.public_id}")
    print(f"  a log-in   mbuzz users create EMAIL --account {account.public_id}")
    return 0


def list_accounts(args: argparse.Namespace) -> int:
    """Show every account, closed ones too."""
    with opened(args) as storage:
        found = storage.read(lambda stores: stores.accounts.accounts())
    heads = ["id", "name", "currency", "time zone", "state"]
    print(table(heads, [_row(account) for account in found], words=True))
    return 0


def _row(account: Account) -> list[str]:
    closed = account.deleted_at_ms
    state = "open" if closed is None else f"closed {iso(closed)[:16]}"
    return [
        account.public_id,
        account.name,
        account.currency,
        account.timezone,
        state,
    ]


def delete_account(args: argparse.Namespace) -> int:
    """Close an account; its data are kept for some days."""
    from mbuzz.server import accounts

    now = SYSTEM_CLOCK.now_ms()
    with opened(args) as storage:
        known = storage.read(lambda stores: stores.accounts.accounts())
        account = accounts.pick(filter(accounts.is_open, known), args.account)
        storage.write(
            lambda stores: accounts.close(stores, account, actor=ACTOR, now_ms=now)
        )
    print(f"account {account.name} is closed: its keys and log-ins no longer work")
    print(
        f"Its data are kept for {accounts.RESTORABLE_DAYS} days: "
        f"mbuzz accounts restore {account.public_id}"
    )
    return 0


def restore_account(args: argparse.Namespace) -> int:
    """Bring a closed account back, with its keys and users."""
    from mbuzz.server import accounts

    now = SYSTEM_CLOCK.now_ms()
    with opened(args) as storage:
        known = storage.read(lambda stores: stores.accounts.accounts())
        closed = [account for account in known if not accounts.is_open(account)]
        if not closed:
            raise CliError("no account is closed; `mbuzz accounts list` shows them")
        account = accounts.pick(closed, args.account)
        storage.write(
            lambda stores: accounts.restore(stores, account, actor=ACTOR, now_ms=now)
        )
    print(f"account {account.name} is open again: its keys and users work")
    return 0
