"""A database's schema: of which version it is, and how it gets to the newest."""

from __future__ import annotations

import sqlite3
from importlib import resources

from mbuzz.server.storage.errors import StorageError


def migrations() -> list[tuple[int, str]]:
    """Return the numbered schema changes of this version, in order."""
    folder = resources.files("mbuzz.server.storage").joinpath("migrations")
    files = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    return [(int(entry.name[:4]), entry.read_text("utf-8")) for entry in files]


def migrate(raw: sqlite3.Connection, path: str) -> None:
    """Bring *raw* to the newest schema, each step in a transaction of its own.

    Raises:
        StorageError: If the database is of a newer version, or no mbuzz database.
    """
    refuse_foreign(raw, path)
    for number, script in migrations():
        while (has := schema_version(raw)) < number:
            try:
                raw.executescript(
                    f"BEGIN IMMEDIATE;{script}; PRAGMA user_version = {number}; COMMIT;"
                )
            except sqlite3.OperationalError:
                if raw.in_transaction:
                    raw.execute("ROLLBACK")
                if schema_version(raw) == has:  # else another process was faster
                    raise


def refuse_foreign(raw: sqlite3.Connection, path: str) -> None:
    """Refuse a database of another program or of a newer mbuzz."""
    has, newest = schema_version(raw), migrations()[-1][0]
    tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master")}
    if "api_keys" not in tables and (tables or has):
        raise StorageError(
            f"the file {path} is a database of another program; use another --database"
        )
    if has > newest:
        raise StorageError(
            f"the database {path} is of schema version {has}, this mbuzz knows up to "
            f"{newest}; upgrade mbuzz, or use another --database"
        )


def schema_version(raw: sqlite3.Connection) -> int:
    """Return the version of the schema that *raw* has; 0 is none yet."""
    (version,) = raw.execute("PRAGMA user_version").fetchone()
    return int(version)
