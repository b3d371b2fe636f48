"""`mbuzz db`: copies, checks, repairs and upgrades, beside a backend that runs."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.server import bootstrap
from mbuzz.server.app import create_app
from mbuzz.server.settings import ServerSettings
from mbuzz.server.storage import backup, maintenance
from mbuzz.server.storage.errors import StorageError
from mbuzz.server.storage.schema import migrations
from mbuzz.server.storage.sqlite import SqliteStorage
from mbuzz.testing import WSGITransport
from tests.cli.terminal import CTRL_C, on_terminal
from tests.crash.load import Ledger, Load, Traffic, new_seed
from tests.crash.served import Backend

NEWEST = migrations()[-1][0]
VISITOR = "visitor-of-the-shop"


@pytest.fixture
def database(tmp_path):
    """Return a shop's database: two visits, of which the second one bought."""
    path = tmp_path / "mbuzz.db"
    app = create_app(ServerSettings(database=str(path)))
    first = bootstrap.prepare(app.storage, SYSTEM_CLOCK)
    now = SYSTEM_CLOCK.now_ms()
    common = {"visitor_id": VISITOR}
    pages = [
        {
            **common,
            "id": f"evt_{number:032x}",
            "event_type": "page_view",
            "timestamp": now - ago,
            "properties": {"url": f"https://shop.example/{number}"},
        }
        for number, ago in enumerate((90_000_000, 89_999_000, 5_000, 4_000))
    ]
    sale = {
        **common,
        "type": "conversion",
        "id": "conv_0123456789abcdef",
        "conversion_type": "purchase",
        "revenue": "19.99",
        "timestamp": now - 1_000,
    }
    answer = WSGITransport(app).post(
        "/events",
        json.dumps({"events": [*pages, sale]}).encode(),
        {
            "Authorization": f"Bearer {first.api_key}",
            "Content-Type": "application/json",
        },
        60.0,
    )
    app.close()
    assert json.loads(answer.body)["accepted"] == 5
    return path


@pytest.fixture
def backend(tmp_path):
    made = Backend(tmp_path)
    yield made
    made.kill()


def db(mbuzz, database, action, *argv):
    return mbuzz("db", action, "--database", database, *argv)


def execute(path, sql):
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).fetchall()


def refused(sentence):
    return 1, "", f"mbuzz db: {sentence}\n"


# -- backup --


def test_copy_is_whole_and_one_file(mbuzz, database, tmp_path):
    database.chmod(0o640)
    target = tmp_path / "copies" / "monday.db"
    target.parent.mkdir()

    exit_code, out, err = db(mbuzz, database, "backup", target)

    assert (exit_code, err) == (0, "")
    assert re.fullmatch(rf"{target}: \d+\.\d KiB, 4 events\n", out)
    assert [path.name for path in target.parent.iterdir()] == ["monday.db"]
    assert target.stat().st_mode & 0o777 == 0o640
    assert db(mbuzz, target, "check")[0] == 0
    assert execute(target, "SELECT * FROM events") == execute(
        database, "SELECT * FROM events"
    )


def test_copy_made_under_load_is_of_one_moment(mbuzz, backend, tmp_path):
    backend.start()
    ledger = Ledger()
    copies = [tmp_path / f"copy-{number}.db" for number in range(3)]

    with Load(backend.url, backend.key, Traffic(new_seed()), ledger) as load:
        for copy in copies:
            before = set(ledger.accepted)
            assert db(mbuzz, backend.database, "backup", copy)[0] == 0
            assert_holds(copy, before)
            assert load.answered.acquire(timeout=30)
        checked = db(mbuzz, backend.database, "check")

    for copy in copies:
        assert db(mbuzz, copy, "check")[0] == 0
    assert (checked[0], checked[2]) == (0, "")
    assert checked[1].endswith("all is well\n")


def assert_holds(copy, names):
    sql = "SELECT event_id FROM events UNION SELECT public_id FROM conversions"
    ids = {name for name in names if " " not in name}
    assert ids <= {name for (name,) in execute(copy, sql)}


def test_copy_with_what_is_only_in_the_log_yet(mbuzz, backend, tmp_path):
    backend.start()
    ledger = Ledger()
    with Load(backend.url, backend.key, Traffic(new_seed()), ledger) as load:
        assert load.answered.acquire(timeout=30)
        backend.kill()
    target = tmp_path / "copy.db"

    assert db(mbuzz, backend.database, "backup", target)[0] == 0

    assert_holds(target, ledger.accepted)


