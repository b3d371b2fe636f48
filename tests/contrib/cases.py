"""One table of requests and responses that every adapter must treat alike."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

import mbuzz
from mbuzz.context import current
from tests.web.visits import (
    FETCH,
    NAVIGATION,
    OLD_BROWSER,
    RETURNING,
    SESSION,
    VISITOR,
    environ,
)

__all__ = ["CASES", "Answer", "Case", "call_asgi", "call_wsgi", "check"]

HTML = [("Content-Type", "text/html; charset=utf-8")]
JSON = [("Content-Type", "application/json")]
BOTH = ("_mbuzz_vid", "_mbuzz_sid")
VID, SID = BOTH[:1], BOTH[1:]
AGES = {"_mbuzz_vid": "31536000", "_mbuzz_sid": "1800"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a browser asks, what the site answers, and what mbuzz makes of it."""

    headers: dict[str, str] = field(default_factory=lambda: dict(NAVIGATION))
    method: str = "GET"
    path: str = "/"
    query: str = ""
    cookie: str = ""
    host: str = "shop.example"
    scheme: str = "https"
    status: int = 200
    answer: list[tuple[str, str]] = field(default_factory=lambda: list(HTML))
    chunks: tuple[bytes, ...] = (b"hello",)
    streamed: bool = False
    does: Callable[[], object] = lambda: None  # the site's code, in the view
    views: tuple[str, ...] = ()  # URLs
    cookies: tuple[str, ...] = ()
    tracked: bool = False  # "Seen", by the site's code


def track() -> None:
    """Do what a site's code does."""
    mbuzz.track("Seen")


def read_session() -> None:
    mbuzz.session_id()


HOME = "https://shop.example/"

