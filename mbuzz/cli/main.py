"""The `mbuzz` command: finds the subcommand, and turns failures into one sentence."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mbuzz import __version__
from mbuzz.cli import (
    accounts,
    audit,
    classify,
    db,
    demo,
    events,
    jobs,
    keys,
    reclassify,
    report,
    serve,
    settings,
    spool,
    users,
    validate,
)
from mbuzz.errors import ConfigurationError, MbuzzError

_COMMANDS = (
    demo,
    serve,
    accounts,
    users,
    keys,
    audit,
    settings,
    classify,
    reclassify,
    db,
    jobs,
    validate,
    report,
    events,
    spool,
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    root = argparse.ArgumentParser(
        prog="mbuzz",
        description="Event tracking and multi-touch attribution. "
        "Try `mbuzz demo` to see all of it run.",
    )
    root.add_argument("--version", action="version", version=f"mbuzz {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_to(commands)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 good, 1 failed, 2 wrong usage."""
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except MbuzzError as error:
        print(f"mbuzz {args.command}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigurationError) else 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        sys.stderr.close()
        return 0