def test_older_copy_is_replaced_only_by_force(mbuzz, database, tmp_path):
    target = tmp_path / "copy.db"
    target.write_text("an older copy")

    assert db(mbuzz, database, "backup", target) == refused(
        f"{target} exists; choose another name, or add --force"
    )
    assert target.read_text() == "an older copy"
    assert db(mbuzz, database, "backup", target, "--force")[0] == 0
    assert db(mbuzz, target, "check")[0] == 0


def test_copy_never_replaces_the_database_itself(mbuzz, database, tmp_path):
    before = database.read_bytes()
    link = tmp_path / "link.db"
    link.symlink_to(database)

    for target in (database, link):
        assert db(mbuzz, database, "backup", target, "--force") == refused(
            f"{target} is the database itself; choose another name"
        )
    assert database.read_bytes() == before


@pytest.mark.parametrize("ending", ["-wal", "-journal"])
@pytest.mark.parametrize("options", [[], ["--force"]])
def test_copy_does_not_come_beside_the_journal_of_another(
    mbuzz, database, tmp_path, ending, options
):
    (tmp_path / f"copy.db{ending}").write_text("pages of another database")

    exit_code, _, err = db(mbuzz, database, "backup", tmp_path / "copy.db", *options)

    assert exit_code == 1
    assert f"there is copy.db{ending}, so that database is in use" in err
    assert not (tmp_path / "copy.db").exists()


def test_copy_into_a_folder_that_is_missing_or_a_folder(mbuzz, database, tmp_path):
    missing = tmp_path / "missing"

    assert db(mbuzz, database, "backup", missing / "copy.db") == refused(
        f"the folder {missing} does not exist; make it first"
    )
    assert db(mbuzz, database, "backup", tmp_path) == refused(
        f"{tmp_path} is a folder; add the name of a file"
    )


def test_copy_that_is_stopped_leaves_nothing(database, tmp_path):
    target = tmp_path / "copy.db"

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup.backup(str(database), str(target), progress=stop)

    assert [path.name for path in tmp_path.iterdir()] == ["mbuzz.db"]


