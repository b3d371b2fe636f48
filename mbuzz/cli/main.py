"""The `mbuzz` command: finds the subcommand, and turns failures into one sentence."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from mbuzz import __version__
from mbuzz.cli import (
    accounts,
    attribute,
    audit,
    classify,
    db,
    demo,
    events,
    jobs,
    keys,
    models,
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
    models,
    reclassify,
    db,
    jobs,
    validate,
    report,
    attribute,
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
        return _run(args)
    except MbuzzError as error:
        print(f"mbuzz {args.command}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigurationError) else 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        _let_output_go()
        return 0
    except OSError as error:
        _let_output_go()
        why = error.strerror or type(error).__name__
        where = f" ({error.filename})" if error.filename else ""
        print(f"mbuzz {args.command}: the system says: {why}{where}", file=sys.stderr)
        return 1


def _run(args: argparse.Namespace) -> int:
    exit_code = int(args.run(args))
    sys.stdout.flush()  # what cannot be written is told now, and not at the end
    return exit_code


def _let_output_go() -> None:
    """Send what is still buffered nowhere: Python would complain of it at the end."""
    with suppress(OSError):  # output that is no file, as in tests
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, sys.stdout.fileno())
        finally:
            os.close(nowhere)
