"""Looks at every statement that the server runs in the tests: whose data does it name?

`sqlite3.connect` hands out connections that look. A statement on a table with an
`account_id` must name it, and `live` where the table has that, or be in `EXEMPT`.
"""

import re
import sqlite3
import sys
from functools import cache

from mbuzz.server.storage.schema import migrate

# Part of a statement: why it is about nobody's data, or about that of all.
EXEMPT = {
    "WHERE k.digest = :digest": "a key says whose it is; its digest is the secret",
    "WHERE u.email = :email": "a log-in says whose it is; a password follows",
    "WHERE l.digest = :digest": "the same, with the log-in's token",
    "DELETE FROM logins WHERE digest = :digest": "the same",
    "DELETE FROM logins WHERE expires_at_ms <= :now": "tidying up, of all",
    "SELECT (SELECT MAX(id) FROM visitors)": "row numbers, which tell nothing",
    "FROM erasures WHERE status IN": "the job erases for all; each says whose it is",
    "FROM recredits WHERE finished_at_ms IS NULL": "the job is for all as well",
    "erasures SET scrubbed = 1 WHERE status": "the journal is everybody's",
    "FROM erasures WHERE status = 'done' AND scrubbed": "the same",
}
# Tables that belong to the account, and say which environment they are about.
BOTH = {"api_keys"}
# Files whose statements are about whole databases, on an operator's behalf.
OF_OPERATORS = ("maintenance.py", "truth_sql.py", "backup.py")  # `mbuzz db`

_TABLE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(\w+)", re.IGNORECASE)
_ACCOUNT = re.compile(r"\baccount_id\b\s*(?:=|\bIN\b)", re.IGNORECASE)
_LIVE = re.compile(r"\blive\b\s*(?:=|\bIN\b)", re.IGNORECASE)
_PLUMBING = (
    "sql_guard.py",
    "/storage/sqlite.py",
    "/storage/sqlite_connection.py",
    "/storage/account_rows.py",
)


@cache
def tenant_tables():
    """Return the tables with an account, and whether each tells live from test."""
    raw = sqlite3.connect(":memory:", isolation_level=None)
    migrate(raw, ":memory:")
    names = [
        name
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type='table'")
    ]
    columns = {
        name: {row[1] for row in raw.execute(f"PRAGMA table_info({name})")}
        for name in names
    }
    raw.close()
    return {
        name: "live" in has and name not in BOTH
        for name, has in columns.items()
        if "account_id" in has
    }


def fault(sql):
    """Return what is wrong with a statement, or None."""
    text = " ".join(sql.split())
    tables = tenant_tables().keys() & set(_TABLE.findall(text))
    if not tables or any(part in text for part in EXEMPT):
        return None
    if insert := re.match(r"INSERT (?:OR \w+ )?INTO (\w+) \(([^)]*)\)", text):
        table, columns = insert[1], set(re.split(r", *", insert[2]))
        needed = {"account_id", "live"} if tenant_tables()[table] else {"account_id"}
        return f"{text} leaves out {needed - columns}" if needed - columns else None
    if not _ACCOUNT.search(text):
        return f"{text} names no account_id"
    if any(tenant_tables()[table] for table in tables) and not _LIVE.search(text):
        return f"{text} names account_id, but not live"
    return None


class Guard:
    """Collects the faults of statements that are not a test's own."""

    def __init__(self):
        self.faults = []
        self.seen = set()

    def look(self, sql):
        if sql in self.seen:
            return
        path = _author()
        if "/tests/" in path or path.endswith(OF_OPERATORS):
            return
        self.seen.add(sql)
        wrong = fault(sql)
        if wrong:
            self.faults.append(wrong)


def _author():
    """Return the path of the file that a statement is from."""
    frame = sys._getframe(2)
    while frame.f_back and frame.f_code.co_filename.endswith(_PLUMBING):
        frame = frame.f_back
    return frame.f_code.co_filename


GUARD = Guard()
_connect = sqlite3.connect


class LookedAt(sqlite3.Connection):
    """A connection whose statements are looked at."""

    def execute(self, sql, *parameters):
        GUARD.look(sql)
        return super().execute(sql, *parameters)

    def executemany(self, sql, *parameters):
        GUARD.look(sql)
        return super().executemany(sql, *parameters)


def connect(*arguments, **options):
    """Stand in for `sqlite3.connect`."""
    return _connect(*arguments, **{"factory": LookedAt, **options})
