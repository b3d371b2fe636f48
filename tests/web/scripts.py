"""Scripts of a page that ask the endpoints, over WSGI and over ASGI."""

import asyncio
import json
import wsgiref.validate
from dataclasses import dataclass, field
from http.cookies import SimpleCookie

from mbuzz import api
from mbuzz.contrib import asgi, wsgi
from tests.web.visits import AGENT, KEY, RETURNING, environ

ORIGIN = "https://shop.example"
PAGE = f"{ORIGIN}/pricing?utm_source=news"
SCRIPT = {
    "User-Agent": AGENT,
    "Accept": "*/*",
    "Content-Type": "application/json",
    "Origin": ORIGIN,
    "Referer": f"{ORIGIN}/pricing",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
}
CALLS = ("track", "identify", "group")
SAID = {
    "session": {"url": PAGE},
    "track": {"event": "Clicked"},
    "identify": {"user_id": "u1"},
    "group": {"group_id": "g1"},
}


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.said = [v for name, v in headers if name.lower() == "set-cookie"]
        self.body = body

    @property
    def jar(self):
        jar = SimpleCookie()
        for said in self.said:
            jar.load(said)
        return jar

    @property
    def cookies(self):
        return {name: morsel.value for name, morsel in self.jar.items()}

    @property
    def ages(self):
        return {name: int(morsel["max-age"]) for name, morsel in self.jar.items()}

    @property
    def json(self):
        return json.loads(self.body)


def wsgi_site(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the site's own"]


async def asgi_site(scope, receive, send):
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"the site's own"})


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request of a script."""

    path: str  # below the mount
    body: bytes
    length: object  # as the header says; without one: None
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=lambda: SCRIPT)
    mount: str = ""
    host: str = "shop.example"
    scheme: str = "https"
    peer: str = "203.0.113.7"
    validated: bool = True  # by wsgiref


class Script:
    """A script that asks over one of the interfaces."""

    def __call__(self, path, body=b"", **how):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        how = {"length": str(len(body)), **how}
        return self.answer(Asked(path=path, body=body, **how))


class OverWSGI(Script):
    def __init__(self):
        self.app = wsgi.MbuzzMiddleware(wsgi_site)

    def answer(self, asked):
        request = environ(
            asked.headers,
            method=asked.method,
            path=asked.path,
            host=asked.host,
            scheme=asked.scheme,
            body=asked.body,
        )
        request |= {"SCRIPT_NAME": asked.mount, "REMOTE_ADDR": asked.peer}
        if asked.length is not None:
            request["CONTENT_LENGTH"] = asked.length
        self.input = request["wsgi.input"]
        started = []
        app = wsgiref.validate.validator(self.app) if asked.validated else self.app
        result = app(
            request, lambda status, fields, exc=None: started.append((status, fields))
        )
        try:
            out = b"".join(result)
        finally:
            if hasattr(result, "close"):
                result.close()
        (status, fields), *_ = started
        return Answer(int(status[:3]), fields, out)


class OverASGI(Script):
    def __init__(self):
        self.app = asgi.MbuzzMiddleware(asgi_site)

    def answer(self, asked):
        body = asked.body
        raw = [(b"host", asked.host.encode())]
        raw += [(k.lower().encode(), v.encode()) for k, v in asked.headers.items()]
        if asked.length is not None:
            raw.append((b"content-length", asked.length.encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": asked.method,
            "scheme": asked.scheme,
            "path": f"{asked.mount}{asked.path}",
            "root_path": asked.mount,
            "query_string": b"",
            "headers": raw,
            "client": (asked.peer, 50_000),
            "server": ("10.0.0.1", 80),
        }
        pieces = [body[at : at + 5_000] for at in range(0, len(body), 5_000)] or [b""]
        sent, self.read = [], 0

        async def receive():
            self.read += 1
            more = self.read < len(pieces)
            return {
                "type": "http.request",
                "body": pieces[self.read - 1],
                "more_body": more,
            }

        async def send(message):
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))
        head = sent[0]
        fields = [
            (k.decode("latin-1"), v.decode("latin-1")) for k, v in head["headers"]
        ]
        return Answer(
            head["status"], fields, b"".join(m.get("body", b"") for m in sent[1:])
        )


def configure(**options):
    """Configure the default client; every endpoint is there unless *options* say so."""
    api.configure(
        **{"api_key": KEY, "session_endpoint": True, "collect": CALLS, **options}
    )


def cookie(value=RETURNING, **more):
    return {**SCRIPT, "Cookie": value, **more}
