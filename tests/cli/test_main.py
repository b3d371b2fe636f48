"""`mbuzz`: finds its commands, and fails with one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mbuzz import __version__
from mbuzz.cli import report
from mbuzz.cli.main import main


def test_version():
    run = subprocess.run(
        [sys.executable, "-m", "mbuzz", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout == f"mbuzz {__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        *[[name, "--help"] for name in "demo serve keys validate report".split()],
        ["report", "channels", "--help"],
        ["keys", "create", "--help"],
    ],
)
def test_help(mbuzz, argv):
    exit_code, out, err = mbuzz(*argv)

    assert (exit_code, err) == (0, "")
    assert out.startswith("usage: mbuzz")


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["sell"], "invalid choice: 'sell'"),
        (
            ["serve", "--port", "http"],
            "--port must be a whole number from 0 to 65535, got 'http'",
        ),
        (["keys"], "the following arguments are required: ACTION"),
        (["keys", "revoke"], "the following arguments are required: KEY_ID"),
        (["keys", "create", "--live", "--test"], "not allowed with argument --live"),
        (["report"], "the following arguments are required: REPORT"),
    ],
)
def test_wrong_usage_is_2(mbuzz, argv, complaint):
    exit_code, out, err = mbuzz(*argv)

    assert (exit_code, out) == (2, "")
    assert complaint in err


def raising(error):
    def run(args):
        raise error

    return run


def test_ctrl_c_is_130(mbuzz, monkeypatch):
    monkeypatch.setattr(report, "run", raising(KeyboardInterrupt()))

    assert mbuzz("report", "channels") == (130, "", "\n")


def test_reader_that_has_had_enough_is_no_error(monkeypatch):
    monkeypatch.setattr(report, "run", raising(BrokenPipeError()))

    assert main(["report", "channels"]) == 0


def test_pipe_that_closes_early_ends_without_a_word(backend):
    script = f"""
import os, subprocess, sys
reader, writer = os.pipe()
os.close(reader)
run = subprocess.run(
    [sys.executable, "-m", "mbuzz", "report", "channels",
     "--api-key", {backend.api_key!r}, "--api-url", {backend.url + "/api/v1"!r}],
    stdout=writer, stderr=subprocess.PIPE,
)
print(run.returncode, run.stderr)
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert run.stdout == "0 b''\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_under_the_output_is_one_sentence(unbuffered):
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "mbuzz", "classify", "--url", "https://a.example/"],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            text=True,
            check=False,
        )

    assert run.returncode == 1
    assert run.stderr == "mbuzz classify: the system says: No space left on device\n"


def test_reader_that_has_had_enough_is_no_failure():
    with subprocess.Popen(
        [sys.executable, "-m", "mbuzz", "classify", "--url", "https://a.example/"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    ) as run:
        run.stdout.close()  # before anything is written
        err = run.stderr.read()

    assert (run.returncode, err) == (0, b"")
