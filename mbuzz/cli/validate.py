"""`mbuzz validate`: does the key work, and whose is it?"""

from __future__ import annotations

import argparse
import json

from mbuzz.cli.console import CliError, add_api_arguments, call_api


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "validate",
        help="check an API key against the backend",
        description="Ask the backend whether the key works, and say whose it is.",
    )
    add_api_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check the key; exit code 0 if it works."""
    body = call_api(args, "/validate", "application/json")
    try:
        said = json.loads(body)
        account = said["account"]
        line = f"account {account['name']!r} ({account['id']}), {said['environment']}"
    except (ValueError, KeyError, TypeError):
        raise CliError(
            "the answer is not an mbuzz backend's; check --api-url"
        ) from None
    print(f"the key works: {line} data")
    return 0
