"""`mbuzz settings`: what an account has chosen, shown and changed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mbuzz.cli.console import CliError
from mbuzz.cli.database import ACTOR, chosen, database_arguments, opened
from mbuzz.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from mbuzz.server.storage.port import Storage, Stores
    from mbuzz.server.storage.rows.accounts import Account

_Kept = Mapping[str, object]
_MAX_FILE = 1_000_000  # characters
_SHOWN = 60  # characters of a value in the list
# Settings after which stored visits may be of other channels.
_OF_SOURCES = (
    "own_domains",
    "excluded_referrers",
    "counted_referrers",
    "source_aliases",
    "channel_rules",
)


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    shared = database_arguments()
    parser = commands.add_parser(
        "settings",
        help="show and change what an account has chosen",
        description="Show and change an account's settings, on the database itself.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", parents=[shared], help="show the settings")
    show.add_argument("name", nargs="?", metavar="NAME", help="only this one, as JSON")
    show.set_defaults(run=show_settings)
    change = actions.add_parser("set", parents=[shared], help="choose something")
    change.add_argument(
        "name", metavar="NAME", help="as `mbuzz settings show` lists it"
    )
    change.add_argument(
        "value",
        metavar="VALUE",
        help="a word, a number, JSON, or @FILE to read it from",
    )
    change.set_defaults(run=set_setting)
    forget = actions.add_parser(
        "unset", parents=[shared], help="go back to the default"
    )
    forget.add_argument("name", metavar="NAME")
    forget.set_defaults(run=unset_setting)


def show_settings(args: argparse.Namespace) -> int:
    """Show every setting with its value, or one as JSON."""
    from mbuzz.server.account_settings import SETTINGS

    with opened(args) as storage:
        account = chosen(storage, args)
        found = _settings(storage, account)
    if args.name is not None:
        _known(args.name)
        print(json.dumps(found.get(args.name, SETTINGS[args.name].default)))
        return 0
    for name, setting in SETTINGS.items():
        value = json.dumps(found.get(name, setting.default))
        if len(value) > _SHOWN:
            value = f"{value[:_SHOWN]}..."
        state = "" if name in found else "  (default)"
        print(f"{name} = {value}{state}\n    {setting.about}")
    return 0


def set_setting(args: argparse.Namespace) -> int:
    """Choose something for one setting."""
    from mbuzz.server.account_settings import read_setting

    _known(args.name)
    value = _value(args.value)
    try:
        read_setting(args.name, value)
    except ValueError as error:
        raise CliError(str(error)) from None
    with opened(args) as storage:
        account = chosen(storage, args)
        _change(storage, account, args.name, lambda kept: {**kept, args.name: value})
        print(f"{args.name} is set for account {account.name!r}")
        _say_what_changes(storage, args)
    return 0


def unset_setting(args: argparse.Namespace) -> int:
    """Go back to the default of one setting."""
    _known(args.name)
    with opened(args) as storage:
        account = chosen(storage, args)
        _change(
            storage,
            account,
            args.name,
            lambda kept: {k: v for k, v in kept.items() if k != args.name},
        )
        print(f"{args.name} is the default again for account {account.name!r}")
        _say_what_changes(storage, args)
    return 0


def _settings(storage: Storage, account: Account) -> _Kept:
    return storage.read(lambda stores: stores.accounts.settings(account.id))


def _change(
    storage: Storage, account: Account, name: str, changed: Callable[[_Kept], _Kept]
) -> None:
    """Change what is kept by now, which may be newer than what was shown."""
    now_ms = SYSTEM_CLOCK.now_ms()

    def work(stores: Stores) -> None:
        kept = stores.accounts.settings(account.id)
        stores.accounts.save_settings(account.id, changed(kept))
        stores.accounts.audit(
            account.id, now_ms, ACTOR, "settings.change", {"setting": name}
        )

    storage.write(work)


def _known(name: str) -> None:
    from mbuzz.server.account_settings import SETTINGS

    if name not in SETTINGS:
        raise CliError(
            f"there is no setting {name!r}; `mbuzz settings show` lists them"
        )


def _value(text: str) -> object:
    """Return what was given: JSON, a plain word, or the lines of a file of hosts."""
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            with path.open(encoding="utf-8") as file:
                text = file.read(_MAX_FILE + 1)
        except OSError as error:
            raise CliError(f"cannot read {path}: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise CliError(f"cannot read {path}: it is not UTF-8 text") from None
        if len(text) > _MAX_FILE:
            raise CliError(f"{path} is longer than {_MAX_FILE} characters")
        if not text.lstrip().startswith(("[", "{")):
            lines = (line.partition("#")[0].strip() for line in text.splitlines())
            return [line for line in lines if line]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if text.lstrip().startswith(("[", "{")):
            raise CliError(f"the value is not JSON: {text[:_SHOWN]!r}") from None
        return text


def _say_what_changes(storage: Storage, args: argparse.Namespace) -> None:
    """Say how many stored visits the new setting would change (30 days)."""
    from mbuzz.cli.reclassify import preview, since_default

    if args.name not in _OF_SOURCES:
        return
    account = chosen(storage, args)  # with its new policy
    changed, visits = preview(storage, account, since_default(SYSTEM_CLOCK.now_ms()))
    if not changed:
        print("no visit of the last 30 days would change")
        return
    print(f"{changed} of the {visits} visits of the last 30 days would change;")
    print("`mbuzz reclassify` changes them, --dry-run shows how")
