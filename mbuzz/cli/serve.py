"""`mbuzz serve`: run the backend."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from mbuzz.cli.console import CliError

if TYPE_CHECKING:
    from mbuzz.server.bootstrap import FirstStart

# Seconds that a thread may compute while others wait for their turn. The database gives
# its turn up with each statement, and at Python's 5 ms would get it back behind every
# thread that parses: transactions of 500 rows fell from 84,000 rows/s to 600 so, and
# to 8,000 with this (measured on two cores with Python 3.11).
_SWITCH_INTERVAL = 0.0005

_DATABASE = os.environ.get("MBUZZ_SERVER_DATABASE") or "mbuzz.db"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "serve",
        help="run the backend on an SQLite file",
        description="Run the backend. The first start makes the database, a key and "
        "a log-in for the dashboard, and shows them once.",
    )
    parser.add_argument(
        "--database",
        default=_DATABASE,
        metavar="FILE",
        help="SQLite file, made if missing (default: %(default)s)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8787, help="default: %(default)s")
    first = parser.add_argument_group("at the first start")
    first.add_argument(
        "--email", default="owner@localhost", help="who logs in (default: %(default)s)"
    )
    first.add_argument(
        "--currency", default="USD", help="of the account (default: %(default)s)"
    )
    first.add_argument(
        "--timezone", default="UTC", help="of its reports (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    from mbuzz.cli.running import listen, until_stopped, wait_for
    from mbuzz.clock import SYSTEM_CLOCK
    from mbuzz.server import bootstrap, money
    from mbuzz.server.app import create_app
    from mbuzz.server.settings import ServerSettings

    try:
        currency = money.currency_code(args.currency)
    except ValueError as error:
        raise CliError(f"{error}, got {args.currency!r}") from None
    _check_timezone(args.timezone)
    settings = ServerSettings.from_environment(
        {**os.environ, "MBUZZ_SERVER_DATABASE": args.database}
    )
    app = create_app(settings)
    try:
        server = listen(app, args.host, args.port, "--port")
        with server, until_stopped() as stopped:
            first = bootstrap.prepare(
                app.storage,
                SYSTEM_CLOCK,
                email=args.email,
                currency=currency,
                timezone=args.timezone,
            )
            sys.setswitchinterval(_SWITCH_INTERVAL)
            server.start()
            _announce(server.url, args.database, first)
            wait_for(stopped)
            print("stopping: finishing what is being written", flush=True)
    finally:
        app.close()
    return 0


def _check_timezone(name: str) -> None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise CliError(
            f"--timezone must be a name such as Europe/Berlin, got {name!r}"
        ) from None


def _announce(url: str, database: str, first: FirstStart | None) -> None:
    print(f"mbuzz backend on {url}, database {database}")
    print(f"  dashboard  {url}/")
    print(f"  API        {url}/api/v1  (described at {url}/openapi.json)")
    if first is not None:
        print("\nShown once, keep it:")
        print(f"  API key    {first.api_key}")
        print(f"  log-in     {first.email}  password {first.password}")
        print("\nIn your application's environment:")
        print(f"  export MBUZZ_API_KEY={first.api_key}")
        print(f"  export MBUZZ_API_URL={url}")
        print(
            "\nThis is a test key; `mbuzz keys create --live` makes one for real data."
        )
    print("\nCtrl-C stops it.", flush=True)
