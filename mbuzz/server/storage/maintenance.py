"""What an operator does with a database file: check and upgrade it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from mbuzz.server.storage.credit_hours_sql import (
    ANEW_CREDITS,
    WRONG_CREDITS,
    WRONG_DAYS,
)
from mbuzz.server.storage.errors import StorageError
from mbuzz.server.storage.schema import migrate, migrations, schema_version
from mbuzz.server.storage.truth_sql import broken_truths
from mbuzz.server.storage.visits_sql import ANEW, WRONG

_BUSY_TIMEOUT: Final = 5.0  # seconds for the backend to finish what it writes
_COUNTED: Final = ("events", "sessions", "conversions")
_MOST_EXAMPLES: Final = 5
_NO_RIGHTS: Final = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_MOST_DAMAGE: Final = 100
_NULL_SEEN: Final = re.compile(r"NULL value in (\w+)\.(\w+)")


class Findings(NamedTuple):
    """What a check has found."""

    version: int  # of the schema
    counts: dict[str, int]  # rows of the main tables
    problems: list[str]  # sentences, only some examples of each kind
    total: int  # problems, those that are not told included


# -- checks --


def check(path: str) -> Findings:
    """Look for damage, and for numbers that contradict each other; change nothing.

    It reads one snapshot, so a backend may go on writing meanwhile.

    Raises:
        StorageError: If there is no such database, or it cannot be opened.
    """
    problems: list[str] = []
    total = 0
    with opened(path) as raw:
        raw.execute("BEGIN")
        for sentences, count in _found(raw):
            problems += sentences
            total += count
            if count > len(sentences):
                problems.append(f"  and {count - len(sentences)} more like that")
        version = schema_version(raw)
        counts = {table: _count(raw, table) for table in _COUNTED}
    return Findings(version, counts, problems, total)


def _found(raw: sqlite3.Connection) -> Iterator[tuple[list[str], int]]:
    try:
        damage = [f"the file is damaged: {said}" for said in _damage(raw)]
        if damage:
            yield damage[:_MOST_EXAMPLES], len(damage)
        strays = raw.execute("PRAGMA foreign_key_check").fetchall()
        if strays:
            yield (
                [
                    f"row {row} of {table} refers to a missing row of {parent}"
                    for table, row, parent, _ in strays[:_MOST_EXAMPLES]
                ],
                len(strays),
            )
        yield from broken_truths(raw, _MOST_EXAMPLES)
    except sqlite3.Error as error:
        yield [f"the file cannot be read to its end: {error}"], 1


def _damage(raw: sqlite3.Connection) -> Iterator[str]:
    """Yield what SQLite finds, at most `_MOST_DAMAGE` times.

    Some versions of SQLite, 3.40.1 among them, see NULL in columns of tables without
    row ids where there is none: they are asked again, by what they have to look up.
    """
    untrue: set[str] = set()
    told = 0
    for (said,) in raw.execute("PRAGMA integrity_check(1000000000)"):
        column = _NULL_SEEN.fullmatch(said)
        if said == "ok" or said in untrue:
            continue
        if column is not None and not _has_null(raw, *column.groups()):
            untrue.add(said)
            continue
        yield said
        told += 1
        if told == _MOST_DAMAGE:
            return


def _has_null(raw: sqlite3.Connection, table: str, column: str) -> bool:
    sql = f"SELECT 1 FROM {table} WHERE typeof({column}) = 'null' LIMIT 1"  # noqa: S608 - names of the schema
    return raw.execute(sql).fetchone() is not None


def _count(raw: sqlite3.Connection, table: str) -> int:
    with suppress(sqlite3.Error):  # of a damaged file; that is told already
        return int(raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - a constant
    return 0


# -- schema --


def newest_version() -> int:
    """Return the version of the schema that this mbuzz works with."""
    return migrations()[-1][0]


def upgrade(path: str) -> tuple[int, int]:
    """Bring a database to this version's schema; return what it was and what it is.

    Raises:
        StorageError: If there is no such database, it is newer, or cannot be changed.
    """
    with opened(path, writes=True) as raw:
        before = schema_version(raw)
        try:
            raw.execute("PRAGMA synchronous = FULL")
            migrate(raw, path)
        except sqlite3.Error as error:
            raise StorageError(
                f"the database {path} cannot be brought from schema version {before} "
                f"to {newest_version()}: {error}; it was left at {schema_version(raw)}"
            ) from None
        return before, schema_version(raw)


# -- derived figures --


def repair(path: str) -> int:
    """Work out anew what reports count beforehand; return how much of it was wrong.

    Raises:
        StorageError: If there is no such database, it is older, or cannot be changed.
    """
    with opened(path, writes=True) as raw:
        if (has := schema_version(raw)) < newest_version():
            raise StorageError(
                f"the database {path} is of schema version {has}; `mbuzz db migrate` "
                f"brings it to {newest_version()} and counts anew"
            )
        try:
            raw.execute("PRAGMA synchronous = FULL")
            raw.execute("BEGIN IMMEDIATE")
            wrong = sum(
                1
                for sql in (*WRONG, WRONG_CREDITS, WRONG_DAYS)
                for _ in raw.execute(sql)
            )
            for statement in (*ANEW, *ANEW_CREDITS):
                raw.execute(statement)
            raw.execute("COMMIT")
        except sqlite3.Error as error:
            raise StorageError(
                f"the database {path} cannot be repaired: {error}; nothing was changed"
            ) from None
        return wrong


# -- opening --


@contextmanager
def opened(path: str, *, writes: bool = False) -> Iterator[sqlite3.Connection]:
    """Open an mbuzz database that must be there; only to be read, unless one *writes*.

    Raises:
        StorageError: If it is not there, or no such database.
    """
    if not Path(path).is_file():
        raise StorageError(
            f"there is no database at {path}; give its path with --database"
        )
    # Without rights to write, SQLite would leave a log and a file of locks behind
    # where there was no log; where there is one, its changes stay where they are.
    mode = "ro" if not writes and Path(f"{path}-wal").exists() else "rw"
    address = f"{Path(path).absolute().as_uri()}?mode={mode}"
    try:
        raw = sqlite3.connect(
            address, uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT
        )
    except sqlite3.Error as error:
        raise StorageError(f"cannot open the database {path}: {error}") from None
    with closing(raw):
        try:
            raw.execute(f"PRAGMA query_only = {not writes}")
            _refuse_others(raw, path)
        except sqlite3.Error as error:
            raise StorageError(_cannot_read(path, error)) from None
        yield raw


def _cannot_read(path: str, error: sqlite3.Error) -> str:
    said = f"cannot read the database {path}: {error}"
    # SQLite keeps a file of locks beside it, which whoever reads must be able to make.
    locked_out = getattr(error, "sqlite_errorcode", 0) & 0xFF in _NO_RIGHTS
    return f"{said}; run this as the user who may write it" if locked_out else said


def _refuse_others(raw: sqlite3.Connection, path: str) -> None:
    """Refuse an empty file, another program's, and one of a newer mbuzz."""
    tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master")}
    if "api_keys" not in tables:
        what = "a database of another program" if tables else "empty"
        raise StorageError(f"the file {path} is {what}; use another --database")
    has, newest = schema_version(raw), newest_version()
    if has > newest:
        raise StorageError(
            f"the database {path} is of schema version {has}, this mbuzz knows up to "
            f"{newest}; upgrade mbuzz"
        )
