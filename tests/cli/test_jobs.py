"""`mbuzz jobs`: on the database itself."""

import sqlite3
from contextlib import closing

from mbuzz.server.model import Tenant
from mbuzz.server.storage.sqlite import SqliteStorage


def jobs(mbuzz, database, action, *argv):
    return mbuzz("jobs", action, "--database", database, *argv)


def test_list_shows_every_job_and_when_it_is_due(mbuzz, database):
    exit_code, out, err = jobs(mbuzz, database, "list")

    assert (exit_code, err) == (0, "")
    names = [line.split()[0] for line in out.splitlines()[2:]]
    assert names == [
        *("erasures", "retention", "salts", "accounts", "training", "recrediting")
    ]
    assert out.count("never") == 6


def test_run_does_what_is_due(mbuzz, database):
    storage = SqliteStorage(str(database))
    tenant = Tenant(1, live=False)

    def ask(stores):
        stores.tracking.ensure_visitor(tenant, "v", 0)
        person = stores.privacy.person_of_visitor(tenant, "v")
        stores.privacy.set_secret(tenant, "secret")
        stores.privacy.add_erasure(tenant, "job_1", "a test", person, 1)

    storage.write(ask)
    storage.close()

    first = jobs(mbuzz, database, "run")
    again = jobs(mbuzz, database, "run")

    assert first == (0, "erasures: ok (1 erasures)\n", "")
    assert again == (0, "nothing is due; `mbuzz jobs list` shows when\n", "")


def test_run_of_a_name_does_it_now(mbuzz, database):
    assert jobs(mbuzz, database, "run", "retention") == (0, "retention: ok\n", "")

    _, listed, _ = jobs(mbuzz, database, "list")
    (line,) = [line for line in listed.splitlines() if line.startswith("retention")]
    assert " ok " in line


def test_unknown_job_is_named_with_the_known_ones(mbuzz, database):
    exit_code, _, err = jobs(mbuzz, database, "run", "nothing")

    assert exit_code == 1
    assert (
        "there is no job 'nothing'; there are erasures, retention, salts, accounts"
        in err
    )


def test_missing_database_is_said(mbuzz, tmp_path):
    exit_code, _, err = jobs(mbuzz, tmp_path / "none.db", "list")

    assert exit_code == 1
    assert "there is no mbuzz database at" in err


def test_a_file_that_no_backend_has_used_is_said(mbuzz, tmp_path):
    empty = tmp_path / "empty.db"
    with closing(sqlite3.connect(empty)) as raw:
        raw.execute("VACUUM")
    exit_code, _, err = jobs(mbuzz, empty, "run")

    assert exit_code == 1
    assert "there is no mbuzz database at" in err
