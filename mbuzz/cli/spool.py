"""`mbuzz spool`: what waits on disk, sending it, and throwing it away."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

from mbuzz.cli import spool_replay
from mbuzz.cli.console import CliError, add_api_arguments, table
from mbuzz.clock import SYSTEM_CLOCK, iso
from mbuzz.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mbuzz.delivery.spool_inspection import Destination

_VARIABLE = "MBUZZ_SPOOL_DIR"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--spool-dir",
        metavar="FOLDER",
        help=f"the application's spool_dir (default: ${_VARIABLE})",
    )
    parser = commands.add_parser(
        "spool",
        help="show, send or remove events that wait on disk",
        description="Work on an application's spool, which may be in use.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list", parents=[shared], help="show what waits, and the dead letters"
    )
    listing.add_argument("--json", action="store_true", help="show it as JSON")
    listing.set_defaults(run=show)
    replay = actions.add_parser(
        "replay",
        parents=[shared],
        help="send what waits",
        description="Send what waits to the backend. What it does not take stays. "
        "Records of running processes are left to those.",
    )
    replay.add_argument("--dead", action="store_true", help="send dead letters, too")
    replay.add_argument(
        "--any-destination",
        action="store_true",
        help="send what was meant for other keys or addresses, too: after a change "
        "of the key, for example",
    )
    add_api_arguments(replay)
    replay.set_defaults(run=send)
    purge = actions.add_parser(
        "purge",
        parents=[shared],
        help="remove events for good",
        description="Remove events for good. Records of running processes stay.",
    )
    purge.add_argument("--dead", action="store_true", help="remove the dead letters")
    purge.add_argument("--waiting", action="store_true", help="remove what waits")
    purge.add_argument(
        "--destination",
        metavar="FINGERPRINT",
        help="of this destination only, as `mbuzz spool list` shows it",
    )
    purge.add_argument("--yes", action="store_true", help="do not ask")
    purge.set_defaults(run=purge_some)


def show(args: argparse.Namespace) -> int:
    """Print what each destination has on disk."""
    _, found = _inspect(args)
    now_ms = SYSTEM_CLOCK.now_ms()
    if args.json:
        print(json.dumps([_facts(each, now_ms) for each in found], indent=2))
        return 0
    if not found:
        print("nothing waits, and there are no dead letters")
        return 0
    heads = ["destination", "running", "waiting", "bytes", "oldest", "dead letters"]
    print(table(heads, [_row(each, now_ms) for each in found]))
    return 0


def _facts(each: Destination, now_ms: int) -> Mapping[str, object]:
    oldest = each.oldest_ms
    return {
        "destination": each.fingerprint,
        "live": each.live,
        "running": each.running,
        "waiting": each.waiting,
        "segments": each.segments,
        "bytes": each.bytes,
        "oldest": None if oldest is None else iso(oldest),
        "oldest_age_seconds": None if oldest is None else (now_ms - oldest) // 1000,
        "dead_letters": dict(each.dead),
    }


def _row(each: Destination, now_ms: int) -> list[str]:
    dead = ", ".join(f"{reason}: {count}" for reason, count in each.dead.items())
    return [
        each.fingerprint,
        f"{each.running}",
        f"{each.waiting}",
        f"{each.bytes}",
        "" if each.oldest_ms is None else _age(now_ms - each.oldest_ms),
        dead or "none",
    ]


def _age(age_ms: int) -> str:
    seconds = max(0, age_ms // 1000)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def send(args: argparse.Namespace) -> int:
    """Send what waits; exit code 0 if the backend has taken all of it."""
    folder, found = _inspect(args)
    try:
        return spool_replay.run(args, folder, found)
    except OSError as error:
        raise _unreadable(folder, error) from None


def purge_some(args: argparse.Namespace) -> int:
    """Remove events, once somebody has said which ones, and yes."""
    from mbuzz.delivery.spool_inspection import read_dead, remove_dead, remove_waiting

    if not args.dead and not args.waiting:
        raise ConfigurationError(
            "nothing was chosen to be removed; pass --dead for the dead letters, "
            "--waiting for what was never sent, or both"
        )
    folder, found = _inspect(args)
    if args.destination is not None:
        found = [each for each in found if each.fingerprint == args.destination]
        if not found:
            raise CliError(
                f"there is no destination {args.destination!r} in {folder}; "
                "`mbuzz spool list` shows them"
            )
    dead = sum(sum(each.dead.values()) for each in found) if args.dead else 0
    waiting = sum(each.waiting for each in found) if args.waiting else 0
    if not dead + waiting:
        print("there is nothing to remove")
        return 0
    if not args.yes and not _agreed(f"{_said(dead, waiting)} for good"):
        print("nothing was removed")
        return 1
    removed = {"dead": 0, "waiting": 0}
    try:
        for each in found:
            if args.dead:
                letters = list(read_dead(folder, each.fingerprint))
                remove_dead(folder, each.fingerprint, letters)
                removed["dead"] += len(letters)
            if args.waiting:
                removed["waiting"] += remove_waiting(folder, each.fingerprint)
    except OSError as error:
        raise _unreadable(folder, error) from None
    print(f"removed {_said(removed['dead'], removed['waiting'])}")
    return 0


def _said(dead: int, waiting: int) -> str:
    parts = [
        f"{count} {name}"
        for count, name in (
            (dead, "dead letter" if dead == 1 else "dead letters"),
            (waiting, "waiting event" if waiting == 1 else "waiting events"),
        )
        if count
    ]
    return " and ".join(parts) or "nothing"


def _agreed(what: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f"removing {what} needs a yes, and there is no terminal to ask on; "
            "pass --yes"
        )
    try:
        return input(f"Remove {what}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _inspect(args: argparse.Namespace) -> tuple[str, list[Destination]]:
    """Return the folder and what is in it."""
    from mbuzz.delivery.spool_inspection import inspect_folder

    folder = args.spool_dir or os.environ.get(_VARIABLE) or ""
    if not folder:
        raise ConfigurationError(
            f"no spool was named; pass --spool-dir or set {_VARIABLE} to the "
            "application's spool_dir"
        )
    try:
        return folder, inspect_folder(folder)
    except OSError as error:
        raise _unreadable(folder, error) from None


def _unreadable(folder: str, error: OSError) -> CliError:
    return CliError(
        f"cannot use the spool in {folder}: {error.strerror or type(error).__name__}; "
        "give the application's spool_dir, as the user who runs it"
    )
