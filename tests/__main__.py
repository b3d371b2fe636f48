"""`python3 -m tests`: set up what the tests need, once, and pass them.

Makes a virtual environment in ``.venv/<version>`` for the Python that runs this,
installs mbuzz and its ``test`` extra there, and runs pytest. Arguments go to pytest;
without any, the whole suite runs and its coverage is held against the gate.
``--no-gate`` alone runs the whole suite without measuring.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv" / f"{sys.version_info.major}.{sys.version_info.minor}"


# Half of the suite waits for sockets and processes, so two at a time are worth it.
WHOLE_SUITE = ["-q", "--numprocesses", "2", "--dist", "worksteal"]


def python() -> Path:
    """Return the interpreter of the environment, made and filled if need be."""
    folder = "Scripts" if os.name == "nt" else "bin"
    interpreter = HOME / folder / f"python{sysconfig.get_config_var('EXE') or ''}"
    stamp = HOME / "installed"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted and interpreter.exists():
        return interpreter
    print(f"setting up {HOME.relative_to(ROOT)} (a minute, once)", flush=True)
    try:
        venv.create(HOME, with_pip=True, clear=HOME.exists())
    except (subprocess.CalledProcessError, ImportError):
        sys.exit(
            "this Python cannot make virtual environments; "
            "install its venv package, on Debian python3-venv, and try again"
        )
    install = [interpreter, "-m", "pip", "install", "--quiet", "--editable", ".[test]"]
    if subprocess.run(install, cwd=ROOT, check=False).returncode:
        sys.exit("the test dependencies could not be installed; see pip's words above")
    stamp.write_text(wanted)
    return interpreter


def run(*command: object) -> int:
    """Run a command in the project's folder and return its exit code."""
    return subprocess.run(
        [str(part) for part in command], cwd=ROOT, check=False
    ).returncode


def main(arguments: list[str]) -> int:
    """Run pytest, and without arguments the coverage gate."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this may have any
        sys.exit(f"mbuzz needs Python 3.11 or newer, this is {sys.version.split()[0]}")
    interpreter = python()
    if arguments == ["--no-gate"]:
        arguments = WHOLE_SUITE
    if arguments:
        return run(interpreter, "-m", "pytest", *arguments)
    run(interpreter, "-m", "coverage", "erase")
    failed = run(interpreter, "-m", "coverage", "run", "-m", "pytest", *WHOLE_SUITE)
    run(interpreter, "-m", "coverage", "combine", "--quiet")
    return failed or run(interpreter, "-m", "coverage", "report")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
