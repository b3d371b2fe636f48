"""`mbuzz users`: who may log in to an account's dashboard, and what they may do."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import TYPE_CHECKING

from mbuzz.cli.console import CliError, table
from mbuzz.cli.database import ACTOR, chosen, database_arguments, opened
from mbuzz.clock import SYSTEM_CLOCK, iso

if TYPE_CHECKING:
    from mbuzz.server.storage.rows.accounts import User

_ROLES = ("owner", "admin", "member")


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    shared = database_arguments()
    parser = commands.add_parser(
        "users",
        help="add, list and remove who may log in",
        description="Work on the users of a backend's database, which may be in use. "
        "A member sees reports, an admin also makes keys and users, an owner may do "
        "everything.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    create = actions.add_parser("create", parents=[shared], help="add somebody")
    create.add_argument("email", metavar="EMAIL")
    create.add_argument(
        "--role", choices=_ROLES, default="member", help="default: %(default)s"
    )
    _ask_argument(create)
    create.set_defaults(run=create_user)

    listing = actions.add_parser("list", parents=[shared], help="show the users")
    listing.set_defaults(run=list_users)

    role = actions.add_parser("role", parents=[shared], help="give another role")
    role.add_argument("email", metavar="EMAIL")
    role.add_argument("role", choices=_ROLES, metavar="ROLE", help=", ".join(_ROLES))
    role.set_defaults(run=change_role)

    password = actions.add_parser(
        "password", parents=[shared], help="set a new password and end all log-ins"
    )
    password.add_argument("email", metavar="EMAIL")
    _ask_argument(password)
    password.set_defaults(run=change_password)

    delete = actions.add_parser("delete", parents=[shared], help="remove somebody")
    delete.add_argument("email", metavar="EMAIL")
    delete.set_defaults(run=delete_user)


def _ask_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ask",
        action="store_true",
        help="ask for the password, or read it from a pipe "
        "(default: make one and show it once)",
    )


def create_user(args: argparse.Namespace) -> int:
    """Add somebody to the account."""
    from mbuzz.server import passwords, team

    email = team.check_email(args.email)
    now = SYSTEM_CLOCK.now_ms()
    with opened(args) as storage:
        account = chosen(storage, args)
        password = _password(args, email)
        hashed = passwords.hash_password(password)
        storage.write(
            lambda stores: team.add(
                stores, account, email, hashed, args.role, actor=ACTOR, now_ms=now
            )
        )
    print(f"{email} may log in to {account.name} as {args.role}")
    _show(args, password)
    return 0


def list_users(args: argparse.Namespace) -> int:
    """Show everybody who may log in."""
    with opened(args) as storage:
        account = chosen(storage, args)
        found = storage.read(lambda stores: stores.accounts.users(account.id))
    print(
        table(["e-mail", "role", "since"], [_row(user) for user in found], words=True)
    )
    return 0


def _row(user: User) -> list[str]:
    return [user.email, user.role, iso(user.created_at_ms)[:16]]


def change_role(args: argparse.Namespace) -> int:
    """Give somebody another role; it counts from their next request on."""
    from mbuzz.server import team

    now = SYSTEM_CLOCK.now_ms()
    with opened(args) as storage:
        account = chosen(storage, args)
        storage.write(
            lambda stores: team.change_role(
                stores,
                team.find(stores, account, args.email),
                args.role,
                actor=ACTOR,
                now_ms=now,
            )
        )
    print(f"{args.email} is {args.role} of {account.name}")
    return 0


def change_password(args: argparse.Namespace) -> int:
    """Set a new password; whoever is logged in with the old one is no more."""
    from mbuzz.server import passwords, team

    now = SYSTEM_CLOCK.now_ms()
    with opened(args) as storage:
        account = chosen(storage, args)
        user = storage.read(lambda stores: team.find(stores, account, args.email))
        password = _password(args, user.email)
        hashed = passwords.hash_password(password)
        storage.write(
            lambda stores: team.change_password(
                stores, user, hashed, actor=ACTOR, now_ms=now
            )
        )
    print(f"{user.email} has a new password, and is logged out everywhere")
    _show(args, password)
    return 0


def delete_user(args: argparse.Namespace) -> int:
    """Remove somebody, who is logged out at once."""
    from mbuzz.server import team

    now = SYSTEM_CLOCK.now_ms()
    with opened(args) as storage:
        account = chosen(storage, args)
        storage.write(
            lambda stores: team.remove(
                stores,
                team.find(stores, account, args.email),
                actor=ACTOR,
                now_ms=now,
            )
        )
    print(f"{args.email} may no longer log in to {account.name}")
    return 0


def _password(args: argparse.Namespace, email: str) -> str:
    """Return what was typed, or made up.

    Raises:
        CliError: If it was typed differently the second time.
        TeamError: If it will not do.
    """
    from mbuzz.server import team

    if not args.ask:
        return team.new_password()
    if not sys.stdin.isatty():
        return team.check_password(sys.stdin.readline().rstrip("\r\n"), email)
    text = team.check_password(getpass.getpass(f"Password for {email}: "), email)
    if getpass.getpass("The same again: ") != text:
        raise CliError("the two passwords differ; nothing was done")
    return text


def _show(args: argparse.Namespace, password: str) -> None:
    if not args.ask:
        print(f"password {password}, shown once: keep it.")
