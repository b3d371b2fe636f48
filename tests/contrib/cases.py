"""One table of requests and responses that every adapter must treat alike."""

from __future__ import annotations

from tests.contrib.building import (
    BOTH,
    HOME,
    PUBLIC,
    TO_EN,
    VID,
    fetch,
    landing,
    log_in,
    page,
    read_session,
    track,
    uncounted,
    visit,
)
from tests.contrib.calls import (
    HTML,
    JSON,
    PEER,
    Answer,
    Case,
    acall_asgi,
    asgi_scope,
    call_asgi,
    call_wsgi,
    check,
    wsgi_environ,
)
from tests.contrib.option_cases import CONSENT, ENDPOINTS, OPTIONS
from tests.web.visits import FETCH, OLD_BROWSER, RETURNING, VISITOR

__all__ = [
    "CASES",
    "HTML",
    "JSON",
    "PEER",
    "Answer",
    "Case",
    "acall_asgi",
    "asgi_scope",
    "call_asgi",
    "call_wsgi",
    "check",
    "wsgi_environ",
]

VISITS = {
    "landing": landing(),
    "landing with a campaign": landing(
        query="utm_source=x&a=%20b", views=(f"{HOME}?utm_source=x&a=%20b",)
    ),
    "landing on a page known for it": landing(
        earlier=(Case(),), does=track, tracked=True, first="page_view"
    ),
    "landing on a page not known yet": landing(does=track, tracked=True, first="Seen"),
    "path beyond ASCII": landing(
        path="/schön/100%", views=(f"{HOME}sch%C3%B6n/100%25",)
    ),
    "next page": page(),
    "new session": Case(cookie=f"_mbuzz_vid={VISITOR}", views=(HOME,), cookies=BOTH),
    "junk in the cookies": landing(
        cookie='a[b]=1; _mbuzz_vid="x"; _mbuzz_sid=\t; c={"d": 1}'
    ),
    "plain http": landing(scheme="http", views=("http://shop.example/",)),
    "streamed page": landing(chunks=(b"a", b"b"), streamed=True),
    "streamed page that tracks": page(
        chunks=(b"a", b"b"), streamed=True, does=track, tracked=True
    ),
    "site's own cookies": page(
        answer=[*HTML, ("X-Frame-Options", "DENY")],
        cookie=f"sessionid=1; {RETURNING}; theme=dark",
    ),
    "no host": uncounted(host="not a host"),
    "user who logs in on the page": page(does=log_in, tracked=True, user="42"),
}

REQUESTS = {
    "old browser": landing(headers=OLD_BROWSER),
    "old browser, data": Case(headers=OLD_BROWSER, answer=JSON),
    "fetch": Case(headers=FETCH, answer=JSON),
    "fetch of a page": uncounted(headers=FETCH),
    "fetch by a new visitor that tracks": Case(
        headers=FETCH, answer=JSON, does=track, tracked=True, cookies=VID
    ),
    "fetch by a known visitor that tracks": uncounted(
        headers=FETCH, answer=JSON, does=track, tracked=True
    ),
    "reading the session gives no cookie": Case(
        headers=FETCH, answer=JSON, does=read_session
    ),
    "form": uncounted(
        method="POST",
        status=303,
        answer=[*HTML, ("Location", "/")],
        chunks=(),
        does=track,
        tracked=True,
    ),
    "head": Case(method="HEAD", chunks=()),
    "head that tracks": Case(method="HEAD", chunks=(), does=track),  # nobody new
    "asset": Case(path="/static/app", does=track, tracked=True, cookies=VID),
    "asset by its name": uncounted(path="/theme/app.CSS"),
    "probe": uncounted(path="/healthz"),
    "prefetch": Case(headers=visit(Sec_Purpose="prefetch;prerender")),
    "turbo prefetch": uncounted(headers=fetch(X_Sec_Purpose="prefetch")),
    "crawler": Case(headers=visit(User_Agent="Googlebot/2.1 (+bot)")),
    "frame": uncounted(headers=visit(Sec_Fetch_Dest="iframe")),
    "range": uncounted(headers=visit(Range="bytes=0-")),
    "upgrade to http/2": page(headers=visit(Upgrade="h2c")),
    "service worker passes a navigation on": page(
        headers=visit(Sec_Fetch_Dest="empty")
    ),
    "service worker preloads": page(
        headers=visit(Service_Worker_Navigation_Preload="true")
    ),
    "service worker is loaded": uncounted(
        headers={
            **OLD_BROWSER,
            "Service-Worker": "script",
            "Sec-Fetch-Mode": "same-origin",
            "Sec-Fetch-Dest": "serviceworker",
        }
    ),
    "image": uncounted(
        headers={
            **OLD_BROWSER,
            "Sec-Fetch-Mode": "no-cors",
            "Sec-Fetch-Dest": "image",
        }
    ),
}

