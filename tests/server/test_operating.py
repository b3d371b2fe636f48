"""The page for operators: its unit, container and commands are real."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from importlib import resources

import pytest

from mbuzz.cli.main import parser
from mbuzz.server.settings import load
from tests.processes import PATIENCE

PAGE = resources.files("mbuzz.server").joinpath("docs/operating.md").read_text("utf-8")
COMMANDS = "serve|keys|users|db|jobs"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def block(kind):
    (found,) = [text for name, text in BLOCKS if name == kind]
    return found


def instructions():
    """Return the container file's instructions: [(word, arguments)]."""
    return [tuple(line.split(" ", 1)) for line in block("dockerfile").splitlines()]


def instruction(word):
    (found,) = [rest for name, rest in instructions() if name == word]
    return found


def unit():
    found = ConfigParser(strict=False, interpolation=None)
    found.optionxform = str
    found.read_string(block("ini"))
    return found


def variables(text):
    return dict(re.findall(r"(MBUZZ_SERVER_\w+)=([^\s`]+)", text))


@pytest.mark.parametrize(
    "line",
    [
        line
        for kind, text in BLOCKS
        for line in text.splitlines()
        if kind in ("sh", "crontab") and re.search(rf"\bmbuzz ({COMMANDS})\b", line)
    ],
)
def test_commands_parse(line):
    words = shlex.split(line)
    at = next(i for i, word in enumerate(words) if word in COMMANDS.split("|"))

    assert words[at - 1].rpartition("/")[2] == "mbuzz"
    assert callable(parser().parse_args(words[at:]).run)


def test_variables_are_options_that_can_work():
    found = variables(PAGE)

    assert len(found) >= 6
    assert load(found).warnings == ()


def test_unit_starts_the_server_and_waits_for_its_end():
    service = unit()["Service"]
    settings = load(variables(block("ini"))).settings

    words = shlex.split(service["ExecStart"])
    assert words[0].endswith("/mbuzz")
    assert callable(parser().parse_args(words[1:]).run)
    assert int(service["TimeoutStopSec"]) > settings.stop_timeout
    assert settings.database.startswith(f"/var/lib/{service['StateDirectory']}/")


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed"
)
def test_systemd_takes_the_unit(tmp_path):
    path = tmp_path / "mbuzz.service"
    here = f"{sys.executable} -m mbuzz"
    path.write_text(block("ini").replace("/opt/mbuzz/bin/mbuzz", here), "utf-8")

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    said = [line for line in done.stderr.splitlines() if "mbuzz" in line]
    assert said == []


def test_container_runs_the_server_as_nobody_special():
    words = [word for word, _ in instructions()]
    command = json.loads(instruction("ENTRYPOINT")) + json.loads(instruction("CMD"))
    settings = load(variables(instruction("ENV"))).settings

    assert set(words) <= {
        *("FROM", "COPY", "RUN", "USER", "VOLUME", "ENV", "EXPOSE", "STOPSIGNAL"),
        *("HEALTHCHECK", "ENTRYPOINT", "CMD"),
    }
    assert command[0] == "mbuzz"
    assert callable(parser().parse_args(command[1:]).run)
    assert instruction("USER") == "mbuzz"
    assert words.index("RUN") < words.index("USER") < words.index("ENTRYPOINT")
    assert settings.port == int(instruction("EXPOSE"))
    (volume,) = json.loads(instruction("VOLUME"))
    assert settings.database.startswith(f"{volume}/")


def test_health_check_of_the_container_asks_the_server():
    check = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    port = instruction("EXPOSE")

    assert check[:2] == ["python", "-c"]
    compile(check[2], "HEALTHCHECK", "exec")
    assert f"http://127.0.0.1:{port}/health" in check[2]


def test_every_metric_is_explained(caller):
    shown = caller(metrics="all").send("GET", "/metrics").body.decode()
    names = set(re.findall(r"^# TYPE (\w+)", shown, re.MULTILINE))

    assert names
    assert names <= set(re.findall(r"mbuzz_\w+", PAGE))
