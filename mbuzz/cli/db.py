"""`mbuzz db`: copy, check, repair and upgrade the backend's database file."""

from __future__ import annotations

import argparse
import sys

from mbuzz.cli.console import Progress
from mbuzz.cli.database import database_arguments

_SHOWN_FROM = 4  # steps of the copy: a small file is there at once


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    shared = database_arguments(account=False)
    parser = commands.add_parser(
        "db",
        help="copy, check, repair and upgrade the backend's database",
        description="Work on a backend's database. Copying and checking may be done "
        "while the backend runs; stop it before you repair or migrate.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    copy = actions.add_parser(
        "backup", parents=[shared], help="copy it, as it is at this moment"
    )
    copy.add_argument("target", metavar="TARGET", help="the copy's file")
    copy.add_argument("--force", action="store_true", help="replace an older copy")
    copy.set_defaults(run=backup)
    look = actions.add_parser(
        "check", parents=[shared], help="look for damage and contradictions"
    )
    look.set_defaults(run=check)
    mend = actions.add_parser(
        "repair", parents=[shared], help="count anew what reports count beforehand"
    )
    mend.set_defaults(run=repair)
    upgrade = actions.add_parser(
        "migrate", parents=[shared], help="bring it to the schema of this version"
    )
    upgrade.set_defaults(run=migrate)


def backup(args: argparse.Namespace) -> int:
    """Copy the database, and say how much that was."""
    from mbuzz.server.storage import backup as copies

    shown = _Copying()
    try:
        copied = copies.backup(
            args.database, args.target, force=args.force, progress=shown.at
        )
    finally:
        shown.end()
    print(f"{args.target}: {_size(copied.size)}, {copied.events} events")
    return 0


def check(args: argparse.Namespace) -> int:
    """Say what is wrong; 1 if anything is."""
    from mbuzz.server.storage import maintenance

    found = maintenance.check(args.database)
    for sentence in found.problems:
        print(sentence)
    newest = maintenance.newest_version()
    schema = f"schema version {found.version}"
    if found.version < newest:
        schema += f" (this mbuzz has {newest}: `mbuzz db migrate` brings it there)"
    counts = ", ".join(f"{count} {table}" for table, count in found.counts.items())
    verdict = f"{found.total} problems" if found.total else "all is well"
    print(f"{args.database}: {counts}, {schema}: {verdict}")
    return 1 if found.total else 0


def repair(args: argparse.Namespace) -> int:
    """Work out the derived figures anew, and say how many were wrong."""
    from mbuzz.server.storage import maintenance

    wrong = maintenance.repair(args.database)
    found = f"{wrong} were wrong" if wrong else "all were right"
    print(f"{args.database}: the visits of reports are counted anew, {found}")
    return 0


def migrate(args: argparse.Namespace) -> int:
    """Bring the database to this version's schema."""
    from mbuzz.server.storage import maintenance

    before, now = maintenance.upgrade(args.database)
    done = f"already at {now}" if before == now else f"brought from {before} to {now}"
    print(f"{args.database}: schema version {done}")
    return 0


class _Copying:
    """A bar for copies that take a while, on terminals only."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._steps = 0

    def at(self, done: int, total: int) -> None:
        """Note that *done* of *total* pages are copied."""
        self._steps += 1
        if self._steps == 1 and sys.stderr.isatty():
            steps = -(-total // max(done, 1))
            if steps >= _SHOWN_FROM:
                self._bar = Progress("copying", steps)
        if self._bar is not None:
            self._bar.step()

    def end(self) -> None:
        """Leave the bar's line."""
        if self._bar is not None:
            self._bar.finish()


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
