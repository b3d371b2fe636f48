"""What every test starts from: no client, no MBUZZ_* variables, a backend if asked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from mbuzz import api, guard
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.server import bootstrap
from mbuzz.server.app import Application, create_app
from mbuzz.server.bootstrap import FirstStart
from mbuzz.server.http.wsgi_server import WSGIServer
from mbuzz.server.settings import ServerSettings
from mbuzz.server.storage.port import Storage

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent

# Half as many examples, no folder of its own, and no complaint about a slow machine.
hypothesis.settings.register_profile(
    "mbuzz", max_examples=50, database=None, deadline=None
)
hypothesis.settings.load_profile("mbuzz")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the MBUZZ_* variables of whoever runs the tests.

    What the plugin does for the suites of others is done here, plugin or not: no
    client reaches the network that does not ask for it by `network=True`.
    """
    for name in [name for name in os.environ if name.startswith("MBUZZ_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MBUZZ_NETWORK", "off")


@pytest.fixture(autouse=True)
def no_default_client() -> Iterator[None]:
    """Leave no default client, and no report that is still quiet, to the next test."""
    yield
    left = api.swap(None)
    api.use(None)  # the environment may be asked again
    if left is not None:
        left.close(timeout=0.0)
    guard._reported.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The bundled backend, served on a free port of loopback."""

    url: str  # http://127.0.0.1:54321, without a path
    api_key: str
    app: Application
    storage: Storage
    first: FirstStart


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    """Serve a new, empty backend; a client of it needs `network=True`."""
    app = create_app(ServerSettings(database=str(tmp_path / "mbuzz.db")))
    first = bootstrap.prepare(app.storage, SYSTEM_CLOCK)
    assert first is not None
    server = WSGIServer(app)
    server.start()
    try:
        yield Backend(
            url=server.url,
            api_key=first.api_key,
            app=app,
            storage=app.storage,
            first=first,
        )
    finally:
        server.shutdown(grace=1.0)
        app.close()


@pytest.fixture
def run_python() -> Callable[..., str]:
    """Return a function that runs code in a new interpreter and gives its output.

    What the code prints to stderr makes the test fail. One that is not *measured* is
    not changed by the measuring of coverage, which imports and writes.
    """

    def run(
        code: str,
        *arguments: object,
        options: tuple[str, ...] = (),
        measured: bool = True,
    ) -> str:
        path = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
        done = subprocess.run(
            [sys.executable, *options, "-c", f"{path}\n{code}", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={
                name: value
                for name, value in os.environ.items()
                if measured or not name.startswith("COV")
            },
        )
        assert (done.stderr, done.returncode) == ("", 0)
        return done.stdout

    return run