@pytest.mark.skipif(os.name != "posix", reason="needs limits of processes")
def test_copy_without_room_is_one_sentence_and_leaves_nothing(database, tmp_path):
    code = (
        "import resource, sys\n"
        "from mbuzz.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, 80_000))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    target = tmp_path / "copy.db"
    argv = ["db", "backup", f"--database={database}", str(target)]
    env = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", code, *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=env,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"mbuzz db: cannot make the copy {target}: ")
    assert done.stderr.count("\n") == 1
    assert not [path for path in tmp_path.iterdir() if "copy" in path.name]


def test_progress_is_told_in_pages(database, tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "_COPIED_AT_ONCE", 10)
    told = []

    backup.backup(
        str(database), str(tmp_path / "copy.db"), progress=lambda *at: told.append(at)
    )

    done, totals = zip(*told, strict=True)
    assert len(told) > 2
    assert list(done) == sorted(done)
    assert {done[-1]} == set(totals)


@pytest.mark.parametrize("size", [0, 20_000_000])
def test_large_copy_shows_how_far_it_is_on_a_terminal(database, tmp_path, size):
    execute(database, f"CREATE TABLE padding AS SELECT zeroblob({size})")
    argv = ("db", "backup", f"--database={database}", tmp_path / "copy.db")

    exit_code, shown = on_terminal(tmp_path, *argv)

    assert exit_code == 0, shown
    *steps, said = shown.rstrip("\n").split("\n")
    assert said.endswith(" 4 events")
    assert bool(steps) is (size > 0)
    if steps:
        last = steps[0].rpartition("\r")[2]
        assert re.fullmatch(r"copying \[#+\] (\d+)/\1", last)


# -- check --


def test_good_database_is_said_to_be_good(mbuzz, database):
    assert db(mbuzz, database, "check") == (
        0,
        (
            f"{database}: 4 events, 2 sessions, 1 conversions, "
            f"schema version {NEWEST}: all is well\n"
        ),
        "",
    )


LAST = "id = (SELECT max(id) FROM {})"
SESSION = LAST.format("sessions")
EVENT = LAST.format("events")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            f"UPDATE sessions SET page_view_count = 7 WHERE {SESSION}",
            r"session sess_\w+ counts 7 page views, its events are 2",
        ),
        (
            f"UPDATE sessions SET started_at_ms = started_at_ms - 1 WHERE {SESSION}",
            r"session sess_\w+ is said to begin at \d+, its first event was at \d+",
        ),
        (
            (
                "UPDATE sessions SET last_event_at_ms = last_event_at_ms + 1"
                f" WHERE {SESSION}"
            ),
            r"session sess_\w+ is said to end at \d+, its last event was at \d+",
        ),
        (
            f"UPDATE sessions SET first_event = 999 WHERE {SESSION}",
            r"session sess_\w+ has an event as its first that is another's, or none",
        ),
        (
            (
                "UPDATE sessions SET last_event ="
                f" (SELECT min(last_event) FROM sessions) WHERE {SESSION}"
            ),
            r"session sess_\w+ has an event as its last that is another's, or none",
        ),
        (
            f"UPDATE events SET session = 999 WHERE {EVENT}",
            r"event evt_\w+ is in a session that is unknown or another visitor's",
        ),
        (
            f"UPDATE events SET session = NULL WHERE {EVENT}",
            r"event evt_\w+, a page that a person saw, is in no session",
        ),
        (
            f"UPDATE events SET visitor = 999 WHERE {EVENT}",
            r"event evt_\w+ is of a visitor who is unknown or another account's",
        ),
        (
            f"UPDATE events SET identity = 999 WHERE {EVENT}",
            r"event evt_\w+ is of a user who is unknown or another account's",
        ),
        (
            f"DELETE FROM events WHERE {EVENT}",
            r"session sess_\w+ counts 2 page views, its events are 1",
        ),
        (
            (
                "UPDATE sessions SET last_event_at_ms = (SELECT max(last_event_at_ms)"
                " FROM sessions)"
            ),
            (
                r"session sess_\w+ begins at \d+, before an earlier one of its visitor"
                r" ends at \d+"
            ),
        ),
        (
            "UPDATE credits SET credit = credit - 1",
            (
                r"conversion conv_\w+ has credits under model linear of 999999998 "
                "billionths, not of a whole"
            ),
        ),
        (
            "UPDATE credits SET revenue = revenue + 1 WHERE model = 'last_touch'",
            (
                r"conversion conv_\w+ has revenue under model last_touch of 19990001 "
                "millionths, not of 19990000"
            ),
        ),
        (
            "DELETE FROM credits",
            r"conversion conv_\w+ was attributed, but has no credits",
        ),
        (
            "UPDATE credits SET account_id = 2",
            r"credits of conversion number 1 are of no conversion of that account",
        ),
        (
            "UPDATE credits SET session = 999 WHERE model = 'first_touch'",
            (
                "conversion number 1 has a credit under model first_touch"
                " for an unknown session"
            ),
        ),
        (
            "UPDATE session_hours SET sessions = sessions + 1, page_views = 9",
            (
                r"the hour number \d+ counts, of direct, 2 visits of 9 pages, its"
                r" sessions are 1 of 2; `mbuzz db repair` counts anew"
            ),
        ),
        (
            "DELETE FROM session_hours",
            (
                r"the hour number \d+ counts, of direct, 0 visits of 0 pages, its"
                r" sessions are 1 of 2; `mbuzz db repair` counts anew"
            ),
        ),
        (
            "UPDATE return_hours SET sessions = 7",
            (
                r"the hour number \d+ counts 7 visitors who came back later, its"
                r" sessions say 1; `mbuzz db repair` counts anew"
            ),
        ),
        (
            f"UPDATE sessions SET previous_ms = 7 WHERE {SESSION}",
            (
                r"session sess_\w+ says that its visitor's previous one began at 7,"
                r" that was \d+; `mbuzz db repair` looks anew"
            ),
        ),
        (
            "DELETE FROM accounts",
            r"row \d+ of api_keys refers to a missing row of accounts",
        ),
    ],
)
def test_contradiction_is_said(mbuzz, database, sql, said):
    execute(database, sql)
    before = database.read_bytes()

    exit_code, out, err = db(mbuzz, database, "check")

    *sentences, verdict = out.splitlines()
    assert (exit_code, err) == (1, "")
    assert [one for one in sentences if re.fullmatch(said, one)], out
    assert re.search(r": \d+ problems$", verdict)
    assert database.read_bytes() == before


