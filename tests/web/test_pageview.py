"""What is a page view: the table of rules, row by row."""

import pytest

from mbuzz.web.pageview import (
    Kind,
    classify,
    has_marketing,
    is_bot,
    is_page,
    may_carry_cookies,
    skipped,
)
from tests.web.visits import AGENT, FETCH, HTML, NAVIGATION, OLD_BROWSER, a_request

NONE, STRONG, WEAK, BOOSTED = Kind.NONE, Kind.STRONG, Kind.WEAK, Kind.BOOSTED

# What the request alone decides: method, path, headers on top of a browser's, kind.
REQUESTS = [
    # navigation by Sec-Fetch
    ("document", NAVIGATION, {}, STRONG),
    ("service worker's pass-through", NAVIGATION, {"Sec-Fetch-Dest": "empty"}, STRONG),
    (
        "navigate without destination",
        OLD_BROWSER,
        {"Sec-Fetch-Mode": "navigate"},
        STRONG,
    ),
    (
        "navigation preload",
        NAVIGATION,
        {"Service-Worker-Navigation-Preload": "true"},
        STRONG,
    ),
    ("iframe", NAVIGATION, {"Sec-Fetch-Dest": "iframe"}, NONE),
    ("frame", NAVIGATION, {"Sec-Fetch-Dest": "frame"}, NONE),
    ("embed", NAVIGATION, {"Sec-Fetch-Dest": "embed"}, NONE),
    ("object", NAVIGATION, {"Sec-Fetch-Dest": "object"}, NONE),
    ("fenced frame", NAVIGATION, {"Sec-Fetch-Dest": "fencedframe"}, NONE),
    ("https upgrade wish", NAVIGATION, {"Upgrade-Insecure-Requests": "1"}, STRONG),
    ("h2c upgrade", NAVIGATION, {"Upgrade": "h2c"}, STRONG),
    ("websocket", NAVIGATION, {"Upgrade": "WebSocket"}, NONE),
    ("range", NAVIGATION, {"Range": "bytes=0-1"}, NONE),
    # scripts
    ("fetch", FETCH, {}, NONE),
    ("no-cors", FETCH, {"Sec-Fetch-Mode": "no-cors"}, NONE),
    (
        "worker",
        FETCH,
        {"Sec-Fetch-Mode": "same-origin", "Service-Worker": "script"},
        NONE,
    ),
    ("xhr with Sec-Fetch", FETCH, {"X-Requested-With": "XMLHttpRequest"}, NONE),
    # before Sec-Fetch
    ("old browser", OLD_BROWSER, {}, WEAK),
    ("old browser, xhtml", OLD_BROWSER, {"Accept": "application/xhtml+xml"}, WEAK),
    ("old browser, anything", OLD_BROWSER, {"Accept": "*/*"}, NONE),
    ("old browser, nothing", {"User-Agent": AGENT}, {}, NONE),
    ("old xhr", OLD_BROWSER, {"X-Requested-With": "XMLHttpRequest"}, NONE),
    ("app's web view", OLD_BROWSER, {"X-Requested-With": "com.example.app"}, WEAK),
    ("old fragment", OLD_BROWSER, {"HX-Request": "true"}, NONE),
    ("old turbo frame", OLD_BROWSER, {"Turbo-Frame": "cart"}, NONE),
    ("old datastar", OLD_BROWSER, {"Datastar-Request": "true"}, NONE),
    # fetched ahead
    ("prefetch", NAVIGATION, {"Sec-Purpose": "prefetch"}, NONE),
    ("prerender", NAVIGATION, {"Sec-Purpose": "prefetch;prerender"}, NONE),
    (
        "private prefetch",
        NAVIGATION,
        {"Sec-Purpose": "prefetch;anonymous-client-ip"},
        NONE,
    ),
    (
        "Turbo's hover",
        FETCH,
        {"X-Turbo-Request-Id": "1", "X-Sec-Purpose": "prefetch"},
        NONE,
    ),
    ("Purpose", OLD_BROWSER, {"Purpose": "prefetch"}, NONE),
    ("preview", OLD_BROWSER, {"X-Purpose": "preview"}, NONE),
    ("instant", OLD_BROWSER, {"X-Purpose": "Instant"}, NONE),
    ("X-Moz", OLD_BROWSER, {"X-Moz": "prefetch"}, NONE),
    ("another purpose", OLD_BROWSER, {"Purpose": "pleasure"}, WEAK),
    # whole pages by script, and parts of pages
    ("Turbo Drive", FETCH, {"X-Turbo-Request-Id": "1"}, BOOSTED),
    ("Turbo Drive, old", OLD_BROWSER, {"X-Turbo-Request-Id": "1"}, BOOSTED),
    ("Turbo frame", FETCH, {"X-Turbo-Request-Id": "1", "Turbo-Frame": "cart"}, NONE),
    (
        "Turbo stream",
        FETCH,
        {"X-Turbo-Request-Id": "1", "Accept": "text/vnd.turbo-stream.html, text/html"},
        NONE,
    ),
    ("Turbolinks", FETCH, {"Turbolinks-Referrer": "https://shop.example/"}, BOOSTED),
    ("htmx boost", FETCH, {"HX-Request": "true", "HX-Boosted": "true"}, BOOSTED),
    ("htmx fragment", FETCH, {"HX-Request": "true"}, NONE),
    (
        "htmx history",
        FETCH,
        {
            "HX-Request": "true",
            "HX-Boosted": "true",
            "HX-History-Restore-Request": "true",
        },
        NONE,
    ),
    (
        "htmx preload",
        FETCH,
        {"HX-Request": "true", "HX-Boosted": "true", "HX-Preloaded": "true"},
        NONE,
    ),
    ("Inertia", FETCH, {"X-Inertia": "true"}, BOOSTED),
    (
        "Inertia, partial",
        FETCH,
        {"X-Inertia": "true", "X-Inertia-Partial-Component": "Cart"},
        NONE,
    ),
    ("Inertia, ahead", FETCH, {"X-Inertia": "true", "Purpose": "prefetch"}, NONE),
    ("Unpoly page", FETCH, {"X-Up-Version": "3.9", "X-Up-Target": ":main"}, BOOSTED),
    ("Unpoly part", FETCH, {"X-Up-Version": "3.9", "X-Up-Target": ".cart"}, NONE),
    (
        "Unpoly validation",
        FETCH,
        {"X-Up-Version": "3.9", "X-Up-Target": "main", "X-Up-Validate": "email"},
        NONE,
    ),
    (
        "Unpoly part, old",
        OLD_BROWSER,
        {"X-Up-Version": "3.9", "X-Up-Target": ".a"},
        NONE,
    ),
    ("pjax", FETCH, {"X-PJAX": "true", "X-Requested-With": "XMLHttpRequest"}, BOOSTED),
    ("swup", FETCH, {"X-Requested-With": "swup"}, BOOSTED),
    ("barba", FETCH, {"x-barba": "yes"}, BOOSTED),
    ("datastar", FETCH, {"Datastar-Request": "true"}, NONE),
    # programs
    ("no agent", NAVIGATION, {"User-Agent": ""}, NONE),
    (
        "crawler",
        NAVIGATION,
        {"User-Agent": f"{AGENT} (compatible; Googlebot/2.1)"},
        NONE,
    ),
]


