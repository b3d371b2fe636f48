"""`mbuzz accounts`, `users` and `audit`: on the database itself."""

import re
from contextlib import closing

import pytest

from mbuzz.server.ingestion.keys import KeyRefusedError, authenticate
from mbuzz.server.passwords import verify_password
from mbuzz.server.storage.sqlite import SqliteStorage
from tests.cli.terminal import on_terminal


@pytest.fixture
def do(mbuzz, database):
    """Run a command on the database; it succeeds, and its output is returned."""

    def run(*argv):
        exit_code, out, err = mbuzz(*argv, "--database", database)
        assert (exit_code, err) == (0, "")
        return out

    return run


@pytest.fixture
def refused(mbuzz, database):
    """Run a command on the database; it fails, and its sentence is returned."""

    def run(*argv):
        exit_code, out, err = mbuzz(*argv, "--database", database)
        assert (exit_code, out) == (1, "")
        assert err.startswith(f"mbuzz {argv[0]}: ")
        assert err.count("\n") == 1
        return err

    return run


def read(database, work):
    with closing(SqliteStorage(str(database))) as storage:
        return storage.read(work)


def user(database, email):
    return read(database, lambda s: s.accounts.user_by_email(email))


# -- accounts --


def test_a_second_account_is_opened_and_told_apart(do, refused):
    said = do("accounts", "create", "Second shop", "--currency", "eur")
    (account_id,) = re.findall(r"is open: (acct_\w+)", said)

    listed = do("accounts", "list")
    assert re.search(rf"{account_id} +Second shop +EUR +UTC +open", listed)
    assert re.search(r"acct_\w+ +My business +USD +UTC +open", listed)
    assert "several accounts; choose one with --account: My business (acct_" in (
        refused("keys", "create")
    )
    do("keys", "create", "--name", "here", "--account", "second shop")
    assert "here" in do("keys", "list", "--account", account_id)
    assert "here" not in do("keys", "list", "--account", "My business")
    assert "there is no account 'Third'" in refused(
        "users", "list", "--account", "Third"
    )


def test_an_account_that_cannot_be_opened_is_one_sentence(refused):
    assert "Europe/Berlin, got 'Moon'" in (
        refused("accounts", "create", "X", "--timezone", "Moon")
    )
    assert "choose another name" in refused("accounts", "create", "My business")


def test_a_closed_account_ends_its_keys_and_comes_back_with_them(do, refused, database):
    text = do("keys", "create").splitlines()[0]

    def whose(stores):
        return authenticate(stores.accounts, f"Bearer {text}", 0).account.name

    said = do("accounts", "delete", "My business")
    assert "Its data are kept for 7 days: mbuzz accounts restore acct_" in said
    with pytest.raises(KeyRefusedError, match="was closed"):
        read(database, whose)
    assert re.search("My business .* closed 20", do("accounts", "list"))
    assert "no account that this could be about" in refused("keys", "list")
    assert "no account 'My business'" in refused("accounts", "delete", "My business")

    do("accounts", "restore", "my business")
    assert read(database, whose) == "My business"
    assert "no account is closed" in refused("accounts", "restore", "My business")


# -- keys --


def test_a_key_has_the_scopes_it_is_given(do, database):
    text = do("keys", "create", "--scope", "read", "--scope", "admin").splitlines()[0]

    key = read(database, lambda s: authenticate(s.accounts, f"Bearer {text}", 0))
    assert key.scopes == {"read", "admin"}
    assert "read admin" in do("keys", "list")


def test_a_key_that_ends_says_when(do, refused):
    do("keys", "create", "--expires", "30")

    assert re.search(r"works until \d{4}-\d\d-\d\d$", do("keys", "list"), re.M)
    for days in ("0", "3651", "-1"):
        assert f"--expires is from 1 to 3650 days, got {days}" in (
            refused("keys", "create", "--expires", days)
        )


def test_an_unknown_scope_is_wrong_usage(mbuzz, database):
    exit_code, _, err = mbuzz("keys", "create", "--scope", "x", "--database", database)

    assert exit_code == 2
    assert "invalid choice: 'x'" in err


# -- users --


def test_a_user_gets_a_password_that_is_shown_once(do, database):
    said = do("users", "create", "Ada@Example.com", "--role", "admin")

    (password,) = re.findall(r"password (\w+), shown once", said)
    ada = user(database, "ada@example.com")
    assert ada.role == "admin"
    assert verify_password(password, ada.password_hash)
    listed = do("users", "list")
    assert re.search(r"ada@example.com +admin +20", listed)
    assert re.search(r"owner@localhost +owner +20", listed)
    assert password not in listed


