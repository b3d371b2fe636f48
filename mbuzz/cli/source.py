"""Reads a project's Python files for the names of events that they track."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mbuzz import protocol
from mbuzz.cli.console import CliError

# The function of mbuzz, the kind it records, and its first parameter's name.
_FUNCTIONS = {
    "track": (protocol.TRACK, "event"),
    "conversion": (protocol.CONVERSION, "conversion_type"),
    "aconversion": (protocol.CONVERSION, "conversion_type"),
}
_BUSINESS = (protocol.TRACK, "action")
_MODULES = frozenset({"mbuzz", "mbuzz.api"})
_NOT_OURS = frozenset({"site-packages", "node_modules", "__pycache__"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that records something; the name is None if it is not in the source."""

    kind: str
    name: str | None
    place: str  # shop/views.py:12


@dataclass(slots=True, kw_only=True)
class Found:
    """What the files say."""

    files: int = 0
    calls: list[Call] = field(default_factory=list)
    classes: set[str] = field(default_factory=set)  # declared ones that are called


def scan(paths: Iterable[Path], classes: Collection[str]) -> Found:
    """Return the calls of `mbuzz.track`, `client.conversion` and so on in the files.

    A call counts if its function comes from mbuzz in that file's imports, or if the
    object's name ends with "client". *classes* are the names of declared events.

    Raises:
        CliError: If a path is not there or a file is no Python.
    """
    found = Found()
    for path in _files(paths):
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            raise CliError(f"{path}:{line} is no Python ({error.args[0]})") from None
        except OSError as error:
            raise CliError(f"cannot read {path}: {error.strerror}") from None
        found.files += 1
        _File(tree, path.as_posix(), classes).read_into(found)
    return found


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(_below(path))
        elif path.exists():
            yield path
        else:
            raise CliError(f"there is no {path} to look for events in")


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir():
            ours = not path.name.startswith(".") and path.name not in _NOT_OURS
            if ours and not (path / "pyvenv.cfg").exists():
                yield from _below(path)
        elif path.suffix == ".py":
            yield path


class _File:
    """One parsed file: what its names stand for, and the calls in it."""

    def __init__(self, tree: ast.Module, path: str, classes: Collection[str]) -> None:
        self._tree = tree
        self._path = path
        self._classes = classes
        self._names: dict[str, str] = {}  # as bound here: "mbuzz.track"
        self._texts: dict[str, str] = {}  # constants of the module
        self._clients: set[str] = set()

    def read_into(self, found: Found) -> None:
        nodes = list(ast.walk(self._tree))
        for node in nodes:
            self._note_import(node)
        for statement in self._tree.body:
            self._note_constant(statement)
        for node in nodes:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                made = self._dotted(node.value.func)
                if made.rpartition(".")[2] in ("Client", "default_client"):
                    self._clients |= {ast.unparse(target) for target in node.targets}
        for node in nodes:
            if isinstance(node, ast.Call):
                self._note_call(node, found)

    def _note_import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.partition(".")[0]
                self._names[alias.asname or whole] = whole
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}" if node.module else alias.name
                self._names[alias.asname or alias.name] = whole

    def _note_constant(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign):
            targets: list[ast.expr] = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        else:
            return
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for target in targets:
                self._texts[ast.unparse(target)] = node.value.value

    def _dotted(self, node: ast.expr) -> str:
        """Return what an expression stands for: ``mb.track`` is "mbuzz.track"."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            return f"{self._dotted(node.value)}.{node.attr}"
        return "?"

    def _note_call(self, call: ast.Call, found: Found) -> None:
        dotted = self._dotted(call.func)
        owner, _, function = dotted.rpartition(".")
        if function in self._classes:
            found.classes.add(function)
            return
        if dotted == "mbuzz.business.event":
            kind, parameter = _BUSINESS
        elif function in _FUNCTIONS and (owner in _MODULES or self._client(call.func)):
            kind, parameter = _FUNCTIONS[function]
        else:
            return
        name = self._name(call, parameter)
        place = f"{self._path}:{call.lineno}"
        found.calls.append(Call(kind=kind, name=name, place=place))

    def _client(self, function: ast.expr) -> bool:
        """Tell whether a method's object is a client, by how it was made or its name.

        A module is none: another vendor's may have a `track` as well.
        """
        if not isinstance(function, ast.Attribute):
            return False
        if ast.unparse(function.value) in self._clients:
            return True
        owner = function.value
        if isinstance(owner, ast.Call):  # default_client().track(...)
            owner = owner.func
        return self._dotted(owner).rpartition(".")[2].lower().endswith("client")

    def _name(self, call: ast.Call, parameter: str) -> str | None:
        named = (word.value for word in call.keywords if word.arg == parameter)
        given = call.args[0] if call.args else next(named, None)
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            return given.value.strip()
        return self._texts.get(ast.unparse(given)) if given is not None else None
