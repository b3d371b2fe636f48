"""The page without data says what the README says, and which key fills it."""

from pathlib import Path

import pytest

from mbuzz.server.dashboard.getting_started import getting_started

README = Path(__file__).parents[3] / "README.md"


def page(*, live):
    return str(getting_started(server="https://stats.example", live=live))


@pytest.mark.parametrize(
    "line",
    [
        "mbuzz.contrib.django.MbuzzMiddleware",
        "from mbuzz.contrib.flask import Mbuzz",
        "from mbuzz.contrib.asgi import MbuzzMiddleware",
        "from mbuzz.contrib.wsgi import MbuzzMiddleware",
    ],
)
def test_middleware_has_the_names_of_the_readme(line):
    assert line in page(live=True)
    assert line in README.read_text("utf-8")


def test_live_page_says_that_the_first_key_is_a_test_key():
    text = page(live=True)

    assert "mbuzz keys create --live" in text
    assert 'href="/?env=test"' in text
    assert "--live" not in page(live=False)
