"""`mbuzz reclassify`: newer lists and rules for the visits that are stored."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from mbuzz.cli.console import CliError, table
from mbuzz.cli.database import chosen, database_arguments, opened
from mbuzz.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from mbuzz.server.storage.port import Storage
    from mbuzz.server.storage.rows.accounts import Account
    from mbuzz.server.tracking.reclassify import Tally

_PREVIEW_DAYS = 30
_DAY_MS = 86_400_000


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "reclassify",
        parents=[database_arguments()],
        help="apply newer lists and rules to stored visits",
        description="Classify stored visits again, and credit conversions anew. The "
        "backend may run meanwhile; stopped, it goes on where it is run again.",
    )
    parser.add_argument(
        "--since",
        metavar="DATE",
        help="the first day, such as 2026-11-01 (default: all; of --dry-run: the last "
        f"{_PREVIEW_DAYS} days)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what would change"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Reclassify an account's visits, live and test."""
    with opened(args) as storage:
        account = chosen(storage, args)
        since_ms = _since(args, account)
        try:
            tally = reclassify(storage, account, since_ms, dry_run=args.dry_run)
        except KeyboardInterrupt:
            print("stopped; what is done stays, run it again to go on", file=sys.stderr)
            raise
    print(_summary(tally, dry_run=args.dry_run))
    return 0


def reclassify(
    storage: Storage,
    account: Account,
    since_ms: int,
    *,
    dry_run: bool,
    say: Callable[[str], None] | None = None,
) -> Tally:
    """Reclassify both environments of an account, saying now and then how far it is."""
    from mbuzz.server.model import Tenant
    from mbuzz.server.tracking.reclassify import Tally
    from mbuzz.server.tracking.reclassify import run as reclassify_tenant

    tell = say or (lambda text: print(text, file=sys.stderr))
    total = Tally()
    done = 0

    def on_visitors(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if done // 10_000 > before // 10_000:
            tell(f"{done} visitors are done")

    for live in (True, False):
        tenant = Tenant(account.id, live)
        total.add(
            reclassify_tenant(
                storage,
                tenant,
                account.policy,
                since_ms,
                dry_run=dry_run,
                on_visitors=on_visitors,
            )
        )
    return total


def preview(storage: Storage, account: Account, since_ms: int) -> tuple[int, int]:
    """Return how many visits would change, and of how many."""
    tally = reclassify(storage, account, since_ms, dry_run=True)
    return tally.changed, tally.visits


def since_default(now_ms: int) -> int:
    """Return where a preview begins."""
    return now_ms - _PREVIEW_DAYS * _DAY_MS


def _since(args: argparse.Namespace, account: Account) -> int:
    from mbuzz.server.reporting.period import Period

    now_ms = SYSTEM_CLOCK.now_ms()
    if args.since is None:
        return since_default(now_ms) if args.dry_run else 0
    try:
        last = "9998-12-31"  # a date of the future is no mistake of the order
        return Period.parse(args.since, last, account.timezone, now_ms).from_ms
    except ValueError as error:
        raise CliError(str(error).replace("from must", "--since must")) from None


def _summary(tally: Tally, *, dry_run: bool) -> str:
    would = "would change" if dry_run else "changed"
    lines = [f"{tally.changed} of {tally.visits} visits {would}"]
    if tally.channels:
        rows = [
            [old, new, str(count)]
            for (old, new), count in sorted(
                tally.channels.items(), key=lambda item: (-item[1], item[0])
            )
        ]
        lines += ["", table(["from", "to", "visits"], rows), ""]
    others = [
        (tally.details, "other details of the same channel"),
        (tally.begun, "visits more, which were part of others"),
        (tally.joined, "visits fewer, which are part of others"),
    ]
    lines += [f"{count} {what}" for count, what in others if count]
    return "\n".join(lines)
