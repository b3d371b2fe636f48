"""One request as servers of WSGI and ASGI send it, and what must come of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote

from mbuzz.context import current
from tests.web.visits import NAVIGATION, RETURNING, SESSION, VISITOR, environ

HTML = [("Content-Type", "text/html; charset=utf-8")]
JSON = [("Content-Type", "application/json")]
AGES = {"_mbuzz_vid": "31536000", "_mbuzz_sid": "1800"}
MARKS = ("status", "redirect", "bot", "prefetch", "ip")
PEER = "10.1.2.3"


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a browser asks, what the site answers, and what mbuzz makes of it."""

    options: dict[str, Any] = field(default_factory=dict)  # of `mbuzz.configure`
    earlier: tuple[Case, ...] = ()  # requests of others, served before
    headers: dict[str, str] = field(default_factory=lambda: dict(NAVIGATION))
    method: str = "GET"
    path: str = "/"
    query: str = ""
    cookie: str = ""
    host: str = "shop.example"
    scheme: str = "https"
    sends: object = None  # the JSON of the request's body
    status: int = 200
    answer: list[tuple[str, str]] = field(default_factory=lambda: list(HTML))
    chunks: tuple[bytes, ...] = (b"hello",)
    streamed: bool = False
    does: Callable[[], object] = lambda: None  # the site's code, in the view
    views: tuple[str, ...] = ()  # URLs
    marks: dict[str, object] = field(default_factory=dict)  # their `MARKS`
    cookies: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()  # those of `cookies` that the browser must drop
    twins: tuple[str, ...] = ()  # those that it drops of the host alone, too
    renewed: bool = False  # the visitor and session are others than before
    tracked: bool = False  # "Seen", by the site's code or the page's script
    first: str | None = None  # the name of what is sent first
    user: str | None = None  # of all events
    told: bool = False  # the page's script learns that its view is counted
    replies: dict[str, object] | None = (
        None  # what JSON of ours says, instead of chunks
    )

    @property
    def body(self) -> bytes:
        """Return the request's body."""
        return b"" if self.sends is None else json.dumps(self.sends).encode()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    earlier: tuple[Answer, ...] = ()  # to others

    def values(self, name: str) -> list[str]:
        """Return all headers of that name."""
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def cookies(self) -> dict[str, Any]:
        """Return mbuzz's cookies, without the `twins` of those with a domain."""
        return {morsel.key: morsel for morsel in self._ours()}

    @property
    def twins(self) -> tuple[str, ...]:
        """Return the names of those that are taken from the host alone, too."""
        found = self._ours()
        last = self.cookies.values()
        twins = [one for one in found if one not in last]
        assert len(found) == len(last) + len(twins), "a cookie twice"
        for morsel in twins:
            assert (morsel.value, morsel["max-age"], morsel["domain"]) == ("", "0", "")
        return tuple(morsel.key for morsel in twins)

    def _ours(self) -> list[Any]:
        return [
            morsel
            for line in self.values("set-cookie")
            for morsel in SimpleCookie(line).values()
            if morsel.key.startswith("_mbuzz")
        ]


def check(case: Case, answer: Answer, events: Any) -> None:
    """Assert that *case* came out as the table says."""
    others = {a.cookies["_mbuzz_vid"].value for a in answer.earlier if a.cookies}
    ours = [event for event in events if event.get("visitor_id") not in others]
    tracked = [event for event in ours if event["type"] == "track"]
    views = [event for event in tracked if event["event_type"] == "page_view"]
    cookies = answer.cookies

    assert answer.status == case.status
    _check_body(case, answer)
    assert tuple(view["properties"]["url"] for view in views) == case.views
    for view in views:
        found = {k: v for k, v in view["properties"].items() if k in MARKS}
        assert found == case.marks
    assert [event["event_type"] for event in tracked].count("Seen") == case.tracked
    if case.first is not None:
        assert tracked[0]["event_type"] == case.first
    assert {event.get("user_id") for event in ours} <= {case.user}
    assert tuple(cookies) == case.cookies
    assert answer.twins == case.twins
    for name, morsel in cookies.items():
        gone = name in case.expired
        age = "0" if gone else AGES[name]
        said = morsel["httponly"], morsel["samesite"], morsel["path"], morsel["max-age"]
        assert said == (True, "Lax", "/", age)
        assert (morsel.value == "") == gone
        assert bool(morsel["secure"]) == _is_secure(case)
        assert morsel["domain"] == case.options.get("cookie_domain", "")
    _check_identity(case, cookies, ours)
    assert answer.values("server-timing") == ["mbuzz"] * case.told
    assert answer.values("vary") == []
    assert current() is None