def test_visit_whose_events_were_forgotten_is_no_contradiction(mbuzz, database):
    (row,) = execute(
        database, "SELECT name FROM pragma_table_info('sessions') WHERE name = 'sealed'"
    ) or [None]
    if row is None:
        execute(database, "ALTER TABLE sessions ADD sealed INTEGER NOT NULL DEFAULT 0")
    execute(database, f"UPDATE sessions SET sealed = 1 WHERE {SESSION}")
    execute(
        database,
        "DELETE FROM events WHERE session IN (SELECT id FROM sessions"
        " WHERE sealed = 1)",
    )

    assert db(mbuzz, database, "check")[0] == 0


def test_many_contradictions_are_counted_not_told(mbuzz, database):
    execute(
        database,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
        " WHERE i < 1000) INSERT INTO credits (account_id, live, model, conversion,"
        " position, session, channel, credit, revenue, currency, converted_at_ms)"
        " SELECT account_id, live, model, conversion, i + 100, 999, channel, 0, 0,"
        " currency, converted_at_ms"
        " FROM credits, n WHERE model = 'linear' AND position = 0",
    )

    exit_code, out, _ = db(mbuzz, database, "check")

    assert exit_code == 1
    assert len(out.splitlines()) < 10
    assert "  and 995 more like that\n" in out
    assert out.endswith(": 1000 problems\n")


def test_damaged_file_is_said(mbuzz, database):
    ((root,),) = execute(
        database, "SELECT rootpage FROM sqlite_master WHERE name = 'credits_by_time'"
    )
    content = bytearray(database.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    database.write_bytes(content)

    exit_code, out, err = db(mbuzz, database, "check")

    assert (exit_code, err) == (1, "")
    assert "the file is damaged: " in out or "cannot be read to its end: " in out
    assert len(out.splitlines()) < 40


def test_null_where_none_may_be_is_damage(mbuzz, database):
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'email TEXT NOT NULL',"
            " 'email TEXT') WHERE name = 'users'"
        )
    execute(database, "UPDATE users SET email = NULL")
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'email TEXT',"
            " 'email TEXT NOT NULL') WHERE name = 'users'"
        )

    exit_code, out, _ = db(mbuzz, database, "check")

    assert exit_code == 1
    assert "the file is damaged: NULL value in users.email\n" in out


# -- repair --


def test_figures_of_reports_are_made_anew(mbuzz, database):
    tables = ("session_hours", "return_hours", "sessions")
    before = [execute(database, f"SELECT * FROM {table}") for table in tables]
    execute(database, "UPDATE session_hours SET page_views = 9")
    execute(database, "INSERT INTO session_hours VALUES (5, 1, 7, 'email', 1, 1)")
    execute(database, "INSERT INTO return_hours VALUES (5, 1, 7, 1)")
    execute(database, f"UPDATE sessions SET previous_ms = NULL WHERE {SESSION}")
    assert db(mbuzz, database, "check")[0] == 1

    first = db(mbuzz, database, "repair")
    again = db(mbuzz, database, "repair")

    done = f"{database}: the visits of reports are counted anew, "
    assert first == (0, f"{done}5 were wrong\n", "")
    assert again == (0, f"{done}all were right\n", "")
    assert db(mbuzz, database, "check")[0] == 0
    assert before == [execute(database, f"SELECT * FROM {table}") for table in tables]


def test_older_database_is_not_repaired_but_brought_up_to_date(mbuzz, older):
    assert db(mbuzz, older, "repair") == refused(
        f"the database {older} is of schema version 1; `mbuzz db migrate` brings it to "
        f"{NEWEST} and counts anew"
    )


