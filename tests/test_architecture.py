"""Who may import whom, what stays pure, and where exceptions may be swallowed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "mbuzz"

# What a module may import of mbuzz, by the longest prefix that fits it. A module may
# always import its own package.
ALLOWED = {
    "mbuzz": set(),
    "mbuzz.__main__": {"mbuzz.cli"},
    "mbuzz.protocol": set(),
    "mbuzz.errors": set(),
    "mbuzz.clock": set(),
    "mbuzz.ids": set(),
    "mbuzz.buckets": {"mbuzz.clock"},
    "mbuzz.guard": {"mbuzz.clock"},
    "mbuzz.forwarded": set(),
    "mbuzz.values": set(),
    "mbuzz.asynchronous": set(),
    "mbuzz.explanations": set(),
    "mbuzz.results": {"mbuzz.explanations", "mbuzz.values"},
    "mbuzz.option_checks": {"mbuzz.protocol", "mbuzz.errors"},
    "mbuzz.web_options": {
        "mbuzz.errors",
        "mbuzz.option_checks",
        "mbuzz.values",
        "mbuzz.forwarded",
        "mbuzz.web.request",  # a type
    },
    "mbuzz.config": {
        "mbuzz.errors",
        "mbuzz.option_checks",
        "mbuzz.protocol",
        "mbuzz.web_options",
    },
    "mbuzz.context": set(),
    "mbuzz.travel": {"mbuzz.context", "mbuzz.guard", "mbuzz.protocol"},
    "mbuzz.secret_names": set(),
    "mbuzz.personal_data": set(),
    "mbuzz.card_numbers": set(),
    "mbuzz.wire_text": set(),
    "mbuzz.suspicion": {
        "mbuzz.card_numbers",
        "mbuzz.personal_data",
        "mbuzz.secret_names",
    },
    "mbuzz.redaction": {
        "mbuzz.card_numbers",
        "mbuzz.personal_data",
        "mbuzz.secret_names",
        "mbuzz.suspicion",
    },
    "mbuzz.object_kinds": {
        "mbuzz.clock",
        "mbuzz.plain",
        "mbuzz.protocol",
        "mbuzz.redaction",
        "mbuzz.wire_text",
    },
    "mbuzz.plain": {
        "mbuzz.card_numbers",
        "mbuzz.guard",
        "mbuzz.object_kinds",
        "mbuzz.personal_data",
        "mbuzz.protocol",
        "mbuzz.redaction",
        "mbuzz.secret_names",
        "mbuzz.wire_text",
    },
    "mbuzz.serialization": {
        "mbuzz.plain",
        "mbuzz.protocol",
        "mbuzz.redaction",
        "mbuzz.secret_names",
        "mbuzz.suspicion",
        "mbuzz.wire_text",
    },
    "mbuzz.events": {"mbuzz.protocol", "mbuzz.clock", "mbuzz.context", "mbuzz.guard"},
    "mbuzz.delivery": {
        "mbuzz",
        "mbuzz.protocol",
        "mbuzz.clock",
        "mbuzz.config",
        "mbuzz.explanations",
        "mbuzz.guard",
        "mbuzz.ids",
        "mbuzz.values",
    },
    "mbuzz.fragments": {
        "mbuzz.context",
        "mbuzz.events",
        "mbuzz.protocol",
        "mbuzz.serialization",
    },
    "mbuzz.gate": {
        "mbuzz.config",
        "mbuzz.definitions",
        "mbuzz.delivery",
        "mbuzz.events",
        "mbuzz.guard",
        "mbuzz.serialization",
    },
    "mbuzz.warmup": {"mbuzz.config", "mbuzz.delivery"},
    "mbuzz.client": {
        "mbuzz.asynchronous",
        "mbuzz.warmup",
        "mbuzz.clock",
        "mbuzz.config",
        "mbuzz.context",
        "mbuzz.delivery",
        "mbuzz.events",
        "mbuzz.fragments",
        "mbuzz.gate",
        "mbuzz.guard",
        "mbuzz.ids",
        "mbuzz.protocol",
        "mbuzz.results",
        "mbuzz.serialization",
    },
    "mbuzz.api": {
        "mbuzz.asynchronous",
        "mbuzz.travel",
        "mbuzz.client",
        "mbuzz.config",
        "mbuzz.context",
        "mbuzz.delivery",
        "mbuzz.errors",
        "mbuzz.guard",
        "mbuzz.results",
    },
    "mbuzz.typecheck": {"mbuzz.guard", "mbuzz.protocol"},
    "mbuzz.definitions": {
        "mbuzz.errors",
        "mbuzz.guard",
        "mbuzz.protocol",
        "mbuzz.typecheck",
    },
    "mbuzz.catalog": {
        "mbuzz.api",
        "mbuzz.client",
        "mbuzz.clock",
        "mbuzz.definitions",
        "mbuzz.guard",
        "mbuzz.protocol",
        "mbuzz.results",
    },
    "mbuzz.business": {"mbuzz.api", "mbuzz.guard", "mbuzz.results"},
    "mbuzz.web": {
        "mbuzz.api",
        "mbuzz.buckets",
        "mbuzz.client",
        "mbuzz.clock",
        "mbuzz.config",
        "mbuzz.context",
        "mbuzz.delivery",
        "mbuzz.explanations",
        "mbuzz.forwarded",
        "mbuzz.guard",
        "mbuzz.ids",
        "mbuzz.protocol",
        "mbuzz.web_options",
    },
    "mbuzz.contrib": {
        "mbuzz.api",
        "mbuzz.context",
        "mbuzz.errors",
        "mbuzz.forwarded",
        "mbuzz.guard",
        "mbuzz.protocol",
        "mbuzz.web",
    },
    # Settings may replace the client, and tests of a project may capture.
    "mbuzz.contrib.django": {
        "mbuzz.api",
        "mbuzz.client",
        "mbuzz.config",
        "mbuzz.context",
        "mbuzz.delivery",
        "mbuzz.errors",
        "mbuzz.forwarded",
        "mbuzz.guard",
        "mbuzz.protocol",
        "mbuzz.web",
        "mbuzz.web_options",
    },
    "mbuzz.testing": {
        "mbuzz.api",
        "mbuzz.client",
        "mbuzz.config",
        "mbuzz.delivery",
        "mbuzz.protocol",
        "mbuzz.serialization",
    },
    "mbuzz.pytest_plugin": {"mbuzz.testing"},
    "mbuzz.cli": {
        "mbuzz",
        "mbuzz.api",
        "mbuzz.catalog",
        "mbuzz.client",
        "mbuzz.clock",
        "mbuzz.config",
        "mbuzz.contrib",
        "mbuzz.delivery",
        "mbuzz.errors",
        "mbuzz.guard",
        "mbuzz.protocol",
        "mbuzz.server",
    },
    "mbuzz.server": {"mbuzz.server.app"},
    "mbuzz.server.model": set(),
    "mbuzz.server.money": set(),
    "mbuzz.server.conversion_settings": set(),
    "mbuzz.server.account_settings": {
        "mbuzz.server.conversion_settings",
        "mbuzz.server.privacy.keeping",
        "mbuzz.server.tracking.channel_rules",
        "mbuzz.server.tracking.hosts",
    },
    "mbuzz.server.networks": set(),
    "mbuzz.server.policy": {
        "mbuzz.server.model_definitions",
        "mbuzz.server.networks",
        "mbuzz.server.conversion_settings",
        "mbuzz.server.account_settings",
        "mbuzz.server.tracking.channel_rules",  # what a rule is
    },
    "mbuzz.server.passwords": {"mbuzz.ids"},
    "mbuzz.server.option_kinds": {
        "mbuzz.forwarded",
        "mbuzz.server.money",
        "mbuzz.server.networks",
    },
    "mbuzz.server.settings": {"mbuzz.errors", "mbuzz.server.option_kinds"},
    "mbuzz.server.logs": set(),
    "mbuzz.server.metrics": {"mbuzz"},
    "mbuzz.server.gauges": {
        "mbuzz.clock",
        "mbuzz.server.metrics",
        "mbuzz.server.storage",
    },
    "mbuzz.server.roles": set(),
    "mbuzz.server.team": {
        "mbuzz.errors",
        "mbuzz.ids",
        "mbuzz.server.roles",
        "mbuzz.server.storage.port",
        "mbuzz.server.storage.rows",
    },
    "mbuzz.server.accounts": {
        "mbuzz.errors",
        "mbuzz.ids",
        "mbuzz.server.money",
        "mbuzz.server.storage.port",
        "mbuzz.server.storage.rows",
    },
    "mbuzz.server.bootstrap": {
        "mbuzz.clock",
        "mbuzz.ids",
        "mbuzz.server.ingestion",
        "mbuzz.server.passwords",
        "mbuzz.server.roles",
        "mbuzz.server.storage.port",
        "mbuzz.server.storage.rows",
        "mbuzz.server.team",
    },
    "mbuzz.server.app": {
        "mbuzz.server.passwords",
        "mbuzz.clock",
        "mbuzz.guard",
        "mbuzz.server.dashboard",
        "mbuzz.server.gauges",
        "mbuzz.server.http",
        "mbuzz.server.ingestion",
        "mbuzz.server.jobs",
        "mbuzz.server.logs",
        "mbuzz.server.metrics",
        "mbuzz.server.model_jobs",
        "mbuzz.server.networks",
        "mbuzz.server.privacy",
        "mbuzz.server.settings",
        "mbuzz.server.storage",
    },
    "mbuzz.server.jobs": {
        "mbuzz.clock",
        "mbuzz.guard",
        "mbuzz.ids",
        "mbuzz.server.storage.port",
        "mbuzz.server.storage.privacy_port",
    },
    # Erasing part of a shared browser's history folds what remains again.
    "mbuzz.server.privacy": {
        "mbuzz.clock",
        "mbuzz.ids",
        "mbuzz.server.accounts",
        "mbuzz.server.attribution",
        "mbuzz.server.jobs",
        "mbuzz.server.model",
        "mbuzz.server.money",
        "mbuzz.server.policy",
        "mbuzz.server.storage.port",
        "mbuzz.server.storage.privacy_port",
        "mbuzz.server.tracking",
    },
    "mbuzz.server.http": {
        "mbuzz",
        "mbuzz.clock",
        "mbuzz.forwarded",
        "mbuzz.guard",
        "mbuzz.ids",
        "mbuzz.protocol",
        "mbuzz.server.attribution",
        "mbuzz.server.ingestion",
        "mbuzz.server.metrics",
        "mbuzz.server.model",
        "mbuzz.server.model_definitions",
        "mbuzz.server.model_requests",
        "mbuzz.server.money",
        "mbuzz.server.networks",
        "mbuzz.server.policy",
        "mbuzz.server.privacy",
        "mbuzz.server.reporting",
        "mbuzz.server.storage.errors",
        "mbuzz.server.storage.model_port",
        "mbuzz.server.storage.pending",
        "mbuzz.server.storage.port",
        "mbuzz.server.storage.privacy_port",
        "mbuzz.server.storage.rows",
        "mbuzz.server.storage.tracking_port",
        "mbuzz.server.tracking",
    },
    "mbuzz.server.ingestion": {
        "mbuzz.buckets",
        "mbuzz.clock",
        "mbuzz.ids",
        "mbuzz.protocol",
        "mbuzz.server.model",
        "mbuzz.server.money",
        "mbuzz.server.storage.port",
        "mbuzz.server.storage.rows",
    },
    # Credits follow from sessions in the same transaction, so tracking may reckon.
    "mbuzz.server.tracking": {
        "mbuzz.ids",
        "mbuzz.protocol",
        "mbuzz.server.attribution",
        "mbuzz.server.conversion_settings",
        "mbuzz.server.model",
        "mbuzz.server.model_definitions",
        "mbuzz.server.model_requests",
        "mbuzz.server.money",
        "mbuzz.server.policy",
        "mbuzz.server.storage.port",
        "mbuzz.server.storage.privacy_port",
        "mbuzz.server.storage.model_port",
        "mbuzz.server.storage.rows",
        "mbuzz.server.storage.tracking_port",
    },
    "mbuzz.server.attribution": {"mbuzz.server.model"},
    "mbuzz.server.model_definitions": {"mbuzz.server.attribution"},
    "mbuzz.server.model_requests": {
        "mbuzz.server.attribution",
        "mbuzz.server.conversion_settings",
        "mbuzz.server.model_definitions",
    },
    "mbuzz.server.model_jobs": {
        "mbuzz.clock",
        "mbuzz.guard",
        "mbuzz.ids",
        "mbuzz.server.attribution",
        "mbuzz.server.jobs",
        "mbuzz.server.model",
        "mbuzz.server.model_definitions",
        "mbuzz.server.storage.connection",
        "mbuzz.server.storage.model_port",
        "mbuzz.server.storage.port",
        "mbuzz.server.storage.rows",
        "mbuzz.server.tracking",
    },
    "mbuzz.server.reporting": {
        "mbuzz.clock",
        "mbuzz.server.attribution",
        "mbuzz.server.model",
        "mbuzz.server.model_definitions",
        "mbuzz.server.money",
        "mbuzz.server.storage.port",
        "mbuzz.server.storage.rows",
    },
    # Which sites are nobody's yet only the lists say.
    "mbuzz.server.reporting.quality": {
        "mbuzz.server.model",
        "mbuzz.server.reporting",
        "mbuzz.server.storage.port",
        "mbuzz.server.storage.rows",
        "mbuzz.server.tracking.hosts",
        "mbuzz.server.tracking.referrers",
    },
    "mbuzz.server.dashboard": {
        "mbuzz.clock",
        "mbuzz.ids",
        "mbuzz.server.attribution",
        "mbuzz.server.http",
        "mbuzz.server.model",
        "mbuzz.server.model_definitions",
        "mbuzz.server.money",
        "mbuzz.server.ingestion.keys",
        "mbuzz.server.passwords",
        "mbuzz.server.reporting",
        "mbuzz.server.roles",
        "mbuzz.server.storage.errors",
        "mbuzz.server.storage.port",
        "mbuzz.server.storage.rows",
        "mbuzz.server.team",
    },
    "mbuzz.server.storage": {
        "mbuzz.errors",
        "mbuzz.guard",
        "mbuzz.server.conversion_settings",
        "mbuzz.server.model",
        "mbuzz.server.policy",
    },
    "mbuzz.server.storage.truth_sql": {
        "mbuzz.server.money",
        "mbuzz.server.storage.credit_hours_sql",
        "mbuzz.server.storage.visits_sql",
    },
}

IMPURE = {
    *("datetime", "io", "os", "pathlib", "random", "secrets", "socket", "sqlite3"),
    *("subprocess", "sys", "threading", "time", "urllib"),
}


def modules() -> dict[str, ast.Module]:
    """Return every module of the package, parsed."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text("utf-8"))
    return found


