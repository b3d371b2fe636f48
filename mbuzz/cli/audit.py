"""`mbuzz audit`: who did what to an account, and when."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mbuzz.cli.console import CliError, table
from mbuzz.cli.database import chosen, database_arguments, opened
from mbuzz.clock import iso

if TYPE_CHECKING:
    from mbuzz.server.storage.rows.accounts import AuditEntry

_MOST = 10_000


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "audit",
        parents=[database_arguments()],
        help="show who did what",
        description="Show who did what to an account, the latest first: keys, users, "
        "log-ins, settings, erased people, what was forgotten at night. Never the "
        "data itself.",
    )
    parser.add_argument(
        "--limit", type=int, default=50, help="entries (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the entries."""
    if not 1 <= args.limit <= _MOST:
        raise CliError(f"--limit is from 1 to {_MOST}, got {args.limit}")
    with opened(args) as storage:
        account = chosen(storage, args)
        found = storage.read(
            lambda stores: stores.accounts.audit_entries(account.id, args.limit)
        )
    print(
        table(
            ["when", "who", "what", "of it"],
            [_row(entry) for entry in found],
            words=True,
        )
    )
    return 0


def _row(entry: AuditEntry) -> list[str]:
    details = ", ".join(
        f"{name} {_text(value)}" for name, value in sorted(entry.details.items())
    )
    return [iso(entry.at_ms)[:19], entry.actor, entry.action, details]


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
