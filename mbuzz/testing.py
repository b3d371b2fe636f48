"""For the tests of programs that use mbuzz: capture events, and assert on them."""

from __future__ import annotations

import difflib
import io
import json
import pprint
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import Any

from mbuzz import api, protocol, serialization
from mbuzz.client import Client
from mbuzz.config import Config
from mbuzz.delivery import worker
from mbuzz.delivery.queue import Answer, Item
from mbuzz.delivery.transport import Response

Captured = dict[str, Any]

_TEST_KEY = "sk_test_" + "0" * 32


class CapturedEvents(list[Captured]):
    """What was sent while capturing, oldest first, as it would go over the wire.

    Every item went through the same checks, redaction and encoding as a real one.
    """

    def tracked(self, event: str | None = None) -> list[Captured]:
        """Return the events, all or those of one name."""
        return [
            item
            for item in self
            if item["type"] == protocol.TRACK
            and (event is None or item["event_type"] == event)
        ]

    def page_views(self) -> list[Captured]:
        """Return the page views."""
        return self.tracked(protocol.PAGE_VIEW)

    def identified(self) -> list[Captured]:
        """Return the identify calls."""
        return [item for item in self if item["type"] == protocol.IDENTIFY]

    def conversions(self, conversion_type: str | None = None) -> list[Captured]:
        """Return the conversions, all or those of one type."""
        return [
            item
            for item in self
            if item["type"] == protocol.CONVERSION
            and conversion_type in (None, item["conversion_type"])
        ]

    def assert_tracked(
        self,
        event: str,
        *,
        user_id: str | int | None = None,
        visitor_id: str | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> Captured:
        """Return the first event of that name that has (at least) what is named.

        Raises:
            AssertionError: If there is none; the text shows the nearest one.
        """
        wanted: Captured = {"type": protocol.TRACK, "event_type": event}
        return self._find(wanted, user_id, visitor_id, properties=properties)

    def assert_not_tracked(self, event: str | None = None) -> None:
        """Assert that no event of that name, or none at all, was captured.

        Raises:
            AssertionError: If there is one; the text shows it.
        """
        found = self.tracked(event)
        if found:
            name = repr(event) if event is not None else "anything"
            raise AssertionError(
                f"expected {name} not to be tracked, but it was, {len(found)} times:\n"
                f"{pprint.pformat(found[0])}"
            )

    def assert_identified(
        self,
        user_id: str | int,
        *,
        visitor_id: str | None = None,
        traits: Mapping[str, object] | None = None,
    ) -> Captured:
        """Return the first identify call that has (at least) what is named.

        Raises:
            AssertionError: If there is none; the text shows the nearest one.
        """
        wanted: Captured = {"type": protocol.IDENTIFY}
        return self._find(wanted, user_id, visitor_id, traits=traits)

    def assert_converted(
        self,
        conversion_type: str,
        *,
        user_id: str | int | None = None,
        visitor_id: str | None = None,
        revenue: Decimal | float | str | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> Captured:
        """Return the first conversion that has (at least) what is named.

        Raises:
            AssertionError: If there is none; the text shows the nearest one.
        """
        wanted: Captured = {
            "type": protocol.CONVERSION,
            "conversion_type": conversion_type,
        }
        if revenue is not None:
            wanted["revenue"] = _Amount(revenue)
        return self._find(wanted, user_id, visitor_id, properties=properties)

    def _find(
        self,
        wanted: Captured,
        user_id: str | int | None,
        visitor_id: str | None,
        **nested: Mapping[str, object] | None,
    ) -> Captured:
        if user_id is not None:
            wanted["user_id"] = str(user_id)
        if visitor_id is not None:
            wanted["visitor_id"] = visitor_id
        wanted |= {name: dict(value) for name, value in nested.items() if value}
        for item in self:
            if _contains(item, wanted):
                return item
        raise AssertionError(_explain(wanted, self))


class _Amount:
    """Compares money by value: 9.9 is "9.90"."""

    def __init__(self, value: Decimal | float | str) -> None:
        self._value = Decimal(str(value))

    def __eq__(self, other: object) -> bool:
        try:
            return isinstance(other, str) and Decimal(other) == self._value
        except InvalidOperation:
            return False

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return repr(str(self._value))


def _contains(item: Any, wanted: Any) -> bool:
    """Tell whether *item* has everything in *wanted*, at any depth."""
    if isinstance(wanted, dict):
        return isinstance(item, dict) and all(
            name in item and _contains(item[name], value)
            for name, value in wanted.items()
        )
    return bool(wanted == item) or bool(_encoded(wanted) == item)


def _encoded(value: object) -> object:
    """Return *value* as an event holds it: a Decimal as text, a tuple as a list."""
    body = serialization.encode({"properties": {"value": value}}, redact=False)
    return json.loads(body)["properties"]["value"]


def _explain(wanted: Captured, items: Iterable[Captured]) -> str:
    """Show what was wanted beside the captured item that comes nearest."""
    target = pprint.pformat(
        {k: _encoded(v) if isinstance(v, dict) else v for k, v in wanted.items()}
    )
    name = wanted.get("event_type") or wanted.get("conversion_type") or wanted["type"]
    candidates = [item for item in items if item["type"] == wanted["type"]] or [*items]
    if not candidates:
        return f"expected {name!r}, but nothing was captured"
    same_name = [item for item in candidates if name in item.values()]

    def likeness(item: Captured) -> float:
        return difflib.SequenceMatcher(None, target, pprint.pformat(item)).ratio()

    nearest = max(same_name or candidates, key=likeness)
    shown = {name: value for name, value in nearest.items() if name in wanted}
    lines = difflib.unified_diff(
        target.splitlines(),
        pprint.pformat(shown).splitlines(),
        "expected",
        "nearest captured",
        lineterm="",
        n=20,
    )
    return f"no captured item matches {name!r}\n" + "\n".join(lines)


@contextmanager
def capture() -> Iterator[CapturedEvents]:
    """Capture what every client of the process sends, and send none of it.

    Works across threads and for code that has not been configured.
    """
    events = CapturedEvents()

    def take(item: Item) -> Answer:
        events.append(json.loads(item.body))
        return Answer(delivered=True)

    outer, worker.intercept = worker.intercept, take
    client = api.current_client()
    stand_in: Client | None = None
    if client is None or not client.config.enabled:
        stand_in = Client(Config(api_key=_TEST_KEY, enabled=True))
        api.swap(stand_in)
    try:
        yield events
    finally:
        worker.intercept = outer
        if stand_in is not None and api.current_client() is stand_in:
            api.swap(client)  # unless the code that was tested configured its own


class ManualClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic = 1_000.0

    def now_ms(self) -> int:
        """Return the wall-clock time in UTC milliseconds since 1970."""
        return self._now_ms

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self._now_ms += round(seconds * 1000)
        self._monotonic += seconds


class WSGITransport:
    """Sends the real bytes into a WSGI application, without a socket.

    ``Client(config, transport=lambda: WSGITransport(create_app(settings)))``
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def post(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: float,  # noqa: ARG002 - the port's
    ) -> Response:
        """Call the application and return its answer; *timeout* has no meaning here."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": f"{protocol.API_PREFIX}{path}",
            "QUERY_STRING": "",
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        answered: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, fields: list[tuple[str, str]], *_: object) -> None:
            answered.append((status, fields))

        chunks = b"".join(self._app(environ, start))
        status, fields = answered[-1]
        found: dict[str, tuple[str, ...]] = {}
        for name, value in fields:
            found[name.lower()] = (*found.get(name.lower(), ()), value)
        return Response(status=int(status[:3]), headers=found, body=chunks)

    def close(self) -> None:
        """Do nothing: there is no connection."""