def test_a_password_comes_from_a_pipe(run, database):
    create = ("users", "create", "ada@example.com", "--ask", "--database", database)
    exit_code, said, err = run(*create, piped="correct horse battery\n")

    assert (exit_code, err) == (0, "")
    assert "shown once" not in said
    hashed = user(database, "ada@example.com").password_hash
    assert verify_password("correct horse battery", hashed)


def test_a_pipe_that_has_no_password_changes_nothing(run, database):
    before = user(database, "owner@localhost").password_hash
    change = ("users", "password", "owner@localhost", "--ask", "--database", database)

    exit_code, said, err = run(*change, piped="")

    assert (exit_code, said) == (1, "")
    assert "from 10 to 256 characters, this one has 0" in err
    assert user(database, "owner@localhost").password_hash == before


@pytest.mark.parametrize("again", ["correct horse", "correct house"])
def test_a_password_typed_twice_has_to_be_the_same(tmp_path, database, again):
    before = user(database, "owner@localhost").password_hash

    exit_code, shown = on_terminal(
        tmp_path,
        *("users", "password", "owner@localhost", "--ask", "--database", database),
        typed=(
            ("Password for owner@localhost: ", "correct horse\n"),
            ("The same again: ", f"{again}\n"),
        ),
    )

    after = user(database, "owner@localhost").password_hash
    if again == "correct horse":
        assert (exit_code, verify_password("correct horse", after)) == (0, True)
    else:
        assert (exit_code, after) == (1, before)
        assert "the two passwords differ; nothing was done" in shown
    assert "correct" not in shown


def test_a_new_password_ends_the_old_one_and_all_logins(do, database):
    owner = user(database, "owner@localhost")
    storage = SqliteStorage(str(database))
    storage.write(lambda s: s.accounts.create_login(owner, "d" * 64, 0, 2**60))
    storage.close()

    said = do("users", "password", "owner@localhost")

    (password,) = re.findall(r"password (\w+), shown once", said)
    now = user(database, "owner@localhost")
    assert verify_password(password, now.password_hash)
    assert now.password_hash != owner.password_hash
    assert read(database, lambda s: s.accounts.user_by_login("d" * 64, 1)) is None


def test_roles_are_changed_and_people_removed(do, refused):
    do("users", "create", "ada@example.com")
    assert "last owner" in refused("users", "role", "owner@localhost", "member")
    assert "last owner" in refused("users", "delete", "owner@localhost")

    assert do("users", "role", "ada@example.com", "owner").endswith(
        "ada@example.com is owner of My business\n"
    )
    do("users", "delete", "owner@localhost")

    assert "owner@localhost" not in do("users", "list")
    assert "there is no user 'owner@localhost'" in (
        refused("users", "password", "owner@localhost")
    )


def test_what_is_no_email_makes_nobody(refused):
    assert "looks like ada@example.com, got 'ada'" in refused("users", "create", "ada")


# -- audit --


def test_who_did_what_is_shown_the_latest_first(do):
    do("users", "create", "ada@example.com")
    text = do("keys", "create", "--live").splitlines()[0]

    out = do("audit")

    heads, _, *lines = out.splitlines()
    assert heads.split() == "when who what of it".split()
    assert [re.split(r"  +", line)[1:3] for line in lines] == [
        ["command line", "key.create"],
        ["command line", "user.create"],
        ["command line", "user.create"],
        ["command line", "key.create"],
    ]
    assert "scopes ingest read" in lines[0]
    assert text not in out
    assert len(do("audit", "--limit", "1").splitlines()) == 3


@pytest.mark.parametrize("limit", ["0", "10001"])
def test_the_audit_log_is_shown_within_bounds(refused, limit):
    assert f"from 1 to 10000, got {limit}" in refused("audit", "--limit", limit)


@pytest.mark.parametrize(
    "command",
    [["accounts", "list"], ["accounts", "delete", "x"], ["users", "list"], ["audit"]],
)
def test_no_database_is_one_sentence_and_makes_none(mbuzz, tmp_path, command):
    path = tmp_path / "none.db"

    exit_code, _, err = mbuzz(*command, "--database", path)

    assert exit_code == 1
    assert f"there is no mbuzz database at {path}; give its path" in err
    assert not path.exists()
