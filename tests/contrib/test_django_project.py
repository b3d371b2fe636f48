"""A real project: its `manage.py check`, and its own tests."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import environment

PROJECT = Path(__file__).parent / "django_project"
KEY = "sk_test_" + "0" * 32


@pytest.fixture
def manage(tmp_path):
    """Return a function that runs `manage.py` in a copy of the project."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__"))

    def run(*arguments, **variables):
        done = subprocess.run(
            [sys.executable, "-W", "error", "manage.py", *arguments],
            cwd=folder,
            env=environment(
                DJANGO_SETTINGS_MODULE="settings", MBUZZ_NETWORK="off", **variables
            ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_check_of_a_good_project_is_silent(manage):
    status, said = manage("check", "--fail-level", "WARNING", KEY=KEY)

    assert status == 0, said
    assert "no issues" in said


def test_check_finds_a_wrong_order(manage):
    status, said = manage("check", "--tag", "mbuzz", KEY=KEY, ORDER="wrong")

    assert status == 0, said
    assert "(mbuzz.W002)" in said
    assert "UpdateCacheMiddleware" in said
    assert 'HINT: Move "mbuzz.contrib.django.MbuzzMiddleware" to the top' in said


def test_check_warns_of_a_missing_key_and_fails_for_an_odd_one(manage):
    missing, said = manage("check")
    assert missing == 0, said
    assert "(mbuzz.E001)" in said

    odd, said = manage("check", KEY="pk_live_secret")
    assert odd == 1, said
    assert "SystemCheckError" in said
    assert "pk_live_secret" not in said


def test_app_needs_no_migrations(manage):
    status, said = manage("makemigrations", "mbuzz", "--check", KEY=KEY)

    assert status == 0, said
    assert "No changes detected" in said


@pytest.mark.parametrize(
    "variables", [{"KEY": KEY}, {}, {"OFF": "1"}], ids=["key", "no key", "off"]
)
def test_projects_own_tests_pass_in_parallel(manage, variables):
    status, said = manage("test", "--parallel", "2", **variables)

    assert status == 0, said
    assert "OK" in said
