"""`mbuzz jobs`: see and do the backend's own work, on the database itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mbuzz.cli.console import CliError, table
from mbuzz.cli.database import database_arguments, opened
from mbuzz.clock import SYSTEM_CLOCK, iso

if TYPE_CHECKING:
    from mbuzz.server.jobs import Job, Outcome, Scheduler
    from mbuzz.server.storage.privacy_port import JobRow


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    shared = database_arguments(account=False)
    parser = commands.add_parser(
        "jobs",
        help="see and do the backend's own work",
        description="`mbuzz serve` erases, forgets and cleans up by itself. Under "
        "another server let cron run `mbuzz jobs run` every five minutes.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", parents=[shared], help="show all jobs")
    listing.set_defaults(run=list_jobs)
    run = actions.add_parser("run", parents=[shared], help="do what is due, or one job")
    run.add_argument(
        "name", nargs="?", metavar="NAME", help="do this one, due or not, and no other"
    )
    run.set_defaults(run=run_jobs)


def list_jobs(args: argparse.Namespace) -> int:
    """Show every job: how it went, and when it is due."""
    with _scheduler(args) as jobs:
        states = jobs.states()
    heads = ["name", "does", "last", "went", "next"]
    print(table(heads, [_row(job, row) for job, row in states], words=True))
    return 0


def run_jobs(args: argparse.Namespace) -> int:
    """Do what is due now; 1 if something failed."""
    with _scheduler(args) as jobs:
        outcomes = [_named(jobs, args.name)] if args.name else jobs.run_due()
    for outcome in outcomes:
        print(f"{outcome.name}: {_went(outcome.status, outcome.said)}")
    if not outcomes:
        print("nothing is due; `mbuzz jobs list` shows when")
    return int(any(outcome.status == "failed" for outcome in outcomes))


def _named(jobs: Scheduler, name: str) -> Outcome:
    try:
        return jobs.run(name)
    except KeyError:
        names = ", ".join(job.name for job in jobs.jobs)
        raise CliError(f"there is no job {name!r}; there are {names}") from None


def _row(job: Job, row: JobRow) -> list[str]:
    last = row.finished_at_ms or row.started_at_ms
    return [
        job.name,
        job.about,
        iso(last)[:16] if last else "never",
        _went(row.status, row.said) if last else "",
        iso(row.due_ms)[:16],
    ]


def _went(status: str, said: str) -> str:
    if status == "busy":
        return "another process is at it"
    return f"{status} ({said})" if said else status


@contextmanager
def _scheduler(args: argparse.Namespace) -> Iterator[Scheduler]:
    from mbuzz.server.app import scheduler

    with opened(args) as storage:
        yield scheduler(storage, SYSTEM_CLOCK)