MODULES = modules()


def imports(tree: ast.AST, *, top_level: bool = False) -> Iterator[str]:
    """Yield the names of the modules that *tree* imports, at run time or for types."""
    for node in ast.walk(tree) if not top_level else _at_import(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def _at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when a module is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _at_import(node)


def rule_of(module: str) -> str:
    """Return the longest prefix of *module* that has a rule."""
    while module not in ALLOWED:
        module = module.rpartition(".")[0]
    return module


def fits(imported: str, allowed: str) -> bool:
    """Tell whether *imported* is the allowed module, or in the allowed package."""
    if allowed == "mbuzz":
        return imported == "mbuzz"
    return imported == allowed or imported.startswith(f"{allowed}.")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_module_imports_only_along_the_table(module):
    rule = rule_of(module)
    allowed = ALLOWED[rule]

    forbidden = {
        imported
        for imported in imports(MODULES[module])
        if imported.partition(".")[0] == "mbuzz"
        and not (
            imported.startswith(f"{rule}.") and rule not in ("mbuzz", "mbuzz.server")
        )
        and imported != module
        and not any(fits(imported, entry) for entry in allowed)
        and module != "mbuzz"  # the facade names everything, and loads nothing
    }

    assert not forbidden, f"{module} may not import {sorted(forbidden)}"


def test_the_sdk_never_loads_the_server():
    for module, tree in MODULES.items():
        if module.startswith(("mbuzz.server", "mbuzz.cli", "mbuzz.__main__")):
            continue
        assert not [name for name in imports(tree) if name.startswith("mbuzz.server")]


def test_the_command_line_loads_the_server_only_inside_functions():
    # These are themselves imported inside functions only.
    inner = {"mbuzz.cli.running", "mbuzz.cli.demo.stage"}
    inner |= {name for name in MODULES if name.startswith("mbuzz.cli.attribution")}
    for module, tree in MODULES.items():
        if not module.startswith("mbuzz.cli") or module in inner:
            continue
        loaded = list(imports(tree, top_level=True))
        assert not [name for name in loaded if name.startswith("mbuzz.server")], module
        assert inner.isdisjoint(loaded), module


def test_imports_have_no_cycle():
    graph = {
        module: {
            name
            for name in imports(tree, top_level=True)
            if name in MODULES and name != module
        }
        for module, tree in MODULES.items()
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for imported in sorted(graph[module]):
                visit(imported, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


def test_attribution_is_pure():
    for module, tree in MODULES.items():
        if module.startswith("mbuzz.server.attribution"):
            tops = {name.partition(".")[0] for name in imports(tree)}
            assert tops.isdisjoint(IMPURE), module


def test_only_the_guard_swallows_any_exception():
    broad = {"Exception", "BaseException"}
    for module, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and module != "mbuzz.guard":
                named = (
                    ast.unparse(node.type).strip("()").split(", ")
                    if node.type
                    else [""]
                )
                assert broad.isdisjoint(named), f"{module}:{node.lineno}"
                assert named != [""], f"{module}:{node.lineno}"


def test_only_the_standard_library_is_imported():
    import sys

    frameworks = {
        "asgiref",
        "celery",
        "django",
        "flask",
        "pytest",
        "rq",
    }  # the adapters' own hosts
    for module, tree in MODULES.items():
        for name in imports(tree):
            top = name.partition(".")[0]
            if top == "mbuzz" or top in sys.stdlib_module_names:
                continue
            assert top in frameworks, f"{module} imports {name}"
            assert module.startswith(("mbuzz.contrib", "mbuzz.pytest_plugin")), module


def test_every_module_says_what_it_is_for():
    for module, tree in MODULES.items():
        doc = ast.get_docstring(tree) or ""
        assert doc.partition("\n")[0].endswith((".", "?", "`")), module
