"""The examples work: their own tests, and a whole visit through real servers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.cookies import SimpleCookie
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import requests

from tests.processes import (
    ADDRESS,
    PATIENCE,
    Backend,
    Served,
    a_backend,
    environment,
    process,
    wait_for,
)

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"

BROWSER = {
    "User-Agent": (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/140.0.0.0 Safari/537.36"
    ),
    "Accept": "text/html,application/xhtml+xml",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
LANDING = "/?utm_source=google&utm_medium=cpc&utm_campaign=autumn&gclid=Cj0KCQ"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One way to serve one of the examples."""

    folder: str
    command: tuple[str, ...]
    json: bool = False  # what its forms send


GUNICORN = ("-m", "gunicorn", "--bind=127.0.0.1:0")
UVICORN = ("-m", "uvicorn", "--port=0")
SERVED = {
    "wsgi": Example(folder="wsgi", command=("shop.py",)),
    "flask": Example(folder="flask", command=(*GUNICORN, "shop:create_app()")),
    "django-wsgi": Example(
        folder="django",
        command=(*GUNICORN, "django.core.wsgi:get_wsgi_application()"),
    ),
    "django-asgi": Example(
        folder="django",
        command=(*UVICORN, "--factory", "django.core.asgi:get_asgi_application"),
    ),
    "starlette": Example(folder="starlette", command=(*UVICORN, "shop:app"), json=True),
    "fastapi": Example(folder="fastapi", command=(*UVICORN, "shop:app"), json=True),
}


# -- their own tests --


@pytest.mark.parametrize("folder", ["wsgi", "flask", "django", "starlette", "fastapi"])
def test_example_passes_its_own_tests(folder):
    installed = any(entry.name == "mbuzz" for entry in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "mbuzz.pytest_plugin"]

    run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin)


def test_django_example_passes_its_tests_under_manage_py():
    run("django", "manage.py", "test")


def run(folder: str, *command: str) -> None:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=EXAMPLES / folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


# -- a visit, end to end --


@pytest.mark.parametrize("name", SERVED)
def test_visit_from_an_ad_to_a_purchase_is_attributed(name, tmp_path):
    example = SERVED[name]
    with (
        a_backend(tmp_path) as backend,
        a_shop(example, backend, tmp_path) as shop,
        closing(Browser(shop.url, json=example.json)) as browser,
    ):
        browser.open(LANDING, referrer="https://www.google.com/")
        landed = browser.cookies
        browser.open("/products/shoes")
        browser.submit("/sign-up", user="42", plan="pro")
        for _ in range(2):  # a double click
            browser.submit("/checkout", product="shoes", order="A-1")
        wait_for(lambda: backend.totals()["page_views"] >= browser.pages, "page views")
        report = backend.report()

        assert re.fullmatch(r"[0-9a-f]{64}", landed["_mbuzz_vid"])
        assert browser.cookies == landed
        assert backend.rows("SELECT client_session_id FROM sessions") == [
            (landed["_mbuzz_sid"],)
        ]
        assert browser.pages == 5
        assert report["totals"] == {
            "visits": 1,
            "visitors": 1,
            "page_views": 5,
            "conversions": 1,
            "revenue": "129.90",
            "refunds": "0.00",
            "net_revenue": "129.90",
        }
        assert {
            (row["channel"], model, row["credits"][model]["revenue"])
            for row in report["rows"]
            for model in ("first_touch", "last_touch", "linear")
            if row["visits"] or float(row["credits"][model]["revenue"])
        } == {
            ("paid_search", "first_touch", "129.90"),
            ("paid_search", "last_touch", "129.90"),
            ("paid_search", "linear", "129.90"),
        }
        assert backend.rows(
            "SELECT v.visitor_id, i.user_id FROM links l JOIN visitors v"
            " ON v.id = l.visitor JOIN identities i ON i.id = l.identity"
        ) == [(landed["_mbuzz_vid"], "42")]


class Browser:
    """A browser on one site; it checks each cookie that it is given."""

    def __init__(self, origin: str, *, json: bool) -> None:
        self.pages = 0
        self._origin = origin
        self._json = json
        self._session = requests.Session()
        self._session.headers.update(BROWSER)

    @property
    def cookies(self) -> dict[str, str]:
        """Return those of mbuzz."""
        every = self._session.cookies.get_dict()
        return {name: value for name, value in every.items() if "mbuzz" in name}

    def open(self, path: str, referrer: str = "") -> None:
        with self._session.get(
            self._origin + path,
            headers={"Referer": referrer or self._origin},
            timeout=PATIENCE,
        ) as response:
            self._read(response)

    def submit(self, path: str, **form: str) -> None:
        """Send a form and follow the redirect."""
        token = self._session.cookies.get("csrftoken")
        with self._session.post(
            self._origin + path,
            headers={"X-CSRFToken": token} if token else {},
            data=None if self._json else form,
            json=form if self._json else None,
            timeout=PATIENCE,
        ) as response:
            assert response.history, response.text
            self._read(response)

    def close(self) -> None:
        self._session.close()

    def _read(self, response: requests.Response) -> None:
        assert response.status_code == 200, response.text
        self.pages += 1
        for line in response.raw.headers.getlist("Set-Cookie"):
            for name, cookie in SimpleCookie(line).items():
                if "mbuzz" in name:
                    said = cookie["httponly"], cookie["samesite"], cookie["path"]
                    assert said == (True, "Lax", "/")
                    assert (cookie["secure"], cookie["domain"]) == ("", "")


@contextmanager
def a_shop(example: Example, backend: Backend, folder: Path) -> Iterator[Served]:
    own = environment(
        MBUZZ_API_KEY=backend.key,
        MBUZZ_API_URL=backend.url,
        MBUZZ_NETWORK="on",
        MBUZZ_BATCH_INTERVAL="0.1",
        HOME=str(folder),  # newer gunicorns leave a socket there
    )
    log = folder / "shop.log"
    with process(example.command, EXAMPLES / example.folder, own, log):
        shop = Served(log)
        wait_for(lambda: ADDRESS.search(shop.output), "the shop")
        yield shop
