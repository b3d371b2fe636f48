"""What commands on a backend's database share: its file, its account, who acts."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mbuzz.cli.console import CliError

if TYPE_CHECKING:
    from mbuzz.server.storage.port import Storage
    from mbuzz.server.storage.rows.accounts import Account

DATABASE: Final = os.environ.get("MBUZZ_SERVER_DATABASE") or "mbuzz.db"
ACTOR: Final = "command line"  # in the audit log


def database_arguments(*, account: bool = True) -> argparse.ArgumentParser:
    """Return a parent parser: `--database`, and `--account` if it is about one."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--database",
        default=DATABASE,
        metavar="FILE",
        help="the backend's SQLite file (default: %(default)s)",
    )
    if account:
        shared.add_argument(
            "--account",
            metavar="NAME",
            help="name or id of the account (default: the only one)",
        )
    return shared


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Storage]:
    """Open the database that the arguments name; a backend may be using it.

    Raises:
        CliError: If there is none, or no backend has used it yet.
        StorageError: If it cannot be opened.
    """
    from mbuzz.server.storage.sqlite import SqliteStorage

    # A failure is the command's one sentence; no log was set up that would repeat it.
    logging.getLogger("mbuzz.server").addHandler(logging.NullHandler())
    database = args.database
    if not Path(database).is_file():
        raise CliError(_no_database(database))
    storage = SqliteStorage(database)
    try:
        if not storage.read(lambda stores: stores.accounts.accounts()):
            raise CliError(_no_database(database))
        yield storage
    finally:
        storage.close()


def chosen(storage: Storage, args: argparse.Namespace) -> Account:
    """Return the account that the arguments name; closed ones are passed over.

    Raises:
        AccountError: If it is not one; the text has the choices.
    """
    from mbuzz.server import accounts

    known = storage.read(lambda stores: stores.accounts.accounts())
    return accounts.pick(filter(accounts.is_open, known), args.account)


def _no_database(database: str) -> str:
    return (
        f"there is no mbuzz database at {database}; give its path with --database, "
        f"or make it with `mbuzz serve --database {database}`"
    )
