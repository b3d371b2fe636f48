"""The site that the browser visits: the same pages, whatever framework serves them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

import mbuzz
from mbuzz.web.script import session_script

HTML = "text/html; charset=utf-8"
SHARED = {"Cache-Control": "public, s-maxage=60"}
_LOG = "SITE_LOG"  # the file in which requests are noted
_LIBRARIES = "SITE_LIBRARIES"  # the folder of the scripts of others


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request; names of headers are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""

    def said(self, name: str) -> str:
        """Return a field of the query or, for a POST, of the form."""
        text = self.body.decode() if self.method == "POST" else self.query
        return parse_qs(text).get(name, [""])[0]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response."""

    body: str = ""
    status: int = 200
    type: str = HTML
    headers: Mapping[str, str] = field(default_factory=dict)


def consent(request: object) -> bool | None:
    """Tell what the person said in the site's own banner; most sites have none."""
    cookie = request.cookie  # type: ignore[attr-defined]
    if "consent=no" in cookie:
        return False
    return None if "consent=ask" in cookie else True


OPTIONS = {"consent": consent, "session_endpoint": True, "trusted_proxies": 1}


def answer(asked: Asked) -> Answer:
    """Serve one request."""
    found = _find(asked)
    _note(asked, found)
    return found


def _find(asked: Asked) -> Answer:
    page = _PAGES.get(asked.path)
    if page is not None and asked.method == "GET":
        return page if isinstance(page, Answer) else page(asked)
    form = _FORMS.get(asked.path)
    if form is not None and asked.method == "POST":
        return form(asked)
    return Answer(status=404, body=_html("Not found"))


def _note(asked: Asked, found: Answer) -> None:
    line = {
        "method": asked.method,
        "path": asked.path,
        "status": found.status,
        "mode": asked.headers.get("sec-fetch-mode", ""),
        "dest": asked.headers.get("sec-fetch-dest", ""),
        "purpose": asked.headers.get("sec-purpose")
        or asked.headers.get("x-sec-purpose", ""),
    }
    with Path(os.environ[_LOG]).open("a", encoding="utf-8") as log:
        log.write(f"{json.dumps(line)}\n")


def _html(title: str, body: str = "", head: str = "") -> str:
    return (
        f"<!doctype html><html><head><title>{title}</title>{head}"
        f'<link rel="icon" href="data:,"></head><body><h1>{title}</h1>{body}</body>'
        "</html>"
    )


