"""The part of the table that options are about: consent, what counts, endpoints."""

from __future__ import annotations

from typing import Any

import mbuzz
from tests.contrib.building import (
    BOTH,
    HOME,
    PUBLIC,
    SID,
    TO_EN,
    VID,
    broken,
    fetch,
    forget_and_track,
    landing,
    page,
    reset_and_track,
    track,
    uncounted,
    visit,
)
from tests.contrib.calls import HTML, JSON, Case
from tests.web.visits import FETCH, NAVIGATION, OLD_BROWSER, RETURNING

GPC = {"headers": visit(Sec_GPC="1")}
DNT = {"headers": visit(DNT="1")}
GONE = {"cookies": BOTH, "expired": BOTH}
OFFERED = f"{HOME}?gclid=[redacted]&utm_source=x"

CONSENT = {
    "consent granted": landing(options={"consent": lambda _: True}),
    "consent by a cookie": landing(
        options={"consent": lambda request: request.cookies.get("ok") == "1"},
        cookie="ok=1",
    ),
    "consent denied": Case(
        options={"consent": lambda _: False}, cookie=RETURNING, does=track, **GONE
    ),
    "consent denied, nothing there": Case(
        options={"consent": lambda _: False}, does=track
    ),
    "consent denied, script": uncounted(  # the next page takes them away
        options={"consent": lambda _: False}, headers=FETCH, answer=JSON, does=track
    ),
    "consent not known": uncounted(options={"consent": lambda _: None}, does=track),
    "consent not known, nobody yet": Case(
        options={"consent": lambda _: None}, does=track
    ),
    "consent function breaks": uncounted(options={"consent": broken}, does=track),
    "gpc": landing(
        **GPC,
        query="gclid=secret&utm_source=x",
        views=(OFFERED,),
        does=track,
        tracked=True,
    ),
    "gpc respected": Case(
        **GPC, options={"respect_gpc": True}, cookie=RETURNING, does=track, **GONE
    ),
    "dnt": landing(**DNT),
    "dnt respected": Case(
        **DNT, options={"respect_dnt": True}, cookie=RETURNING, does=track, **GONE
    ),
    "reset on a page": page(does=lambda: mbuzz.reset(), cookies=BOTH, renewed=True),
    "reset before tracking": page(
        does=reset_and_track, cookies=BOTH, renewed=True, tracked=True
    ),
    "reset by a script": uncounted(
        headers=FETCH, answer=JSON, does=lambda: mbuzz.reset(), **GONE
    ),
    "reset by a script that tracks": uncounted(
        headers=FETCH,
        answer=JSON,
        does=reset_and_track,
        tracked=True,
        cookies=BOTH,
        expired=SID,
        renewed=True,
    ),
    "reset where nobody was": landing(does=lambda: mbuzz.reset()),
    "reset on the way out": uncounted(
        method="POST",
        status=303,
        answer=[*HTML, ("Location", "/")],
        chunks=(),
        does=lambda: mbuzz.reset(),
        **GONE,
    ),
    "forget on a page": uncounted(does=forget_and_track, **GONE),
    "forget where nobody was": Case(does=forget_and_track),
    "forget by a script": uncounted(
        headers=FETCH, answer=JSON, does=forget_and_track, **GONE
    ),
}

CHROME = {**NAVIGATION, "User-Agent": "Mozilla/5.0 HeadlessChrome/140.0"}

OPTIONS = {
    "refused by the site": uncounted(
        options={"should_track": lambda request: request.path != "/"},
        does=track,
        tracked=True,
    ),
    "not refused by the site": landing(options={"should_track": lambda _: True}),
    "skipped path": uncounted(options={"skip_paths": ["/admin"]}, path="/admin/users"),
    "skipped path that tracks": Case(
        options={"skip_paths": ["/admin"]},
        path="/admin",
        does=track,
        tracked=True,
        cookies=VID,
    ),
    "path like a skipped one": page(
        options={"skip_paths": ["/admin"]},
        path="/administer",
        views=(f"{HOME}administer",),
    ),
    "skipped extension": uncounted(options={"skip_extensions": ["csv"]}, path="/a.csv"),
    "frames are tracked": page(
        options={"track_iframes": True}, headers=visit(Sec_Fetch_Dest="iframe")
    ),
    "bots are tracked": landing(
        options={"track_bots": True}, headers=CHROME, marks={"bot": True}
    ),
    "bots are tracked, a person": landing(options={"track_bots": True}),
    "prefetches are tracked": page(
        options={"track_prefetches": True},
        headers=visit(Sec_Purpose="prefetch"),
        marks={"prefetch": True},
    ),
    "errors are tracked": page(
        options={"track_errors": True}, status=500, marks={"status": 500}
    ),
    "redirects are tracked": page(
        options={"track_redirects": True},
        status=302,
        answer=TO_EN,
        marks={"status": 302, "redirect": True},
    ),
    "redirects are not tracked": Case(
        options={"track_redirects": False},
        status=302,
        answer=TO_EN,
    ),
    "boosted pages are not tracked": uncounted(
        options={"track_boosted": False},
        headers=fetch(HX_Request="true", HX_Boosted="true"),
    ),
    "old browsers are not believed": Case(
        options={"require_sec_fetch": True}, headers=OLD_BROWSER
    ),
    "cookies for all hosts": landing(options={"cookie_domain": "shop.example"}),
    "cookies for all hosts, refused": Case(
        options={"cookie_domain": "shop.example", "consent": lambda _: False},
        cookie=RETURNING,
        **GONE,
        twins=BOTH,
    ),
    "cookies for all hosts, reset on a page": page(
        options={"cookie_domain": "shop.example"},
        does=lambda: mbuzz.reset(),
        cookies=BOTH,
        renewed=True,
        twins=BOTH,
    ),
    "cookies for all hosts, forget by a script": uncounted(
        options={"cookie_domain": "shop.example"},
        headers=FETCH,
        answer=JSON,
        does=forget_and_track,
        **GONE,
        twins=BOTH,
    ),
    "cookies secure": landing(
        options={"cookie_secure": True}, scheme="http", views=("http://shop.example/",)
    ),
    "cookies not secure": landing(options={"cookie_secure": False}),
    "without the backend's word": landing(
        options={"handshake": False},
        earlier=(Case(),),
        does=track,
        tracked=True,
        first="Seen",
    ),
    "addresses": landing(options={"send_ip": True}, marks={"ip": "10.1.2.0"}),
    "addresses behind a proxy": landing(
        options={"send_ip": True, "trusted_proxies": ["10.0.0.0/8"]},
        headers=visit(X_Forwarded_For="192.0.2.1, 203.0.113.77"),
        marks={"ip": "203.0.113.0"},
    ),
    "host behind a proxy": landing(
        options={"trusted_proxies": 1},
        host="inner:8000",
        headers=visit(X_Forwarded_Host="shop.example"),
    ),
    "host that no proxy vouches for": page(
        headers=visit(X_Forwarded_Host="evil.example")
    ),
}

