"""htmx and Turbo from npm, kept beside the virtual environments, not in git."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

from tests.processes import ROOT

HOME = ROOT / ".venv" / "browser"
PACKAGES = {  # the folder of each, and what npm knows it by
    "htmx2": "htmx.org@2.0.11",
    "htmx4": "htmx.org@4.0.1",
    "turbo": "@hotwired/turbo@8.0.23",
}


def install() -> Path | None:
    """Return the folder with all packages; None if npm or its registry is missing."""
    HOME.mkdir(parents=True, exist_ok=True)
    folder, stamp = HOME / "node_modules", HOME / "installed"
    wanted = "\n".join(f"{name}@npm:{which}" for name, which in PACKAGES.items())
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the other workers wait for this one
        if stamp.is_file() and stamp.read_text() == wanted:
            return folder
        if not _ask_npm(wanted.split("\n")):
            return None
        stamp.write_text(wanted)
        return folder


def _ask_npm(packages: list[str]) -> bool:
    npm = shutil.which("npm")
    if npm is None:
        return False
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        done = subprocess.run(
            [*command, "--fetch-retries=0", f"--prefix={HOME}", *packages],
            capture_output=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
