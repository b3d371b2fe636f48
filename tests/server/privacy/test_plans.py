"""What is asked about one person reads that person's rows, whatever else there is.

SQLite chooses an index by the statistics that a migration ships: it never sees how
many rows an account has by now, and neither does a test with a handful of them.
"""

import re

import pytest

from tests.server.privacy.people import DAY, PrivateShop
from tests.server.privacy.test_erasure import KIM, live_of

# One look for anything at all, or at what there is little of.
LOOKS = re.compile(
    r"SELECT 1 FROM (conversions|suppressions) .* LIMIT 1$|pending_aliases|replies"
    r"|suppression_secrets|erasures|audit|accounts"
)
# All rows of an account, all of a time, or all of a table.
WIDE = re.compile(
    r".*\(account_id=\? AND live=\?\)$"
    r"|.*_by_time \(account_id=\? AND live=\? AND \w+[<>].*"
    r"|SCAN (?!json|\d|\(|CONSTANT|pending|.*VIRTUAL"
    r"|(asked|people|their|hours|models|t|p|a|v)$).*"
)


@pytest.fixture
def asked(backend):
    """Return the statements that are carried out from now on."""
    said = []
    backend.storage._writer.set_trace_callback(said.append)
    yield said
    backend.storage._writer.set_trace_callback(None)


def plan(backend, sql):
    return [
        row[3] for row in backend.storage._writer.execute(f"EXPLAIN QUERY PLAN {sql}")
    ]


def test_nothing_about_one_person_is_looked_for_among_all(backend, asked):
    shop: PrivateShop = backend.shop()
    live_of(shop)
    shop.visit(KIM, 1.5, session_id="kim-late")
    shop.convert(9, KIM, is_acquisition=True)
    shop.convert(10, user="kim-user", inherits=True, revenue=500)
    shop.identify("kim-later", KIM, DAY + 1)
    shop.alias("kim-user", "kim-later", DAY + 2)
    shop.visit(KIM, 0.5, "G")
    shop.erase(user="kim-user")
    backend.storage._writer.set_trace_callback(None)

    statements = {
        sql
        for sql in asked
        if re.match(r"\s*(SELECT|WITH|UPDATE|DELETE)", sql) and not LOOKS.search(sql)
    }
    wide = {
        line: sql
        for sql in statements
        for line in plan(backend, sql)
        if WIDE.fullmatch(line)
    }

    assert len(statements) > 50
    assert wide == {}


def test_every_index_has_statistics(backend):
    described = {row[:2] for row in backend.sql("SELECT tbl, idx FROM sqlite_stat1")}
    tables = backend.sql("SELECT name FROM sqlite_master WHERE type = 'table'")

    for (table,) in tables:
        for _, index, *_ in backend.sql(f"PRAGMA index_list({table})"):
            # An index that is the table itself goes by its name.
            is_table = index.startswith("sqlite_autoindex") and backend.sql(
                "SELECT 1 FROM sqlite_master WHERE name = :name"
                " AND sql LIKE '%WITHOUT ROWID%'",
                name=table,
            )
            assert (table, table if is_table else index) in described


def test_statistics_tell_of_nothing_that_is_not_there(backend):
    names = {
        name
        for (table,) in backend.sql("SELECT name FROM sqlite_master WHERE type='table'")
        for name in (table, *(r[1] for r in backend.sql(f"PRAGMA index_list({table})")))
    }

    described = backend.sql("SELECT tbl, idx FROM sqlite_stat1")

    assert {name for row in described for name in row} <= names
