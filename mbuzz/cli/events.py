"""`mbuzz events`: the declared events as a catalog, and what drifted from it."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path, PurePath

from mbuzz import catalog, guard
from mbuzz.cli import listing, source
from mbuzz.cli.console import CliError
from mbuzz.cli.listing import Event
from mbuzz.errors import ConfigurationError

_OWN = str(Path(catalog.__file__).parent)


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "events",
        help="show the project's declared events, check them in CI",
        description="Import the modules that declare the project's events (see "
        "mbuzz.catalog) and show them. The current folder is on the import path.",
    )
    parser.add_argument(
        "modules",
        nargs="+",
        metavar="MODULE",
        help="module that declares events, such as shop.events",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="show them as JSON")
    form.add_argument("--markdown", action="store_true", help="show them as Markdown")
    form.add_argument(
        "--write", metavar="FILE", type=Path, help="write a snapshot, as JSON"
    )
    form.add_argument(
        "--check",
        metavar="FILE",
        type=Path,
        help="exit with 1 and show the difference if the snapshot is not the same",
    )
    parser.add_argument(
        "--source",
        metavar="PATH",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        help="look in Python files or folders for tracked names that are not "
        "declared (exit with 1), and for declared ones that are never used",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show, write or check the catalog; exit code 1 on drift or undeclared names."""
    if args.source and (args.json or args.markdown):
        raise ConfigurationError(
            "--source reports in lines of text; leave out --json or --markdown"
        )
    for module in args.modules:
        _load(module)
    events = catalog.describe()
    if not events:
        raise CliError(
            f"{_listed(args.modules)} declares no events; derive a class from "
            "mbuzz.catalog.Event or Conversion there"
        )
    failed = False
    if args.write:
        _write(args.write, events)
    elif args.check:
        failed = _drifted(args.check, events, args.modules)
    if args.source:
        failed |= _stray(args.source)
    if args.json:
        sys.stdout.write(_snapshot(events))
    elif args.markdown:
        print(listing.markdown(events))
    elif not (args.write or args.check or args.source):
        print(listing.text(events))
    return int(failed)


def _load(module: str) -> None:
    """Import a project's module, from the current folder as `python -m` would."""
    if module.endswith(".py"):  # as the shell completes it
        module = ".".join(PurePath(module).with_suffix("").parts)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    error = guard.attempt(lambda: _imported(module), lambda error: error)
    if error is None:
        return
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and f"{module}.".startswith(f"{missing}."):
        raise CliError(
            f"there is no module {module!r}; give its dotted name, "
            "from the folder that the program is started in"
        )
    told = " ".join(str(error.args[0] if error.args else "").split())
    raise CliError(
        f"cannot import {module}: {type(error).__name__}: {told} ({_place(error)})"
    )


def _place(error: Exception) -> str:
    """Return where in the project's code an import failed."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(("<", _OWN))]
    last = own[-1] if own else frames[-1]
    return f"{last.filename}, line {last.lineno}"


def _imported(module: str) -> Exception | None:
    importlib.import_module(module)
    return None


def _listed(modules: Sequence[str]) -> str:
    return " or ".join(modules)


# -- the snapshot --


def _snapshot(events: Sequence[Event]) -> str:
    return json.dumps({"events": events}, indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, events: Sequence[Event]) -> None:
    try:
        path.write_text(_snapshot(events), "utf-8")
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror}") from None
    print(f"{listing.count(events)} written to {path}")


def _drifted(path: Path, events: Sequence[Event], modules: Sequence[str]) -> bool:
    """Print how the snapshot differs from what is declared; tell whether it does."""
    lines = guard.attempt(
        lambda: listing.difference(_read(path), events),
        lambda error: _unreadable(path, error),
    )
    if not lines:
        print(f"{path} is up to date ({listing.count(events)})")
        return False
    print(f"{path} is not what {' and '.join(modules)} declares:")
    print("\n".join(lines))
    print(f"if this is meant: mbuzz events {' '.join(modules)} --write {path}")
    return True


def _read(path: Path) -> list[Event]:
    events: list[Event] = json.loads(path.read_text("utf-8"))["events"]
    return events


def _unreadable(path: Path, error: Exception) -> list[str]:
    if isinstance(error, FileNotFoundError):
        raise CliError(f"there is no {path}; make it with --write {path}")
    if isinstance(error, OSError):
        raise CliError(f"cannot read {path}: {error.strerror}")
    raise CliError(f"{path} is not a snapshot that `mbuzz events --write` made")


# -- the source --


def _stray(paths: Sequence[Path]) -> bool:
    """Print what the source says and the catalog does not; tell whether that is bad."""
    known = catalog.registered()
    found = source.scan(paths, {one.declared_by.__name__ for one in known})
    bad = False
    for call in found.calls:
        if call.name is None or catalog.is_declared(call.name, call.kind):
            continue
        bad = True
        print(f"{call.place}: {catalog.problems(call.name, {}, call.kind)[0]}")
    used = {(call.kind, call.name) for call in found.calls}
    for one in known:
        if (
            one.kind,
            one.name,
        ) not in used and one.declared_by.__name__ not in found.classes:
            print(f"{one.name!r} is declared but never used")
    unknown = [call.place for call in found.calls if call.name is None]
    if unknown:
        print(
            "with a name that only the running program knows: "
            f"{', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}"
        )
    if not bad:
        print(f"every tracked name is declared (files={found.files})")
    return bad
