"""`mbuzz demo`: backend, shop and visitors, all real, in one command."""

from __future__ import annotations

import argparse

from mbuzz.cli.console import CliError


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "demo",
        help="see all of it run, with simulated visitors",
        description="Start the backend and a small shop, send simulated visitors "
        "through it over HTTP, and show what their channels earned.",
    )
    parser.add_argument(
        "--visitors", type=int, default=400, help="how many (default: %(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="the same seed gives the same report (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=8788,
        help="of the shop; the backend takes the next one, and 0 two free ones "
        "(default: %(default)s)",
    )
    parser.add_argument("--once", action="store_true", help="end after the report")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; Ctrl-C ends it and leaves nothing behind."""
    from mbuzz.cli.demo.stage import perform

    if not 1 <= args.visitors <= 100_000:
        raise CliError(f"--visitors must be from 1 to 100000, got {args.visitors}")
    return perform(args)
