"""The site under real servers, alone and behind a real nginx."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.processes import PATIENCE, ROOT, Backend, process, unmeasured, wait_for

ADDRESS = re.compile(r"https?://127\.0\.0\.1:\d+")
GUNICORN = ("-m", "gunicorn", "--bind=127.0.0.1:0", "--worker-class=gthread")
UVICORN = ("-m", "uvicorn", "--port=0", "--log-level=info", "--no-access-log")
DJANGO = "tests.browser.sites.django_site"
STACKS = {
    "flask": (*GUNICORN, "--threads=4", "tests.browser.sites.flask_site:app"),
    "fastapi": (*UVICORN, "tests.browser.sites.fastapi_site:app"),
    "django-wsgi": (
        *GUNICORN,
        "--threads=4",
        "django.core.wsgi:get_wsgi_application()",
    ),
    "django-asgi": (*UVICORN, "--factory", "django.core.asgi:get_asgi_application"),
}
BEHIND = "-nginx"
DIRECT = tuple(STACKS)
ONE_OF_EACH = ("flask", "django-asgi")  # for what does not depend on the adapter
OTHERS_OF_EACH = ("django-wsgi", "fastapi")
PROXIED = tuple(f"{name}{BEHIND}" for name in STACKS)


@dataclass(frozen=True, kw_only=True)
class View:
    """A page view that the backend knows of."""

    path: str  # with its query
    referrer: str | None
    visitor: str
    session: int  # the backend's own number
    proposed: str | None  # the id in the cookie


class Site:
    """A served site, what it was asked, and what the backend knows of it."""

    def __init__(self, url: str, origin: str, requests: Path, backend: Backend) -> None:
        self.url = url
        self.backend = backend
        self._origin = origin  # of the server itself
        self._requests = requests
        self._seen = 0
        self._last_event = 0

    @property
    def is_secure(self) -> bool:
        return self.url.startswith("https:")

    def at(self, url: str) -> Site:
        """Return the same site as its visitors find it behind a proxy."""
        return Site(url, self._origin, self._requests, self.backend)

    def start_afresh(self) -> None:
        """Leave to the past what was asked and recorded until now."""
        self.settle()
        self._seen = len(self._lines())
        self._last_event = self.backend.rows("SELECT max(id) FROM events")[0][0] or 0

    def settle(self) -> None:
        """Return when all that was recorded has arrived at the backend."""
        with urlopen(f"{self._origin}/flush", timeout=PATIENCE) as answer:
            assert answer.read() == b"True"

    def asked(self, path: str = "", **how: object) -> list[dict[str, Any]]:
        """Return the requests for *path*, or all, that came in this way."""
        every = [json.loads(line) for line in self._lines()[self._seen :]]
        return [
            one
            for one in every
            if one["path"] == (path or one["path"])
            and one["path"] != "/flush"
            and how.items() <= one.items()
        ]

    def views(self) -> list[View]:
        """Return the page views, the oldest first."""
        self.settle()
        rows = self.backend.rows(
            "SELECT e.url, e.referrer, v.visitor_id, e.session, e.client_session_id"
            " FROM events e LEFT JOIN visitors v ON v.id = e.visitor"
            f" WHERE e.event_type = 'page_view' AND e.id > {self._last_event}"
            " ORDER BY e.occurred_at_ms, e.id"
        )
        for url, *_ in rows:
            assert url.startswith(f"{self.url}/")
        return [
            View(
                path=url.removeprefix(self.url),
                referrer=referrer,
                visitor=visitor,
                session=session,
                proposed=proposed,
            )
            for url, referrer, visitor, session, proposed in rows
        ]

    def _lines(self) -> list[str]:
        if not self._requests.exists():
            return []
        return self._requests.read_text("utf-8").splitlines()


@contextmanager
def a_site(
    name: str, backend: Backend, folder: Path, libraries: Path
) -> Iterator[Site]:
    """Serve the site with the stack of that *name*."""
    folder.mkdir()
    requests = folder / "requests.log"
    own = unmeasured(
        DJANGO_SETTINGS_MODULE=DJANGO,
        HOME=str(folder),  # newer gunicorns leave a socket there
        MBUZZ_API_KEY=backend.key,
        MBUZZ_API_URL=backend.url,
        MBUZZ_BATCH_INTERVAL="0.05",
        MBUZZ_NETWORK="on",
        SITE_LIBRARIES=str(libraries),
        SITE_LOG=str(requests),
        **({"SITE_ASYNC": "1"} if name == "django-asgi" else {}),
    )
    log = folder / "site.log"
    with process(STACKS[name], ROOT, own, log):
        origin = _address(log)
        yield Site(origin, origin, requests, backend)


@contextmanager
def behind_nginx(site: Site, folder: Path) -> Iterator[Site]:
    """Put a reverse proxy in front of a *site*."""
    folder.mkdir()
    log = folder / "nginx.log"
    command = ("-m", "tests.browser.nginx", str(folder), site.url)
    with process(command, ROOT, unmeasured(), log):
        yield site.at(_address(log))


def _address(log: Path) -> str:
    def found() -> re.Match[str] | None:
        return ADDRESS.search(log.read_text("utf-8", "replace"))

    return wait_for(found, "the server")[0]
