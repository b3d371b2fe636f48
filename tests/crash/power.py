"""Power cuts under load: what was not synced is lost, see ``powercut.c``."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from mbuzz.server.storage.errors import StorageError
from tests.crash.load import Ledger, Load, Traffic, new_seed, send_again
from tests.crash.served import Backend
from tests.crash.verdict import judge

_SOURCE = Path(__file__).with_name("powercut.c")
_CUT = 97  # the exit code of a process whose power went
_GOING = 5.0  # seconds for a process to end whose connections have
_STEPS = 900  # writes and syncs, about, until the cut


def why_not() -> str | None:
    """Return why there can be no power cut here."""
    if not sys.platform.startswith("linux"):
        return "the simulated power cut is for Linux"
    if shutil.which("cc") is None:
        return "there is no C compiler"
    return None


def built(folder: Path) -> Path:
    """Return the library to preload."""
    library = folder / "powercut.so"
    if not library.exists():
        command = ["cc", "-O1", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"]
        subprocess.run([*map(str, command), "-lpthread"], check=True)
    return library


def preloaded(folder: Path, database: Path, **more: object) -> dict[str, str]:
    """Return the environment of a process whose power may go."""
    given = {f"POWERCUT_{name.upper()}": str(value) for name, value in more.items()}
    return {
        "LD_PRELOAD": str(built(folder)),
        "POWERCUT_FILES": str(database),
        **given,
    }


class PowerCuts:
    """Rounds of start, load, power cut."""

    def __init__(self, folder: Path, *, synchronous: str | None = None) -> None:
        weaker = ("-m", "tests.crash.weaker", synchronous)
        program = ("-m", "mbuzz") if synchronous is None else weaker
        self.backend = Backend(folder, program=program)
        self.ledger = Ledger()
        self.cuts = 0
        self.undone = 0  # changes of files that were not synced
        self.kept = 0  # of these, such as came to the disk after all
        self._seed = new_seed()
        self._random = random.Random(self._seed)
        self._folder = folder
        self._report = folder / "report"

    def round(self) -> None:
        """Start, send until the power goes."""
        self._seed += 1
        backend = self.backend
        if not self.cuts:  # make it, and its key, in peace
            backend.start()
            assert backend.stop() == 0
        self._report.unlink(missing_ok=True)
        serves = backend.comes_up(
            **preloaded(
                self._folder,
                backend.database,
                at=self._random.randrange(20, 2 * _STEPS),
                seed=self._seed,
                keep=self._random.choice((0, 1)),
                report=self._report,
            )
        )
        if serves:  # else the power went while it started
            self._send(backend)
        assert backend.end() == _CUT, backend.output
        self.cuts += 1
        undone, kept = self._report.read_text().split()
        self.undone += int(undone)
        self.kept += int(kept)
        for shared in backend.database.parent.glob("*-shm"):
            shared.unlink()  # no disk ever had it

    def _send(self, backend: Backend) -> None:
        """Send until the power goes."""
        send_again(backend.url, backend.key, self.ledger, lambda: backend.wait(_GOING))
        traffic = Traffic(self._seed)
        with Load(backend.url, backend.key, traffic, self.ledger):
            backend.end()

    def lost_something(self) -> bool:
        """Run a round, and tell whether the database lost any of it, or itself."""
        self.round()
        try:
            return judge(self.backend.database, self.ledger).lost > 0
        except (StorageError, sqlite3.Error):
            return True

    def finish(self) -> None:
        """Send what is left, and end in order."""
        self.backend.start()
        url, key = self.backend.url, self.backend.key
        send_again(url, key, self.ledger, lambda: False)
        assert self.backend.stop() == 0, self.backend.output

    def close(self) -> None:
        """End what still runs."""
        self.backend.kill()
