"""SQL of the jobs: when each is due, and which process is at it."""

from __future__ import annotations

from collections.abc import Sequence

from mbuzz.server.storage.connection import Connection
from mbuzz.server.storage.privacy_port import JobRow


class SqlJobStore:
    """`JobStore` in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def jobs(self) -> Sequence[JobRow]:
        rows = self._db.rows(
            "SELECT name, due_ms, claimed_until_ms, status, said, failures,"
            " started_at_ms, finished_at_ms FROM jobs ORDER BY name",
            {},
        )
        return [
            JobRow(
                name=row[0],
                due_ms=row[1],
                claimed_until_ms=row[2],
                status=row[3],
                said=row[4],
                failures=row[5],
                started_at_ms=row[6],
                finished_at_ms=row[7],
            )
            for row in rows
        ]

    def add_job(self, name: str, due_ms: int) -> None:
        """Keep that *name* is due then, unless something is known of it."""
        self._db.run(
            "INSERT INTO jobs (name, due_ms) VALUES (:name, :due)"
            " ON CONFLICT DO NOTHING",
            {"name": name, "due": due_ms},
        )

    def claim_job(self, name: str, claimant: str, now_ms: int, until_ms: int) -> bool:
        """Tell whether the job is the claimant's until then; else it is another's."""
        changed = self._db.run(
            "UPDATE jobs SET claimed_by = :claimant, claimed_until_ms = :until,"
            " status = 'running', started_at_ms = :now"
            # A claim for longer than this is of a clock that was wrong.
            " WHERE name = :name"
            " AND (claimed_until_ms <= :now OR claimed_until_ms > :until)",
            {"name": name, "claimant": claimant, "now": now_ms, "until": until_ms},
        )
        return changed > 0

    def renew_job(self, name: str, claimant: str, until_ms: int) -> bool:
        """Tell whether the job is still the claimant's, and now for longer."""
        changed = self._db.run(
            "UPDATE jobs SET claimed_until_ms = :until"
            " WHERE name = :name AND claimed_by = :claimant",
            {"name": name, "claimant": claimant, "until": until_ms},
        )
        return changed > 0

    def finish_job(
        self,
        name: str,
        claimant: str,
        *,
        status: str,
        said: str,
        failures: int,
        due_ms: int,
        now_ms: int,
    ) -> None:
        self._db.run(
            "UPDATE jobs SET claimed_by = NULL, claimed_until_ms = 0,"
            " status = :status, said = :said, failures = :failures, due_ms = :due,"
            " finished_at_ms = :now WHERE name = :name AND claimed_by = :claimant",
            {
                "name": name,
                "claimant": claimant,
                "status": status,
                "said": said,
                "failures": failures,
                "due": due_ms,
                "now": now_ms,
            },
        )
