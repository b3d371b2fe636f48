"""`mbuzz events`: the catalog, and what drifted from it."""

import json
import sys
from pathlib import Path

import pytest

from mbuzz import definitions

EVENTS = '''
from __future__ import annotations

from typing import Annotated, Literal

from mbuzz import catalog


class Signup(catalog.Event, name="Signup"):
    """A visitor made an account.

    On any page.
    """

    plan: Literal["free", "pro"]
    seats: int = 1
    coupon: Annotated[str | None, "code typed | scanned"] = None


class Purchase(catalog.Conversion, name="purchase"):
    pass
'''

TEXT = """\
Signup (event)
  A visitor made an account.

  On any page.
    coupon  str | None      = null    code typed | scanned
    plan    'free' | 'pro'  required
    seats   int             = 1

purchase (conversion)

1 event and 1 conversion
"""

MARKDOWN = r"""# Events

## Signup

*event*

A visitor made an account.

On any page.

| property | type | default | meaning |
| --- | --- | --- | --- |
| `coupon` | `str \| None` | null | code typed \| scanned |
| `plan` | `'free' \| 'pro'` | required |  |
| `seats` | `int` | 1 |  |

## purchase

*conversion*
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with declarations, in the current folder; nothing of it stays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(definitions, "_declared", {"track": {}, "conversion": {}})
    before = set(sys.modules)
    package = tmp_path / "shop_of_test"
    package.mkdir()
    (package / "events.py").write_text(EVENTS)
    yield package
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def events(mbuzz, project, monkeypatch):
    """Run the command as if in a new process each time."""

    def call(*options, module="shop_of_test.events"):
        known = {"track": {}, "conversion": {}}
        monkeypatch.setattr(definitions, "_declared", known)
        for name in [name for name in sys.modules if name.startswith("shop_of_test")]:
            del sys.modules[name]
        return mbuzz("events", module, *options)

    return call


def change(project, *replacements):
    path = project / "events.py"
    text = path.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


# -- the catalog --


def test_catalog_is_shown(events):
    assert events() == (0, TEXT, "")


def test_command_runs_in_the_projects_folder(project, run):
    assert run("events", "shop_of_test.events") == (0, TEXT, "")


def test_module_may_be_named_as_a_file(events):
    assert events(module="shop_of_test/events.py") == (0, TEXT, "")


def test_catalog_is_shown_as_markdown(events):
    assert events("--markdown") == (0, MARKDOWN, "")


def test_catalog_is_shown_as_json(events):
    exit_code, out, err = events("--json")

    shown = json.loads(out)["events"]
    assert (exit_code, err) == (0, "")
    assert [(one["name"], one["kind"]) for one in shown] == [
        ("Signup", "event"),
        ("purchase", "conversion"),
    ]


def test_several_modules_make_one_catalog(mbuzz, project):
    (project / "more.py").write_text(
        "from mbuzz import catalog\nclass Login(catalog.Event): ...\n"
    )

    exit_code, out, err = mbuzz("events", "shop_of_test.events", "shop_of_test.more")

    assert (exit_code, err) == (0, "")
    assert out.startswith("Login (event)\n\nSignup (event)\n")
    assert out.endswith("\n2 events and 1 conversion\n")


# -- drift --


def test_snapshot_is_equal_until_a_declaration_changes(events, project):
    written = events("--write", "events.json")
    same = events("--check", "events.json")
    change(
        project,
        ('"free", "pro"', '"free", "pro", "team"'),
        ("seats: int = 1", "chairs: int"),
        ("code typed | scanned", "code typed"),
        ("A visitor made", "Somebody made"),
        ('name="purchase"', 'name="order"'),
    )
    drifted = events("--check", "events.json")

    assert written == (0, "1 event and 1 conversion written to events.json\n", "")
    assert same == (0, "events.json is up to date (1 event and 1 conversion)\n", "")
    exit_code, out, err = drifted
    assert (exit_code, err) == (1, "")
    assert out.splitlines() == [
        "events.json is not what shop_of_test.events declares:",
        "~ event 'Signup'",
        (
            r"    ~ description: 'A visitor made an account.\n\nOn any page.'"
            r" -> 'Somebody made an account.\n\nOn any page.'"
        ),
        "    + chairs: int (required)",
        "    ~ coupon: 'code typed | scanned' -> 'code typed'",
        ("    ~ plan: 'free' | 'pro' (required) -> 'free' | 'pro' | 'team' (required)"),
        "    - seats: int = 1",
        "+ conversion 'order'",
        "- conversion 'purchase'",
        "if this is meant: mbuzz events shop_of_test.events --write events.json",
    ]


def test_order_of_declarations_is_no_drift(events, project):
    events("--write", "events.json")
    change(
        project, ("    seats: int = 1\n", ""), ("= None", "= None\n    seats: int = 1")
    )

    assert events("--check", "events.json")[0] == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "there is no old.json; make it with --write old.json"),
        ("{", "old.json is not a snapshot that `mbuzz events --write` made"),
        ("[]", "old.json is not a snapshot that `mbuzz events --write` made"),
        ('{"events": [{"name": 1}]}', "old.json is not a snapshot that "),
        ('{"events": 5}', "old.json is not a snapshot that "),
    ],
    ids=["none", "cut", "list", "other", "number"],
)
def test_file_that_is_no_snapshot_is_one_sentence(events, text, complaint):
    if text is not None:
        Path("old.json").write_text(text)

    exit_code, out, err = events("--check", "old.json")

    assert (exit_code, out) == (1, "")
    assert err.startswith(f"mbuzz events: {complaint}")
    assert err.count("\n") == 1


def test_folder_is_no_file(events, tmp_path):
    read, written = events("--check", tmp_path), events("--write", tmp_path)

    assert read == (1, "", f"mbuzz events: cannot read {tmp_path}: Is a directory\n")
    assert written == (
        *(1, ""),
        f"mbuzz events: cannot write {tmp_path}: Is a directory\n",
    )


# -- the source --


def test_source_that_tracks_only_what_is_declared_is_good(events, project):
    (project / "views.py").write_text(
        "import mbuzz\nfrom shop_of_test.events import Purchase\n"
        "mbuzz.track('Signup')\nPurchase().record()\n"
    )

    assert events("--source", "shop_of_test") == (
        *(0, "every tracked name is declared (files=2)\n", ""),
    )


def test_undeclared_name_in_the_source_fails_and_says_where(events, project):
    (project / "views.py").write_text(
        "import mbuzz\n\nmbuzz.track('Sign up')\nmbuzz.conversion('Signup')\n"
        "mbuzz.track(name)\nmbuzz.track('page_view')\n"
    )

    exit_code, out, err = events("--source", "shop_of_test")

    assert (exit_code, err) == (1, "")
    assert out.splitlines() == [
        (
            "shop_of_test/views.py:3: event 'Sign up' is not declared; "
            "did you mean 'Signup'?"
        ),
        ("shop_of_test/views.py:4: conversion 'Signup' is not declared, only an event"),
        "'Signup' is declared but never used",
        "'purchase' is declared but never used",
        "with a name that only the running program knows: shop_of_test/views.py:5",
    ]


def test_snapshot_and_source_are_checked_in_one_run(events, project):
    events("--write", "events.json")

    exit_code, out, err = events("--check", "events.json", "--source", "shop_of_test")

    assert (exit_code, err) == (0, "")
    assert out.splitlines() == [
        "events.json is up to date (1 event and 1 conversion)",
        "'Signup' is declared but never used",
        "'purchase' is declared but never used",
        "every tracked name is declared (files=1)",
    ]


# -- what cannot work --


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "there is no module 'shop_of_test.new'; give its dotted name"),
        ("", "shop_of_test.new declares no events; derive a class from"),
        ("1 / 0", "cannot import shop_of_test.new: ZeroDivisionError: division by"),
        ("import nothing_", "cannot import shop_of_test.new: ModuleNotFoundError: No"),
        ("if:", "cannot import shop_of_test.new: SyntaxError: invalid syntax ("),
        ("raise ValueError", "cannot import shop_of_test.new: ValueError:"),
        (
            "from mbuzz import catalog\nclass A(catalog.Event, name=''): ...",
            "cannot import shop_of_test.new: ConfigurationError: event '' needs",
        ),
    ],
    ids=["none", "empty", "raises", "imports", "syntax", "textless", "declaration"],
)
def test_module_that_cannot_be_used_is_one_sentence(events, project, text, complaint):
    path = project / "new.py"
    if text is not None:
        path.write_text(text)

    exit_code, out, err = events(module="shop_of_test.new")

    assert (exit_code, out) == (1, "")
    assert err.startswith(f"mbuzz events: {complaint}")
    assert err.count("\n") == 1
    if "cannot import" in complaint:
        assert err.endswith(f" ({path}, line {len(text.splitlines())})\n")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--json", "--markdown"], "not allowed with argument --json"),
        (["--check", "a", "--write", "a"], "not allowed with argument --check"),
        (["--json", "--source", "a"], "--source reports in lines of text"),
    ],
)
def test_wrong_usage_is_2(events, options, complaint):
    exit_code, out, err = events(*options)

    assert (exit_code, out) == (2, "")
    assert complaint in err