CACHED = {"session_endpoint": True}
ALL = {"session_endpoint": True, "collect": ["track", "identify", "group"]}
OURS = {
    **FETCH,
    "Origin": "https://shop.example",
    "Sec-Fetch-Site": "same-origin",
}


def ask(call: str, sends: object, **more: Any) -> Case:
    """Return what a script of the page asks of us."""
    given = {
        "options": ALL,
        "method": "POST",
        "path": f"/_mbuzz/{call}",
        "headers": OURS,
        "sends": sends,
        "answer": [],
        "chunks": (),
    }
    return Case(**{**given, **more})


ENDPOINTS = {
    "page that scripts may count": landing(options=CACHED, told=True),
    "page that scripts may count, next": page(options=CACHED, told=True),
    "page that scripts count": Case(options=CACHED, answer=PUBLIC),
    "page that scripts count, next": uncounted(options=CACHED, answer=PUBLIC),
    "session": ask(
        "session", {"url": f"{HOME}a"}, status=204, views=(f"{HOME}a",), cookies=BOTH
    ),
    "session of a known visitor": ask(
        "session",
        {"url": f"{HOME}a", "referrer": "https://search.example/"},
        cookie=RETURNING,
        status=204,
        views=(f"{HOME}a",),
        cookies=SID,
    ),
    "session without consent": ask(
        "session",
        {"url": HOME},
        options={**CACHED, "consent": lambda _: False},
        cookie=RETURNING,
        status=204,
        **GONE,
    ),
    "session without consent, cookies for all hosts": ask(
        "session",
        {"url": HOME},
        options={
            **CACHED,
            "cookie_domain": "shop.example",
            "consent": lambda _: False,
        },
        cookie=RETURNING,
        status=204,
        **GONE,
        twins=BOTH,
    ),
    "session of a page elsewhere": ask(
        "session",
        {"url": "https://evil.example/"},
        status=400,
        replies={"code": "foreign_url"},
    ),
    "session asked for from elsewhere": ask(
        "session",
        {"url": HOME},
        headers={**FETCH, "Sec-Fetch-Site": "cross-site"},
        status=403,
        replies={"code": "cross_origin"},
    ),
    "session by GET": ask(
        "session",
        None,
        method="GET",
        status=405,
        answer=[("Allow", "POST")],
        replies={"code": "method_not_allowed"},
    ),
    "session without JSON": ask(
        "session", [], status=400, replies={"code": "not_json"}
    ),
    "session, not turned on": Case(
        path="/_mbuzz/session", method="POST", headers=OURS, cookie=RETURNING
    ),
    "script tracks": ask(
        "track",
        {"event": "Seen", "properties": {"a": 1}, "url": HOME},
        cookie=RETURNING,
        status=202,
        tracked=True,
        replies={"success": True},
    ),
    "script tracks, nobody yet": ask(
        "track",
        {"event": "Seen"},
        status=202,
        tracked=True,
        cookies=VID,
        replies={"success": True},
    ),
    "script tracks without a name": ask(
        "track", {}, cookie=RETURNING, status=400, replies={}
    ),
    "script identifies": ask(
        "identify",
        {"user_id": "42", "traits": {"plan": "pro"}},
        cookie=RETURNING,
        status=202,
        user="42",
        replies={"success": True},
    ),
    "script groups nobody": ask("group", {}, cookie=RETURNING, status=400, replies={}),
    "script at another prefix": ask(
        "track",
        {"event": "Seen"},
        options={**ALL, "endpoint_prefix": "/a/b"},
        path="/a/b/track",
        cookie=RETURNING,
        status=202,
        tracked=True,
        replies={"success": True},
    ),
}