@pytest.mark.parametrize(
    ("browser", "headers", "kind"),
    [row[1:] for row in REQUESTS],
    ids=[row[0] for row in REQUESTS],
)
def test_request_is_classified(browser, headers, kind):
    assert classify(a_request({**browser, **headers})) is kind


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "OPTIONS", "get", ""])
def test_only_get_shows_a_page(method):
    assert classify(a_request(NAVIGATION, method=method)) is Kind.NONE


@pytest.mark.parametrize(
    ("path", "left_out"),
    [
        ("/", False),
        ("/up", True),
        ("/UP", True),
        ("/upgrade", False),
        ("/up/1", False),
        ("/health", True),
        ("/health/db", True),
        ("/healthy-food", False),
        ("/favicon.ico", True),
        ("/apple-touch-icon-120x120.png", True),
        ("/static/app", True),
        ("/static", False),
        ("/statics/x", False),
        ("/.well-known/security", True),
        ("/img/a.PNG", True),
        ("/sitemap.xml", True),
        ("/v1.2/pdf", False),
        ("/pdf", False),
        ("/shop.example/json", False),
        ("/report.pdf", True),
        ("/page.html", False),
        ("/file.", False),
        ("/.js", True),
        ("/admin", True),
        ("/admin/", True),
        ("/Admin/users", True),
        ("/administer", False),
        ("/api", True),
        ("/api/v1", True),
    ],
)
def test_path_is_left_out(path, left_out):
    assert skipped(path, ("/admin", "/API/")) is left_out


def test_slash_alone_leaves_out_the_front_page_only():
    assert [skipped(path, ("/",)) for path in ("/", "/shop")] == [True, False]