BOOSTED = {
    "htmx": page(headers=fetch(HX_Request="true", HX_Boosted="true")),
    "htmx, a part": uncounted(headers=fetch(HX_Request="true")),
    "htmx, history": uncounted(
        headers=fetch(
            HX_Request="true", HX_Boosted="true", HX_History_Restore_Request="true"
        )
    ),
    "turbo": page(headers=fetch(X_Turbo_Request_Id="1", Accept="text/html")),
    "turbo, a frame": uncounted(
        headers=fetch(X_Turbo_Request_Id="1", Accept="text/html", Turbo_Frame="cart")
    ),
    "turbo, a stream": uncounted(
        headers=fetch(
            X_Turbo_Request_Id="1", Accept="text/vnd.turbo-stream.html, text/html"
        )
    ),
    "turbolinks": page(headers=fetch(Turbolinks_Referrer="https://shop.example/a")),
    "inertia": page(
        headers=fetch(X_Inertia="true"), answer=[*JSON, ("X-Inertia", "true")]
    ),
    "inertia, a part": uncounted(
        headers=fetch(X_Inertia="true", X_Inertia_Partial_Component="Cart"),
        answer=[*JSON, ("X-Inertia", "true")],
    ),
    "inertia, a reload": uncounted(
        headers=fetch(X_Inertia="true"),
        status=409,
        answer=[*HTML, ("X-Inertia-Location", "/")],
    ),
    "unpoly": page(headers=fetch(X_Up_Version="3.0.0", X_Up_Target="main")),
    "unpoly, a part": uncounted(
        headers=fetch(X_Up_Version="3.0.0", X_Up_Target=".cart")
    ),
    "unpoly, a validation": uncounted(
        headers=fetch(X_Up_Version="3.0.0", X_Up_Target="main", X_Up_Validate="email")
    ),
    "swup": page(headers=fetch(X_Requested_With="swup")),
    "pjax": page(headers=fetch(X_PJAX="true")),
    "barba": page(headers=fetch(X_Barba="yes")),
    "datastar": uncounted(headers=fetch(Datastar_Request="true")),
    "old browser, script": uncounted(
        headers={**OLD_BROWSER, "X-Requested-With": "XMLHttpRequest"}
    ),
    "boosted landing": landing(headers=fetch(HX_Request="true", HX_Boosted="true")),
}

ANSWERS = {
    "error page": uncounted(status=404),
    "landing on an error page": landing(status=404, marks={"status": 404}),
    "boosted landing on an error page": Case(
        headers=fetch(HX_Request="true", HX_Boosted="true"), status=404
    ),
    "redirected landing": landing(
        status=302, answer=TO_EN, marks={"status": 302, "redirect": True}
    ),
    "redirect inside": uncounted(status=302, answer=TO_EN),
    "redirected campaign": page(
        status=302,
        answer=TO_EN,
        query="gclid=1",
        views=(f"{HOME}?gclid=1",),
        marks={"status": 302, "redirect": True},
    ),
    "not modified": page(status=304, answer=[], chunks=(), cookies=()),
    "no content": uncounted(status=204, answer=[], chunks=()),
    "landing on no content": Case(status=204, answer=[], chunks=()),
    "download": uncounted(answer=[*HTML, ("Content-Disposition", "attachment")]),
    "events": uncounted(answer=[("Content-Type", "text/event-stream")], streamed=True),
    "shared by a cache": page(answer=PUBLIC, cookies=()),
    "shared by a cache, nobody yet": Case(answer=PUBLIC),
    "shared by a CDN alone": Case(answer=[*HTML, ("CDN-Cache-Control", "max-age=60")]),
    "shared by a cache, tracks": Case(answer=PUBLIC, does=track, tracked=True),
    "kept by the browser's cache": landing(
        answer=[*HTML, ("Cache-Control", "private, max-age=60")]
    ),
}

_TABLES = (VISITS, REQUESTS, BOOSTED, ANSWERS, CONSENT, OPTIONS, ENDPOINTS)
CASES: dict[str, Case] = {}
for _table in _TABLES:
    CASES |= _table
assert len(CASES) == sum(map(len, _TABLES)), "two cases of one name"
