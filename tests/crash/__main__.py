"""`python3 -m tests.crash`: kills and power cuts for as long as one likes."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.crash.kills import Kills
from tests.crash.power import PowerCuts, why_not
from tests.crash.verdict import judge

_AT_ONCE = 25  # rounds on one database, which is then judged


def main() -> int:
    """Run the rounds, print what came of them; 1 if anything was lost or wrong."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="kills (200)")
    parser.add_argument("--power-cuts", type=int, default=100, help="(100)")
    parser.add_argument(
        "--synchronous",
        metavar="LEVEL",
        help="write less safely than mbuzz does, NORMAL or OFF: power cuts must lose",
    )
    args = parser.parse_args()
    good = True
    for start in range(0, args.rounds, _AT_ONCE):
        with tempfile.TemporaryDirectory() as folder:
            kills = Kills(Path(folder))
            good &= _rounds("kill -9", kills, min(_AT_ONCE, args.rounds - start))
            print(f"  kills: {kills.kills}, some amid starts", flush=True)
    reason = why_not()
    if reason is not None:
        print(f"no power cuts: {reason}")
        return 0 if good else 1
    for start in range(0, args.power_cuts, _AT_ONCE):
        with tempfile.TemporaryDirectory() as folder:
            cuts = PowerCuts(Path(folder), synchronous=args.synchronous)
            good &= _rounds("power cut", cuts, min(_AT_ONCE, args.power_cuts - start))
            print(
                f"  unsynced writes that the cuts undid: {cuts.undone}, "
                f"of these came to the disk after all: {cuts.kept}",
                flush=True,
            )
    return 0 if good else 1


def _rounds(what: str, trial: Kills | PowerCuts, count: int) -> bool:
    try:
        for _ in range(count):
            trial.round()
        trial.finish()
        ledger, backend = trial.ledger, trial.backend
        verdict = judge(backend.database, ledger)
        print(
            f"{what}: {count} rounds, {len(ledger.accepted)} items accepted, "
            f"{ledger.resent} batches sent again that had no answer, "
            f"{verdict.stored} events and conversions stored, "
            f"{verdict.lost} lost, {verdict.doubled} doubled"
        )
        for problem in verdict.problems:
            print(f"  {problem}")
        return verdict.good
    finally:
        trial.close()


if __name__ == "__main__":
    sys.exit(main())
