"""`mbuzz keys`: make, list and revoke API keys, on the database itself."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mbuzz.cli.console import CliError, table
from mbuzz.clock import SYSTEM_CLOCK, iso

if TYPE_CHECKING:
    from mbuzz.server.storage.port import Account, ApiKey, Storage


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    from mbuzz.cli.serve import _DATABASE

    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--database",
        default=_DATABASE,
        metavar="FILE",
        help="the backend's SQLite file (default: %(default)s)",
    )
    parser = commands.add_parser(
        "keys",
        help="make, list and revoke API keys",
        description="Work on the keys of a backend's database, which may be in use.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", parents=[shared], help="make a key")
    create.add_argument("--name", default="", help="what it is for")
    kind = create.add_mutually_exclusive_group()
    kind.add_argument("--live", action="store_true", help="for real data")
    kind.add_argument("--test", action="store_true", help="for test data (default)")
    create.set_defaults(run=create_key)
    listing = actions.add_parser("list", parents=[shared], help="show the keys")
    listing.set_defaults(run=list_keys)
    revoke = actions.add_parser("revoke", parents=[shared], help="end a key for good")
    revoke.add_argument(
        "key_id", metavar="KEY_ID", help="as `mbuzz keys list` shows it"
    )
    revoke.set_defaults(run=revoke_key)


def create_key(args: argparse.Namespace) -> int:
    """Make a key and show it, once."""
    from mbuzz.server.ingestion import keys

    storage = _open(args.database)
    try:
        account = _account(storage, args.database)
        now = SYSTEM_CLOCK.now_ms()
        key, text = storage.write(
            lambda stores: keys.create(
                stores.accounts, account, live=args.live, name=args.name, now_ms=now
            )
        )
    finally:
        storage.close()
    print(text)
    print(f"This is key {key.public_id}, shown once: keep it.")
    return 0


def list_keys(args: argparse.Namespace) -> int:
    """Show every key, without its secret."""
    storage = _open(args.database)
    try:
        account = _account(storage, args.database)
        found = storage.read(lambda stores: stores.accounts.keys(account.id))
    finally:
        storage.close()
    heads = ["id", "key", "name", "made", "last used", "state"]
    print(table(heads, [_row(key) for key in found]))
    return 0


def revoke_key(args: argparse.Namespace) -> int:
    """End a key; programs that use it are answered 401 from then on."""
    storage = _open(args.database)
    try:
        account = _account(storage, args.database)
        now = SYSTEM_CLOCK.now_ms()
        done = storage.write(
            lambda stores: stores.accounts.revoke_key(account.id, args.key_id, now)
        )
    finally:
        storage.close()
    if not done:
        raise CliError(
            f"there is no key {args.key_id!r} that works; `mbuzz keys list` shows them"
        )
    print(f"key {args.key_id} is revoked")
    return 0


def _row(key: ApiKey) -> list[str]:
    used = iso(key.last_used_at_ms)[:16] if key.last_used_at_ms else "never"
    made = iso(key.created_at_ms)[:16]
    state = "revoked" if key.revoked_at_ms else "works"
    return [key.public_id, key.hint, key.name, made, used, state]


def _open(database: str) -> Storage:
    from mbuzz.server.storage.sqlite import SqliteStorage

    if not Path(database).is_file():
        raise CliError(_no_database(database))
    return SqliteStorage(database)


def _account(storage: Storage, database: str) -> Account:
    found = storage.read(lambda stores: stores.accounts.accounts())
    if not found:
        raise CliError(_no_database(database))
    return found[0]


def _no_database(database: str) -> str:
    return (
        f"there is no mbuzz database at {database}; give its path with --database, "
        f"or make it with `mbuzz serve --database {database}`"
    )
