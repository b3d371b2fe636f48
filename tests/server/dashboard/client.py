"""A browser as small as the tests need: WSGI calls, one cookie, forms."""

import html
import io
import json
import re
from dataclasses import dataclass, field
from urllib.parse import urlencode

from mbuzz.server import create_app
from mbuzz.server.bootstrap import prepare
from mbuzz.server.passwords import Cost
from mbuzz.server.settings import ServerSettings

NOW_MS = 1_795_000_000_000  # 2026-11-18 10:26:40 UTC
TODAY = "2026-11-18"
DAY_MS = 86_400_000
CHEAP = Cost(log_n=4)  # a password in a millisecond; test_passwords has the real cost


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self):
        self.ms = NOW_MS

    def now_ms(self):
        return self.ms

    def monotonic(self):
        return self.ms / 1000


@dataclass
class Answer:
    status: int
    headers: list
    text: str

    def header(self, name):
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


@dataclass
class Browser:
    """Keeps the cookie it was given last."""

    app: object
    environ: dict = field(default_factory=dict)
    cookie: str = ""

    def request(self, method, path, body=b"", **environ):
        path, _, query = path.partition("?")
        seen = {}
        given = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_HOST": "stats.example:8787",
            "REMOTE_ADDR": "192.0.2.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            **({"HTTP_COOKIE": self.cookie} if self.cookie else {}),
            **self.environ,
            **environ,
        }
        pieces = self.app(given, lambda s, h: seen.update(status=s, headers=h))
        answer = Answer(
            int(seen["status"][:3]), seen["headers"], b"".join(pieces).decode()
        )
        if cookie := answer.header("Set-Cookie"):
            self.cookie = cookie.split(";")[0]
        return answer

    def get(self, path, **environ):
        return self.request("GET", path, **environ)

    def post(self, path, form, **environ):
        return self.request("POST", path, urlencode(form).encode(), **environ)

    def log_in(self, email, password, **environ):
        form = {"email": email, "password": password}
        return self.post("/login", form, **environ)


class Site:
    """The real application on a database of its own, with one account in it."""

    def __init__(self, database, *, live=True, settings=None):
        self.clock = Clock()
        chosen = ServerSettings(database=str(database), **(settings or {}))
        self.app = create_app(chosen, clock=self.clock, password_cost=CHEAP)
        self.first = prepare(
            self.app.storage, self.clock, live=live, password_cost=CHEAP
        )
        self.email, self.password = self.first.email, self.first.password

    def browser(self, **environ):
        return Browser(self.app, environ)

    def logged_in(self):
        browser = self.browser()
        assert browser.log_in(self.email, self.password).status == 303
        return browser

    def write(self, work):
        return self.app.storage.write(work)

    def send(self, *items, key=None):
        answer = self.browser().request(
            "POST",
            "/api/v1/events",
            json.dumps({"events": items}).encode(),
            HTTP_AUTHORIZATION=f"Bearer {key or self.first.api_key}",
        )
        reply = json.loads(answer.text)
        assert answer.status == 202, reply
        assert reply["rejected"] == []


def view(visitor, query="", *, days_ago=0, referrer=None):
    properties = {"url": f"https://shop.example/{query}", "user_agent": "Mozilla/5.0"}
    if referrer:
        properties["referrer"] = referrer
    return {
        "event_type": "page_view",
        "visitor_id": visitor,
        "timestamp": NOW_MS - days_ago * DAY_MS - 60_000,
        "properties": properties,
    }


def sale(visitor, revenue=None, **more):
    return {
        "type": "conversion",
        "conversion_type": "purchase",
        "visitor_id": visitor,
        "revenue": revenue,
        "timestamp": NOW_MS,
        **more,
    }


def shown(page):
    """Return what a reader sees of a page: its text, in one line."""
    text = re.sub(r"<(title|style)>.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def table(page):
    """Return the report's rows, by channel, as lists of what their cells say."""
    rows = {}
    for row in re.findall(r"<tr><th scope=\"row\">.*?</tr>", page, re.DOTALL):
        row = re.sub(r'<span class="share">.*?</span>', "", row)
        cells = re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL)
        rows[cells[0]] = [shown(cell) for cell in cells[1:8]]
    return rows
