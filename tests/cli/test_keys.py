"""`mbuzz keys`: on the database itself."""

import re
import sqlite3

import pytest

from mbuzz.server.ingestion.keys import authenticate
from mbuzz.server.storage import sqlite
from mbuzz.server.storage.sqlite import SqliteStorage


def keys(mbuzz, database, action, *argv):
    return mbuzz("keys", action, "--database", database, *argv)


@pytest.mark.parametrize(
    ("options", "live"), [([], False), (["--test"], False), (["--live"], True)]
)
def test_created_key_works(mbuzz, database, options, live):
    exit_code, out, err = keys(mbuzz, database, "create", "--name", "web", *options)

    text, said = out.splitlines()
    assert (exit_code, err) == (0, "")
    assert re.fullmatch(r"This is key key_\w+, shown once: keep it\.", said)
    storage = SqliteStorage(str(database))
    key = storage.read(lambda s: authenticate(s.accounts, f"Bearer {text}", 0))
    storage.close()
    assert (key.live, key.name) == (live, "web")


def test_list_shows_every_key_without_its_secret(mbuzz, database):
    _, created, _ = keys(mbuzz, database, "create", "--name", "web")

    exit_code, out, err = keys(mbuzz, database, "list")

    heads, _, first, second = out.splitlines()
    assert (exit_code, err) == (0, "")
    assert heads.split() == "id key name may made last used state".split()
    assert re.search(r"sk_test_\.\.\.\w{4}  first  .* never +works$", first)
    assert re.search(r"sk_test_\.\.\.\w{4} .* web  .* never +works$", second)
    assert created.splitlines()[0] not in out


def test_revoked_key_is_shown_as_such_and_once(mbuzz, database):
    _, listed, _ = keys(mbuzz, database, "list")
    key_id = re.search(r"key_\w+", listed)[0]

    first = keys(mbuzz, database, "revoke", key_id)
    again = keys(mbuzz, database, "revoke", key_id)
    unknown = f"there is no key '{key_id}' that works; `mbuzz keys list` shows them"

    assert first == (0, f"key {key_id} is revoked\n", "")
    assert again == (1, "", f"mbuzz keys: {unknown}\n")
    assert keys(mbuzz, database, "list")[1].endswith("revoked\n")


def test_last_use_is_shown(mbuzz, database):
    storage = SqliteStorage(str(database))
    storage.write(lambda s: s.accounts.touch_key(1, 1, 1_790_000_000_000))
    storage.close()

    assert "2026-09-21T14:13  works" in keys(mbuzz, database, "list")[1]


@pytest.mark.parametrize("action", [["create"], ["list"], ["revoke", "key_1"]])
@pytest.mark.parametrize("there", [False, True])
def test_no_database_is_one_sentence_and_makes_none(mbuzz, tmp_path, action, there):
    path = tmp_path / "mbuzz.db"
    if there:
        SqliteStorage(str(path)).close()  # without an account in it

    exit_code, out, err = keys(mbuzz, path, *action)

    assert (exit_code, out) == (1, "")
    assert err == (
        f"mbuzz keys: there is no mbuzz database at {path}; give its path with "
        f"--database, or make it with `mbuzz serve --database {path}`\n"
    )
    assert path.exists() is there


@pytest.mark.parametrize("action", [["create"], ["list"], ["revoke", "key_1"]])
def test_file_that_is_no_database_is_one_sentence(mbuzz, tmp_path, action):
    path = tmp_path / "mbuzz.db"
    path.write_text("to do: buy milk\n" * 100)

    exit_code, out, err = keys(mbuzz, path, *action)

    assert (exit_code, out) == (1, "")
    assert err.startswith(f"mbuzz keys: cannot use the database {path}: file is not")
    assert err.count("\n") == 1


def test_database_that_stays_busy_is_one_sentence(mbuzz, database, monkeypatch):
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT", 0.01)
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    found = keys(mbuzz, database, "create")

    other.execute("ROLLBACK")
    other.close()
    assert found == (
        1,
        "",
        "mbuzz keys: the database cannot be written: database is locked\n",
    )
