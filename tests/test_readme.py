"""The README says what is true: its commands, its code and its tables."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue

import pytest

import mbuzz
from mbuzz.cli.main import main, parser
from mbuzz.config import Config
from mbuzz.delivery.spool import Spool
from mbuzz.web.request import EnvironRequest
from mbuzz.web.script import session_script

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PYTHON = [
    re.sub(r"^ {3}", "", code, flags=re.M) for kind, code in BLOCKS if kind == "python"
]
SHELL = [
    line.strip().partition("#")[0].strip()
    for kind, code in BLOCKS
    if kind == "sh"
    for line in code.splitlines()
]


def test_the_first_two_commands_are_demo_and_tests():
    assert SHELL[:2] == ["python3 -m mbuzz demo", "python3 -m tests"]


def test_ci_calls_exactly_the_test_command():
    assert "\npython3 -m tests\n" in (ROOT / ".ci" / "run").read_text("utf-8")


@pytest.mark.parametrize(
    "line",
    [line for line in SHELL if re.match(r"(python3 -m )?mbuzz ", line)],
)
def test_mbuzz_commands_parse(line):
    words = shlex.split(line.removeprefix("python3 -m "))

    args = parser().parse_args(words[1:])

    assert callable(args.run)


@pytest.mark.parametrize("code", PYTHON)
def test_python_blocks_compile(code):
    compile(code, "README.md", "exec")


def test_the_first_block_runs(mbuzz_events):
    exec(compile(PYTHON[0], "README.md", "exec"), {})

    mbuzz_events.assert_tracked("Signup", user_id="42", properties={"plan": "pro"})


def python(part: str) -> str:
    """Return the one Python block that has *part*."""
    (code,) = [code for code in PYTHON if part in code]
    return code


def run(code: str, **names: object) -> dict[str, object]:
    """Run a block beside *names* and return what it has defined."""
    scope: dict[str, object] = {"mbuzz": mbuzz, **names}
    exec(compile(code, "README.md", "exec"), scope)
    return scope


def test_a_job_runs_as_the_visitor_who_caused_it(mbuzz_events):
    jobs: SimpleQueue[dict[str, object]] = SimpleQueue()
    shop = run(python("mbuzz.carrier()"), jobs=jobs)

    with mbuzz.context_scope(visitor_id="visitor-1"):
        shop["check_out"](17)
    shop["send_invoice"](jobs.get_nowait())

    mbuzz_events.assert_tracked(
        "Invoice Sent", visitor_id="visitor-1", properties={"order_id": 17}
    )


def test_the_business_event_is_tracked(mbuzz_events):
    run(python("business.event("))

    mbuzz_events.assert_tracked(
        "profile.updated",
        user_id="42",
        properties={"subject": {"type": "profile", "id": 7}},
    )


def test_the_declared_events_pass_their_own_checks(tmp_path):
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "events.py").write_text(python("catalog.Event"), "utf-8")
    (shop / "views.py").write_text(
        'from shop.events import Purchase, Signup\n\nSignup(plan="pro").track()\n'
        'Purchase(items=2).record(revenue="9.90", currency="USD")\n',
        "utf-8",
    )
    lines = [line for line in SHELL if line.startswith("mbuzz events ")]

    done = [
        subprocess.run(
            [sys.executable, "-m", *shlex.split(line)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for line in lines
    ]

    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 3
    assert "A visitor made an account." in done[0].stdout
    assert "never used" not in done[2].stdout


def test_the_spool_is_set_up_and_looked_after(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MBUZZ_API_KEY", "sk_test_" + "0" * 32)
    monkeypatch.setenv("MBUZZ_SPOOL_DIR", str(tmp_path))
    (folder,) = re.findall(r"MBUZZ_SPOOL_DIR=(\S+)", README)
    run(python("durable=True").replace(folder, str(tmp_path)))
    spool = Spool(str(tmp_path), "somewhere")
    spool.bury([b'{"type":"track"}'], "http_401")
    spool.close()
    listing, _, _, purge = [
        shlex.split(line)[1:] for line in SHELL if line.startswith("mbuzz spool ")
    ]

    assert mbuzz.default_client().config.durable
    assert mbuzz.default_client().config.spool_dir == str(tmp_path)
    assert main(listing) == 0
    assert "http_401: 1" in capsys.readouterr().out
    assert main(purge) == 0
    assert capsys.readouterr().out == "removed 1 dead letter\n"


def test_the_counters_add_up(mbuzz_events):
    mbuzz.track("Signup", user_id="42")

    run(python("mbuzz.stats()"))


def test_the_health_endpoint_answers(mbuzz_events):
    flask = pytest.importorskip("flask")
    app = flask.Flask("shop")
    run(python("mbuzz.health()"), app=app)

    answer = app.test_client().get("/health/tracking")

    assert (answer.status_code, answer.json) == (200, {"status": "ok", "reason": None})


def test_the_functions_of_the_host_are_asked(mbuzz_events):
    scope = run(python("before_send="))

    mbuzz.track("Signup", user_id="1", properties={"role": "staff"})
    mbuzz.track("Signup", user_id="2")
    scope["lost"]("expired", [{}])
    scope["failed"]("http_503")

    assert [event["user_id"] for event in mbuzz_events] == ["2"]
    assert mbuzz.stats().left_out == {"before_send": 1}


def test_what_the_project_calls_secret_is_redacted(mbuzz_events, monkeypatch):
    monkeypatch.setenv("MBUZZ_API_KEY", "sk_test_" + "0" * 32)
    run(python("redact_keys="))
    said = {"loyaltyNumber": 7, "card_type": "visa", "note": "see CASE-12"}

    mbuzz.track("Signup", user_id="1", properties=said)

    mbuzz_events.assert_tracked(
        "Signup",
        properties={
            "loyaltyNumber": "[redacted]",
            "card_type": "visa",
            "note": "see [redacted]",
        },
    )


def test_the_script_for_cached_pages_is_the_one_that_is_tested():
    (shown,) = [code for kind, code in BLOCKS if kind == "html"]

    assert shown == f"<script>\n{session_script()}\n</script>\n"


def test_the_consent_function_answers(monkeypatch):
    monkeypatch.setenv("MBUZZ_API_KEY", "sk_test_" + "0" * 32)
    consent = run(python("def consent(request)"))["consent"]
    answers = [
        consent(EnvironRequest({"HTTP_COOKIE": f"a=1; cookie_consent={said}"}))
        for said in ("yes", "no", "maybe")
    ]

    assert answers == [True, False, None]


def test_the_table_of_options_is_complete():
    table = README.partition("| option |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines() for name in _names(row)}

    assert named == set(Config.fields())


def _names(row: str) -> list[str]:
    first = row.strip("|").partition("|")[0]
    return re.findall(r"`(\w+)`", first)


def test_the_table_of_calls_names_public_functions():
    table = README.partition("| call |")[2].partition("\n\n")[0]
    called = {
        name
        for row in table.splitlines()
        for name in re.findall(r"`(\w+)(?:\(|`)", row.split("|")[1])
    }

    assert called <= set(mbuzz.__all__)
    assert {"track", "page", "identify", "alias", "conversion", "flush"} <= called


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_the_picture_of_the_house_has_every_room_of_the_sdk():
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text("utf-8")
    (picture,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    sdk = ROOT / "mbuzz"
    rooms = {
        path.stem
        for path in [*sdk.glob("*"), *sdk.glob("delivery/*"), *sdk.glob("web/*")]
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }

    assert rooms - {"__init__", "__main__"} <= set(re.findall(r"\w+", picture))


def test_the_benchmarks_that_are_named_are_there():
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"python3 -m tests\.benchmarks\.(\w+)", text)

    assert named
    for name in named:
        assert (ROOT / "tests" / "benchmarks" / f"{name}.py").exists(), name


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (ROOT / "tests" / "benchmarks").glob("*.py"))
)
def test_every_benchmark_still_fits_what_it_measures(name):
    importlib.import_module(f"tests.benchmarks.{name}")


def test_the_changelog_is_about_this_version():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")

    assert f"## [{mbuzz.__version__}]" in text or "## [Unreleased]" in text
