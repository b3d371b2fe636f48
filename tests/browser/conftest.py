"""The browser, the backend and the sites; each is started once, when first needed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import libraries, stacks
from tests.browser.people import Person
from tests.browser.stacks import BEHIND, Site
from tests.processes import Backend, a_backend

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


# Not for the session: as long as the browser runs, so does an event loop in this
# thread, and tests elsewhere have loops of their own.


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Launch the browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if sync_playwright is None or CHROMIUM is None:
        pytest.skip("needs Chromium and the Python package playwright")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Serve the backend, which knows what was recorded."""
    with a_backend(tmp_path_factory.mktemp("backend")) as backend:
        yield backend


@pytest.fixture(scope="package")
def find_site(
    truth: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Site]]:
    """Return a function that serves the site with the stack of a name."""
    folder = tmp_path_factory.mktemp("sites")
    running: dict[str, Site] = {}
    with ExitStack() as stack:

        def find(name: str) -> Site:
            if name in running:
                return running[name]
            own = folder / name
            if name.endswith(BEHIND):
                inner = find(name.removesuffix(BEHIND))
                manager = stacks.behind_nginx(inner, own)
            else:
                manager = stacks.a_site(
                    name, truth, own, libraries.HOME / "node_modules"
                )
            running[name] = stack.enter_context(manager)
            return running[name]

        yield find


@pytest.fixture
def site(
    request: pytest.FixtureRequest, chromium: Browser, find_site: Callable[[str], Site]
) -> Site:
    """Return the site that the test is parametrized with."""
    name: str = request.param
    if name.endswith(BEHIND) and not (
        shutil.which("nginx") and shutil.which("openssl")
    ):
        pytest.skip("needs nginx and openssl")
    found = find_site(name)
    found.start_afresh()
    return found


@pytest.fixture
def meet(chromium: Browser, site: Site) -> Iterator[Callable[[], Person]]:
    """Return a function that makes somebody with a browser of their own."""
    with ExitStack() as stack:

        def make() -> Person:
            person = Person(chromium, site)
            stack.callback(person.close)
            return person

        yield make


@pytest.fixture
def somebody(meet: Callable[[], Person]) -> Person:
    """Return somebody who was never here before."""
    return meet()


@pytest.fixture(scope="package")
def scripts() -> Path:
    """Have the libraries of others."""
    folder = libraries.install()
    if folder is None:
        pytest.skip("needs npm and its registry")
    return folder