def test_site_says_what_else_is_left_out():
    request = a_request(NAVIGATION, path="/internal/stats")

    assert [classify(request), classify(request, ["/internal"])] == [STRONG, NONE]


@pytest.mark.parametrize(
    ("agent", "bot"),
    [
        (AGENT, False),
        ("Mozilla/5.0", True),  # too short for a browser
        ("curl/8.5.0 (x86_64-linux)", True),
        ("python-requests/2.32.3", True),
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", True),
        ("Mozilla/5.0 HeadlessChrome/140.0.0.0 Safari/537.36", True),
        ("facebookexternalhit/1.1", True),
        ("", True),
    ],
)
def test_program_is_no_browser(agent, bot):
    assert is_bot(agent) is bot


@pytest.mark.parametrize(
    ("query", "marketing"),
    [
        ("", False),
        ("utm_source=x", True),
        ("a=1&UTM_Campaign=x", True),
        ("gclid=1", True),
        ("page=2&li_fat_id=1", True),
        ("xutm_source=x", False),
        ("q=utm_source=x", False),
        ("gclidx=1", False),
        ("utm_source", False),
    ],
)
def test_campaign_is_seen_in_the_query(query, marketing):
    assert has_marketing(query) is marketing


JSON = [("content-type", "application/json")]
INERTIA = [*JSON, ("X-Inertia", "true")]
SAVED = [*HTML, ("Content-Disposition", "Attachment; filename=a.html")]

# What the response confirms: kind, status, headers, whether it begins a session.
RESPONSES = [
    (STRONG, 200, HTML, False, True),
    (WEAK, 200, HTML, False, True),
    (BOOSTED, 200, HTML, False, True),
    (WEAK, 201, [("CONTENT-TYPE", "application/xhtml+xml")], False, True),
    (WEAK, 203, HTML, False, True),
    (STRONG, 200, JSON, False, False),
    (STRONG, 200, [("Content-Type", "text/event-stream")], False, False),
    (STRONG, 200, [("Content-Type", "application/pdf")], False, False),
    (STRONG, 200, SAVED, False, False),
    (STRONG, 200, [], False, True),
    (WEAK, 200, [], False, False),
    (BOOSTED, 200, [], False, False),
    (BOOSTED, 200, INERTIA, False, True),
    (BOOSTED, 200, JSON, False, False),
    (STRONG, 200, INERTIA, False, False),
    (BOOSTED, 409, INERTIA, False, False),
    (STRONG, 204, HTML, False, False),
    (STRONG, 205, HTML, False, False),
    (STRONG, 206, HTML, False, False),
    (STRONG, 304, [], False, True),
    *((STRONG, status, [], True, True) for status in (301, 302, 303, 307, 308)),
    *((STRONG, status, [], False, False) for status in (301, 302, 303, 307, 308)),
    (STRONG, 300, HTML, True, False),
    (STRONG, 404, HTML, True, False),
    (STRONG, 500, HTML, True, False),
    (STRONG, 100, HTML, True, False),
    (STRONG, 0, HTML, True, False),
]


@pytest.mark.parametrize(("kind", "status", "headers", "landing", "page"), RESPONSES)
def test_response_shows_a_page(kind, status, headers, landing, page):
    assert is_page(kind, status, headers, landing=landing) is page


@pytest.mark.parametrize(
    ("method", "status", "headers", "may"),
    [
        ("GET", 200, HTML, True),
        ("POST", 303, [], True),
        ("GET", 404, HTML, True),
        ("HEAD", 200, HTML, False),
        ("GET", 0, HTML, False),
        ("GET", 103, HTML, False),
        ("GET", 204, HTML, False),
        ("GET", 206, HTML, False),
        ("GET", 304, HTML, False),
        ("GET", 200, [("Cache-Control", "public, max-age=60")], False),
        ("GET", 200, [("cache-control", "S-MaxAge=60")], False),
        ("GET", 200, [("Cache-Control", "max-age=60")], True),
        ("GET", 200, [("Cache-Control", "private, max-age=60")], True),
        ("GET", 200, [("Cache-Control", "no-store, public")], True),
        ("GET", 200, [("CDN-Cache-Control", "max-age=60")], False),
        ("GET", 200, [("Surrogate-Control", "max-age=60")], False),
        ("GET", 200, [("Surrogate-Control", "no-store")], True),
        ("GET", 200, [("X-Public", "public")], True),
    ],
)
def test_cookie_reaches_one_browser_only(method, status, headers, may):
    assert may_carry_cookies(method, status, headers) is may