CASES = {
    "landing": Case(views=(HOME,), cookies=BOTH),
    "landing with a campaign": Case(
        query="utm_source=x&a=%20b",
        views=(f"{HOME}?utm_source=x&a=%20b",),
        cookies=BOTH,
    ),
    "path beyond ASCII": Case(
        path="/schön/100%", views=(f"{HOME}sch%C3%B6n/100%25",), cookies=BOTH
    ),
    "next page": Case(cookie=RETURNING, views=(HOME,), cookies=SID),
    "new session": Case(cookie=f"_mbuzz_vid={VISITOR}", views=(HOME,), cookies=BOTH),
    "junk in the cookies": Case(
        cookie='a[b]=1; _mbuzz_vid="x"; _mbuzz_sid=\t; c={"d": 1}',
        views=(HOME,),
        cookies=BOTH,
    ),
    "plain http": Case(scheme="http", views=("http://shop.example/",), cookies=BOTH),
    "old browser": Case(headers=OLD_BROWSER, views=(HOME,), cookies=BOTH),
    "old browser, data": Case(headers=OLD_BROWSER, answer=JSON),
    "streamed page": Case(
        chunks=(b"a", b"b"), streamed=True, views=(HOME,), cookies=BOTH
    ),
    "boosted": Case(
        headers={**FETCH, "HX-Request": "true", "HX-Boosted": "true"},
        cookie=RETURNING,
        views=(HOME,),
        cookies=SID,
    ),
    "fetch": Case(headers=FETCH, answer=JSON),
    "fetch by a new visitor that tracks": Case(
        headers=FETCH, answer=JSON, does=track, tracked=True, cookies=VID
    ),
    "fetch by a known visitor that tracks": Case(
        headers=FETCH, answer=JSON, cookie=RETURNING, does=track, tracked=True
    ),
    "reading the session gives no cookie": Case(
        headers=FETCH, answer=JSON, does=read_session
    ),
    "form": Case(
        method="POST",
        cookie=RETURNING,
        status=303,
        answer=[*HTML, ("Location", "/")],
        chunks=(),
        does=track,
        tracked=True,
    ),
    "head": Case(method="HEAD", chunks=()),
    "asset": Case(path="/static/app", does=track, tracked=True, cookies=VID),
    "prefetch": Case(headers={**NAVIGATION, "Sec-Purpose": "prefetch"}),
    "crawler": Case(headers={**NAVIGATION, "User-Agent": "Googlebot/2.1 (+bot)"}),
    "error page": Case(status=404, cookie=RETURNING),
    "landing on an error page": Case(status=404, views=(HOME,), cookies=BOTH),
    "redirected landing": Case(
        status=302, answer=[*HTML, ("Location", "/en/")], views=(HOME,), cookies=BOTH
    ),
    "redirect inside": Case(
        status=302, answer=[*HTML, ("Location", "/en/")], cookie=RETURNING
    ),
    "not modified": Case(
        status=304, answer=[], chunks=(), cookie=RETURNING, views=(HOME,)
    ),
    "no content": Case(status=204, answer=[], chunks=(), cookie=RETURNING),
    "download": Case(
        answer=[*HTML, ("Content-Disposition", "attachment")], cookie=RETURNING
    ),
    "shared by a cache": Case(
        answer=[*HTML, ("Cache-Control", "public, max-age=60")],
        cookie=RETURNING,
        views=(HOME,),
    ),
    "site's own cookies": Case(
        answer=[*HTML, ("X-Frame-Options", "DENY")],
        cookie=f"sessionid=1; {RETURNING}; theme=dark",
        views=(HOME,),
        cookies=SID,
    ),
    "no host": Case(host="not a host", cookie=RETURNING),
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Return all headers of that name."""
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def cookies(self) -> dict[str, Any]:
        """Return mbuzz's cookies."""
        found = [
            morsel
            for line in self.values("set-cookie")
            for morsel in SimpleCookie(line).values()
            if morsel.key.startswith("_mbuzz")
        ]
        assert len(found) == len({morsel.key for morsel in found}), "a cookie twice"
        return {morsel.key: morsel for morsel in found}


def check(case: Case, answer: Answer, events: Any) -> None:
    """Assert that *case* came out as the table says."""
    views = events.page_views()
    cookies = answer.cookies

    assert answer.status == case.status
    assert answer.body == (b"" if case.method == "HEAD" else b"".join(case.chunks))
    assert {(name.lower(), value) for name, value in case.answer} <= {
        (name.lower(), value) for name, value in answer.headers
    }
    assert tuple(view["properties"]["url"] for view in views) == case.views
    assert tuple(cookies) == case.cookies
    assert len(events.tracked("Seen")) == case.tracked
    for name, morsel in cookies.items():
        said = morsel["httponly"], morsel["samesite"], morsel["path"], morsel["max-age"]
        assert said == (True, "Lax", "/", AGES[name])
        assert (bool(morsel["secure"]), morsel["domain"]) == (
            case.scheme == "https",
            "",
        )
    for event in events:
        if "_mbuzz_vid" in cookies or f"_mbuzz_vid={VISITOR}" in case.cookie:
            visitor = cookies.get("_mbuzz_vid")
            assert event["visitor_id"] == (visitor.value if visitor else VISITOR)
        if "_mbuzz_sid" in cookies:
            assert event["session_id"] == cookies["_mbuzz_sid"].value
        if case.cookie == RETURNING:
            assert event["session_id"] == SESSION
    assert current() is None


def wsgi_environ(case: Case) -> dict[str, Any]:
    """Return *case* as a WSGI server would."""
    return {
        **environ(
            case.headers,
            method=case.method,
            path=case.path,
            query=case.query,
            cookie=case.cookie,
            host=case.host,
            scheme=case.scheme,
        ),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def call_wsgi(app: Callable[..., Any], case: Case) -> Answer:
    """Serve *case* as a WSGI server does."""
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
    return Answer(status=int(status[:3]), headers=headers, body=b"".join(written))


def asgi_scope(case: Case) -> dict[str, Any]:
    """Return *case* as an ASGI server would, each cookie in a header of its own."""
    headers = [(b"host", case.host.encode())]
    headers += [(k.lower().encode(), v.encode()) for k, v in case.headers.items()]
    headers += [(b"cookie", part.encode()) for part in case.cookie.split("; ") if part]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "2",
        "method": case.method,
        "scheme": case.scheme,
        "path": case.path,
        "raw_path": case.path.encode(),
        "root_path": "",
        "query_string": case.query.encode(),
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("10.0.0.1", 80),
    }


async def acall_asgi(app: Callable[..., Any], case: Case) -> Answer:
    """Serve *case* as an ASGI server does."""
    sent: list[dict[str, Any]] = []
    gone = asyncio.Event()
    received = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if received:
            return received.pop()
        await gone.wait()  # nobody disconnects before the end
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(asgi_scope(case), receive, send)
    start = next(message for message in sent if message["type"].endswith(".start"))
    return Answer(
        status=start["status"],
        headers=[
            (k.decode("latin-1"), v.decode("latin-1")) for k, v in start["headers"]
        ],
        body=b"".join(message.get("body", b"") for message in sent),
    )


def call_asgi(app: Callable[..., Any], case: Case) -> Answer:
    """Serve *case* in an event loop of its own."""
    return asyncio.run(acall_asgi(app, case))
