"""`mbuzz keys`: make, list and revoke API keys, on the database itself."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mbuzz.cli.console import CliError, table
from mbuzz.cli.database import chosen, database_arguments, opened
from mbuzz.clock import SYSTEM_CLOCK, iso

if TYPE_CHECKING:
    from mbuzz.server.storage.rows.accounts import ApiKey

_SCOPES = ("ingest", "read", "admin", "import")
_MOST_DAYS = 3_650
_DAY_MS = 86_400_000


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    shared = database_arguments()
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
    create.add_argument(
        "--scope",
        action="append",
        choices=_SCOPES,
        help="what it may do, may be repeated: ingest sends events and conversions, "
        "read reads reports, admin erases and exports people's data, import sends "
        "events of any age (default: ingest and read)",
    )
    create.add_argument(
        "--expires", type=int, metavar="DAYS", help="ends by itself (default: never)"
    )
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

    now = SYSTEM_CLOCK.now_ms()
    expires = _expires(args.expires, now)
    with opened(args) as storage:
        account = chosen(storage, args)
        key, text = storage.write(
            lambda stores: keys.create(
                stores.accounts,
                account,
                live=args.live,
                name=args.name,
                now_ms=now,
                scopes=args.scope or keys.DEFAULT_SCOPES,
                expires_at_ms=expires,
            )
        )
    print(text)
    print(f"This is key {key.public_id}, shown once: keep it.")
    return 0


def _expires(days: int | None, now_ms: int) -> int | None:
    if days is None:
        return None
    if not 1 <= days <= _MOST_DAYS:
        raise CliError(f"--expires is from 1 to {_MOST_DAYS} days, got {days}")
    return now_ms + days * _DAY_MS


def list_keys(args: argparse.Namespace) -> int:
    """Show every key, without its secret."""
    with opened(args) as storage:
        account = chosen(storage, args)
        found = storage.read(lambda stores: stores.accounts.keys(account.id))
    now = SYSTEM_CLOCK.now_ms()
    heads = ["id", "key", "name", "may", "made", "last used", "state"]
    print(table(heads, [_row(key, now) for key in found], words=True))
    return 0


def revoke_key(args: argparse.Namespace) -> int:
    """End a key; programs that use it are answered 401 from then on."""
    from mbuzz.server.ingestion import keys

    now = SYSTEM_CLOCK.now_ms()
    with opened(args) as storage:
        account = chosen(storage, args)
        done = storage.write(
            lambda stores: keys.revoke(
                stores.accounts, account, args.key_id, now_ms=now
            )
        )
    if not done:
        raise CliError(
            f"there is no key {args.key_id!r} that works; `mbuzz keys list` shows them"
        )
    print(f"key {args.key_id} is revoked")
    return 0


def _row(key: ApiKey, now_ms: int) -> list[str]:
    used = iso(key.last_used_at_ms)[:16] if key.last_used_at_ms else "never"
    made = iso(key.created_at_ms)[:16]
    scopes = " ".join(scope for scope in _SCOPES if scope in key.scopes)
    state = _state(key, now_ms)
    return [key.public_id, key.hint, key.name, scopes, made, used, state]


def _state(key: ApiKey, now_ms: int) -> str:
    if key.revoked_at_ms is not None:
        return "revoked"
    if key.expires_at_ms is None:
        return "works"
    if key.expires_at_ms <= now_ms:
        return "expired"
    return f"works until {iso(key.expires_at_ms)[:10]}"