def _page(title: str, body: str = "", head: str = "", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(body=_html(title, body, head), headers=named)


def _form(path: str, fields: str, button: str) -> str:
    return (
        f'<form method="post" action="{path}">{fields}<button>{button}</button></form>'
    )


# -- pages --


def _htmx(version: int) -> Answer:
    return _page(
        "Htmx",
        '<a id="boosted" hx-boost="true" href="/page2">Page 2</a>'
        '<button hx-get="/part" hx-target="#here">Part</button><div id="here"></div>',
        f'<script src="/libraries/htmx{version}.js"></script>',
    )


def _library(name: str) -> Callable[[Asked], Answer]:
    def read(_: Asked) -> Answer:
        text = Path(os.environ[_LIBRARIES], name).read_text("utf-8")
        return Answer(body=text, type="text/javascript")

    return read


def _revalidated(asked: Asked) -> Answer:
    tag = '"1"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if asked.headers.get("if-none-match") == tag:
        return Answer(status=304, headers=headers)
    return _scripted("Revalidated", headers)


def _scripted(title: str, headers: Mapping[str, str]) -> Answer:
    head = f"<script>{session_script()}</script>"
    return Answer(body=_html(title, head=head), headers=headers)


def _flush(_: Asked) -> Answer:
    return Answer(body=str(mbuzz.flush(10.0)), type="text/plain")


def _speculation(action: str) -> Answer:
    rules = {action: [{"urls": ["/scripted"], "eagerness": "immediate"}]}
    return _page(
        "Speculation",
        '<a id="next" href="/scripted">Scripted</a>',
        f'<script type="speculationrules">{json.dumps(rules)}</script>',
    )


# -- forms --


def _log_in(asked: Asked) -> Answer:
    mbuzz.identify(asked.said("user"))
    return _go("/")


def _log_out(_: Asked) -> Answer:
    mbuzz.reset()
    return _go("/")


def _choose(asked: Asked) -> Answer:
    said = asked.said("choice")
    if said in ("no", "forget"):
        mbuzz.forget()
        mbuzz.track("Refused")
    return _go("/", **{"Set-Cookie": f"consent={said}; Path=/"})


def _go(path: str, **headers: str) -> Answer:
    return Answer(status=303, headers={"Location": path, **headers})


_FORMS: dict[str, Callable[[Asked], Answer]] = {
    "/login": _log_in,
    "/logout": _log_out,
    "/consent": _choose,
}
_LOGIN = _form("/login", '<input name="user" value="">', "Log in")
_LOGOUT = _form("/logout", "", "Log out")
_CONSENT = "".join(
    _form("/consent", f'<input type="hidden" name="choice" value="{choice}">', choice)
    for choice in ("yes", "no", "ask", "forget")
)
_FETCH = (
    "<p id=said></p><script>fetch('/api.json').then(r => r.json())"
    ".then(j => { document.querySelector('#said').textContent = j.answer })</script>"
)
_TURBO = '<script src="/libraries/turbo.js"></script>'
_PAGES: dict[str, Answer | Callable[[Asked], Answer]] = {
    "/sometimes": lambda asked: _scripted("S", SHARED if asked.said("shared") else {}),
    **{
        f"/{library}-{kind}": _page(
            f"{library} {kind}",
            f'<a id="go" {boost} href="/{library}-{other}">go</a>'
            f"<script>{session_script()}</script>",  # in the body
            f'<script src="/libraries/{library}.js"></script>',
            **headers,
        )
        for library, boost in (
            ("turbo", 'data-turbo-prefetch="false"'),
            ("htmx2", 'hx-boost="true"'),
            ("htmx4", 'hx-boost="true"'),
        )
        for kind, other, headers in (
            ("shared", "mine", {"Cache_Control": "public, s-maxage=60"}),
            ("mine", "shared", {}),
        )
    },
    "/": _page(
        "Home",
        '<a id="next" href="/page2">Page 2</a>',
        '<link rel="stylesheet" href="/asset.css">',
    ),
    "/page2": _page("Page 2"),
    "/no-store": _page(
        "No store", '<a id="next" href="/page2">Page 2</a>', Cache_Control="no-store"
    ),
    "/revalidated": _revalidated,
    "/renamed": _page("Renamed"),
    "/go": Answer(status=302, headers={"Location": "/page2"}),
    "/iframe-holder": _page("Holder", '<iframe src="/framed"></iframe>'),
    "/framed": _page("Framed"),
    "/download": Answer(
        body="<p>Saved</p>",
        headers={"Content-Disposition": 'attachment; filename="saved.html"'},
    ),
    "/downloads": _page("Downloads", '<a id="save" href="/download">Save</a>'),
    "/fetching": _page("Fetching", _FETCH, '<link rel="stylesheet" href="/asset.css">'),
    "/api.json": Answer(body='{"answer": 42}', type="application/json"),
    "/asset.css": Answer(body="h1 { color: teal }", type="text/css"),
    "/prefetch-link": _page("Link", head='<link rel="prefetch" href="/page2">'),
    "/prefetch": _speculation("prefetch"),
    "/prerender": _speculation("prerender"),
    "/htmx2": _htmx(2),
    "/htmx4": _htmx(4),
    "/part": Answer(body="<em>part</em>"),
    "/turbo": _page(
        "Turbo",
        '<a id="drive" data-turbo-prefetch="false" href="/turbo2">Drive</a>'
        '<a id="hover" href="/page2">Hover</a><turbo-frame id="box">'
        '<a id="within" href="/turbo-part">Part</a></turbo-frame>',
        _TURBO,
    ),
    "/turbo2": _page("Turbo 2", head=_TURBO),
    "/turbo-part": _page("Part", '<turbo-frame id="box"><em>part</em></turbo-frame>'),
    "/libraries/htmx2.js": _library("htmx2/dist/htmx.js"),
    "/libraries/htmx4.js": _library("htmx4/dist/htmx.js"),
    "/libraries/turbo.js": _library("turbo/dist/turbo.es2017-umd.js"),
    "/worker": _page("Worker"),
    "/worker.js": Answer(
        body="addEventListener('fetch', e => e.respondWith(fetch(e.request)));"
        "addEventListener('activate', e => e.waitUntil(clients.claim()))",
        type="text/javascript",
    ),
    "/login": _page("Log in", _LOGIN),
    "/logout": _page("Log out", _LOGOUT),
    "/consent": _page("Consent", _CONSENT),
    "/cached": _scripted("Cached", SHARED),
    "/scripted": _scripted("Scripted", {}),
    "/flush": _flush,
}