def _is_secure(case: Case) -> bool:
    said = case.options.get("cookie_secure", "auto")
    return case.scheme == "https" if said == "auto" else bool(said)


def _check_body(case: Case, answer: Answer) -> None:
    if case.replies is not None:
        said = json.loads(answer.body)
        assert {name: said.get(name) for name in case.replies} == case.replies
        assert answer.values("cache-control") == ["no-store"]
        return
    assert answer.body == (b"" if case.method == "HEAD" else b"".join(case.chunks))
    assert {(name.lower(), value) for name, value in case.answer} <= {
        (name.lower(), value) for name, value in answer.headers
    }


def _check_identity(
    case: Case, cookies: dict[str, Any], events: list[dict[str, Any]]
) -> None:
    """Assert that cookies and events say the same, and who it is."""
    live = {name: m.value for name, m in cookies.items() if name not in case.expired}
    known = {} if case.renewed else _known(case)
    for name, value in live.items():
        assert known.get(name, value) == value
        if case.renewed:
            assert value not in (VISITOR, SESSION)
    now = {**known, **live}
    for event in events:
        if "_mbuzz_vid" in now:
            assert event["visitor_id"] == now["_mbuzz_vid"]
        if "_mbuzz_sid" in now:
            assert event["session_id"] == now["_mbuzz_sid"]


def _known(case: Case) -> dict[str, str]:
    if case.cookie.endswith(f"_mbuzz_vid={VISITOR}"):  # without a session
        return {"_mbuzz_vid": VISITOR}
    both = {"_mbuzz_vid": VISITOR, "_mbuzz_sid": SESSION}
    return both if RETURNING in case.cookie else {}


def wsgi_environ(case: Case) -> dict[str, Any]:
    """Return *case* as a WSGI server would."""
    found = environ(
        case.headers,
        method=case.method,
        path=case.path,
        query=case.query,
        cookie=case.cookie,
        host=case.host,
        scheme=case.scheme,
        body=case.body,
    )
    if case.body:
        found |= {
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(case.body)),
        }
    return {**found, "REMOTE_ADDR": PEER}


def call_wsgi(app: Callable[..., Any], case: Case) -> Answer:
    """Serve *case* as a WSGI server does."""
    earlier = tuple(call_wsgi(app, other) for other in case.earlier)
    started: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        started.append((status, list(headers)))
        return written.append

    body = app(wsgi_environ(case), start_response)
    try:
        written.extend(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    status, headers = started[-1]
    return Answer(
        status=int(status[:3]),
        headers=headers,
        body=b"".join(written),
        earlier=earlier,
    )


def asgi_scope(case: Case) -> dict[str, Any]:
    """Return *case* as an ASGI server would, each cookie in a header of its own."""
    headers = [(b"host", case.host.encode())]
    headers += [(k.lower().encode(), v.encode()) for k, v in case.headers.items()]
    headers += [(b"cookie", part.encode()) for part in case.cookie.split("; ") if part]
    if case.body:
        headers += [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(case.body)).encode()),
        ]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "2",
        "method": case.method,
        "scheme": case.scheme,
        "path": case.path,
        "raw_path": quote(case.path).encode(),
        "root_path": "",
        "query_string": case.query.encode(),
        "headers": headers,
        "client": (PEER, 50_000),
        "server": ("10.0.0.1", 80),
    }


async def acall_asgi(app: Callable[..., Any], case: Case) -> Answer:
    """Serve *case* as an ASGI server does, the body in two pieces."""
    earlier = [await acall_asgi(app, other) for other in case.earlier]
    sent: list[dict[str, Any]] = []
    gone = asyncio.Event()
    half = len(case.body) // 2
    received = [{"type": "http.request", "body": case.body[half:], "more_body": False}]
    if half:
        piece = {"type": "http.request", "body": case.body[:half], "more_body": True}
        received.append(piece)

    async def receive() -> dict[str, Any]:
        if received:
            return received.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            gone.set()  # as servers say of a response that is complete

    await app(asgi_scope(case), receive, send)
    start = next(message for message in sent if message["type"].endswith(".start"))
    return Answer(
        status=start["status"],
        headers=[
            (k.decode("latin-1"), v.decode("latin-1")) for k, v in start["headers"]
        ],
        body=b"".join(message.get("body", b"") for message in sent),
        earlier=tuple(earlier),
    )


def call_asgi(app: Callable[..., Any], case: Case) -> Answer:
    """Serve *case* in an event loop of its own."""
    return asyncio.run(acall_asgi(app, case))
