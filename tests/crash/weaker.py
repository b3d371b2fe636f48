"""`mbuzz` with less safe writing than it asks for, to see that the tests notice.

Started as ``python -m tests.crash.weaker NORMAL serve ...``; only tests start it.
"""

from __future__ import annotations

import re
import sqlite3
import sys

_SYNCHRONOUS = re.compile(r"(PRAGMA\s+synchronous\s*=\s*)\w+", re.IGNORECASE)


def weaken(level: str) -> None:
    """Let every connection from now on have *level* instead of what it asks for."""
    connect = sqlite3.connect

    class Weaker(sqlite3.Connection):
        def execute(self, sql, *more):
            return super().execute(_SYNCHRONOUS.sub(rf"\g<1>{level}", sql), *more)

        def executescript(self, sql):
            return super().executescript(_SYNCHRONOUS.sub(rf"\g<1>{level}", sql))

    def connect_weaker(*args, **options):
        connection = connect(*args, **{"factory": Weaker, **options})
        connection.execute(f"PRAGMA synchronous = {level}")
        return connection

    sqlite3.connect = connect_weaker


if __name__ == "__main__":
    from mbuzz.cli.main import main

    weaken(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
