"""Scripts of a page that ask the endpoints, over WSGI and over ASGI."""

import asyncio
import io
import json
import wsgiref.validate
from http.cookies import SimpleCookie

from mbuzz import api
from mbuzz.contrib import asgi, wsgi
from tests.web.visits import AGENT, KEY, RETURNING

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
    def cookies(self):
        jar = SimpleCookie()
        for said in self.said:
            jar.load(said)
        return {name: morsel.value for name, morsel in jar.items()}

    @property
    def ages(self):
        jar = SimpleCookie()
        for said in self.said:
            jar.load(said)
        return {name: int(morsel["max-age"]) for name, morsel in jar.items()}

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


class OverWSGI:
    def __init__(self):
        self.app = wsgi.MbuzzMiddleware(wsgi_site)

    def __call__(
        self,
        path,
        body=b"",
        *,
        method="POST",
        headers=SCRIPT,
        mount="",
        host="shop.example",
        scheme="https",
        length="",
        peer="203.0.113.7",
        validated=True,
    ):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.input = io.BytesIO(body)
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": mount,
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "10.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": peer,
            "HTTP_HOST": host,
            "CONTENT_LENGTH": str(len(body)) if length == "" else length,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": scheme,
            "wsgi.input": self.input,
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if environ["CONTENT_LENGTH"] is None:
            del environ["CONTENT_LENGTH"]
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        started = []
        app = wsgiref.validate.validator(self.app) if validated else self.app
        result = app(
            environ, lambda status, fields, exc=None: started.append((status, fields))
        )
        try:
            out = b"".join(result)
        finally:
            if hasattr(result, "close"):
                result.close()
        (status, fields), *_ = started
        return Answer(int(status[:3]), fields, out)


class OverASGI:
    def __init__(self):
        self.app = asgi.MbuzzMiddleware(asgi_site)

    def __call__(
        self,
        path,
        body=b"",
        *,
        method="POST",
        headers=SCRIPT,
        mount="",
        host="shop.example",
        scheme="https",
        length="",
        peer="203.0.113.7",
        validated=True,
    ):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        length = str(len(body)) if length == "" else length
        raw = [(b"host", host.encode())]
        raw += [(k.lower().encode(), v.encode()) for k, v in headers.items()]
        if length is not None:
            raw.append((b"content-length", length.encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": scheme,
            "path": f"{mount}{path}",
            "root_path": mount,
            "query_string": b"",
            "headers": raw,
            "client": (peer, 50_000),
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