def test_repair_that_cannot_be_changes_nothing(mbuzz, database):
    execute(database, "UPDATE session_hours SET page_views = 9")
    execute(database, "UPDATE sessions SET previous_ms = 7")
    execute(
        database,
        "CREATE TRIGGER theirs BEFORE UPDATE OF previous_ms ON sessions"
        " BEGIN SELECT RAISE(ABORT, 'no, said somebody'); END",
    )

    exit_code, out, err = db(mbuzz, database, "repair")

    assert (exit_code, out) == (1, "")
    assert err == (
        f"mbuzz db: the database {database} cannot be repaired: no, said somebody; "
        "nothing was changed\n"
    )
    assert execute(database, "SELECT DISTINCT page_views FROM session_hours") == [(9,)]


# -- migrate --


@pytest.fixture
def older(tmp_path):
    """Return a database of the first version of the schema."""
    path = tmp_path / "older.db"
    number, script = migrations()[0]
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"{script}; PRAGMA user_version = {number};")
        connection.execute("PRAGMA journal_mode = WAL")
    return path


def test_older_database_is_brought_up_to_date_once(mbuzz, older):
    first = db(mbuzz, older, "migrate")
    again = db(mbuzz, older, "migrate")

    assert first == (0, f"{older}: schema version brought from 1 to {NEWEST}\n", "")
    assert again == (0, f"{older}: schema version already at {NEWEST}\n", "")
    SqliteStorage(str(older)).close()


def test_older_database_can_be_checked_and_copied_as_it_is(mbuzz, older, tmp_path):
    target = tmp_path / "copy.db"

    assert db(mbuzz, older, "backup", target)[0] == 0
    exit_code, out, _ = db(mbuzz, target, "check")

    assert exit_code == 0
    assert f"schema version 1 (this mbuzz has {NEWEST}: `mbuzz db migrate` " in out
    assert execute(target, "PRAGMA user_version") == [(1,)]


def test_migration_that_cannot_be_is_one_sentence(mbuzz, older):
    execute(older, "CREATE TABLE groups (theirs)")

    exit_code, out, err = db(mbuzz, older, "migrate")

    assert (exit_code, out) == (1, "")
    assert err == (
        f"mbuzz db: the database {older} cannot be brought from schema version 1 to "
        f"{NEWEST}: table groups already exists; it was left at 1\n"
    )


# -- no such database --

ACTIONS = [["backup", "copy.db"], ["check"], ["repair"], ["migrate"]]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("action", ACTIONS)
def test_missing_database_is_one_sentence_and_makes_none(mbuzz, tmp_path, here, action):
    path = tmp_path / "missing.db"

    assert db(mbuzz, path, *action) == refused(
        f"there is no database at {path}; give its path with --database"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"to do: buy milk\n" * 100, "file is not a database"),
        (b"", "is empty; use another --database"),
    ],
)
def test_other_files_are_refused_and_left_alone(
    mbuzz, tmp_path, here, action, content, said
):
    path = tmp_path / "milk.db"
    path.write_bytes(content)

    exit_code, out, err = db(mbuzz, path, *action)

    assert (exit_code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1
    assert path.read_bytes() == content
    assert [one.name for one in tmp_path.iterdir()] == ["milk.db"]


@pytest.mark.parametrize("action", ACTIONS)
def test_database_of_another_program_is_refused(mbuzz, tmp_path, here, action):
    path = tmp_path / "theirs.db"
    execute(path, "CREATE TABLE theirs (id)")

    assert db(mbuzz, path, *action) == refused(
        f"the file {path} is a database of another program; use another --database"
    )


@pytest.mark.parametrize("action", ACTIONS)
def test_newer_database_is_refused(mbuzz, database, here, action):
    execute(database, "PRAGMA user_version = 99")

    assert db(mbuzz, database, *action) == refused(
        f"the database {database} is of schema version 99, this mbuzz knows up to "
        f"{NEWEST}; upgrade mbuzz"
    )


def test_ctrl_c_ends_it_quietly(database, tmp_path):
    execute(database, "CREATE TABLE padding AS SELECT zeroblob(100000000)")
    argv = ("db", "backup", f"--database={database}", tmp_path / "copy.db")

    exit_code, shown = on_terminal(tmp_path, *argv, typed=(("] 2/", CTRL_C),))

    assert exit_code == 130, shown
    assert "Traceback" not in shown
    assert [path.name for path in tmp_path.iterdir()] == ["mbuzz.db"]


def test_error_of_storage_names_no_traceback(database):
    with pytest.raises(StorageError, match="there is no database at"):
        maintenance.check(str(database) + "x")
