"""What is a page view: the table of rules, row by row."""

import pytest

from mbuzz import api
from mbuzz.web.pageview import Kind, Rules, has_marketing, is_bot
from mbuzz.web.response import read_head, read_raw_head, status_code
from mbuzz.web.site import Site
from mbuzz.web_options import WebOptions
from tests.web.visits import (
    AGENT,
    FETCH,
    HTML,
    NAVIGATION,
    OLD_BROWSER,
    RETURNING,
    VISITOR,
    a_request,
    begin,
)

NONE, STRONG, WEAK, BOOSTED = None, Kind.STRONG, Kind.WEAK, Kind.BOOSTED

USUAL = Rules(WebOptions())


def classify(request, **options):
    return Rules(WebOptions(**options)).classify(request)


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
    assert classify(a_request(NAVIGATION, method=method)) is None


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
    rules = Rules(WebOptions(skip_paths=("/admin", "/API/")))

    assert rules.skipped(path) is left_out


def test_slash_alone_leaves_out_the_front_page_only():
    rules = Rules(WebOptions(skip_paths=("/",)))

    assert [rules.skipped(path) for path in ("/", "/shop")] == [True, False]


def test_site_says_what_else_is_left_out():
    request = a_request(NAVIGATION, path="/internal/stats")

    assert classify(request) is STRONG
    assert classify(request, skip_paths=("/internal",)) is NONE


def test_site_names_extensions_of_its_own_files():
    request = a_request(NAVIGATION, path="/export/Orders.CSV")

    assert classify(request) is STRONG
    assert classify(request, skip_extensions=(".csv",)) is NONE


IFRAME = {**NAVIGATION, "Sec-Fetch-Dest": "iframe"}
PREFETCH = {**NAVIGATION, "Sec-Purpose": "prefetch;prerender"}
CRAWLER = {**NAVIGATION, "User-Agent": f"{AGENT} (compatible; Googlebot/2.1)"}
PJAX = {**FETCH, "X-PJAX": "true"}
OLD_PJAX = {**OLD_BROWSER, "X-PJAX": "true"}


@pytest.mark.parametrize(
    ("headers", "option", "usual", "otherwise"),
    [
        (IFRAME, {"track_iframes": True}, NONE, STRONG),
        (PREFETCH, {"track_prefetches": True}, NONE, STRONG),
        (CRAWLER, {"track_bots": True}, NONE, STRONG),
        (PJAX, {"track_boosted": False}, BOOSTED, NONE),
        (OLD_BROWSER, {"require_sec_fetch": True}, WEAK, NONE),
        (OLD_PJAX, {"require_sec_fetch": True}, BOOSTED, NONE),
    ],
    ids=["iframe", "prefetch", "bot", "boosted", "old browser", "boosted there"],
)
def test_option_decides_otherwise(headers, option, usual, otherwise):
    request = a_request(headers)

    assert [classify(request), classify(request, **option)] == [usual, otherwise]


def test_what_an_option_lets_in_is_marked():
    rules = Rules(WebOptions(track_bots=True, track_prefetches=True))

    assert rules.marks(a_request(CRAWLER)) == {"bot": True}
    assert rules.marks(a_request(PREFETCH)) == {"prefetch": True}
    assert USUAL.marks(a_request(CRAWLER)) == {}


def test_site_has_the_last_word():
    asked = []

    def unless_preview(request):
        asked.append(request.path)
        return "preview=1" not in request.query

    pages = [
        a_request(NAVIGATION, path="/a"),
        a_request(NAVIGATION, path="/b", query="preview=1"),
        a_request(NAVIGATION, path="/static/c"),  # not asked: it is no page anyway
    ]

    kinds = [classify(page, should_track=unless_preview) for page in pages]

    assert (kinds, asked) == ([STRONG, NONE, NONE], ["/a", "/b"])


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
    (STRONG, 404, HTML, True, True),  # an advertisement for a page that is gone
    (STRONG, 500, HTML, True, True),
    (STRONG, 404, JSON, True, False),
    (WEAK, 404, HTML, True, False),
    (STRONG, 404, HTML, False, False),
    (STRONG, 100, HTML, True, False),
    (STRONG, 0, HTML, True, False),
]


@pytest.mark.parametrize(("kind", "status", "headers", "landing", "page"), RESPONSES)
def test_response_shows_a_page(kind, status, headers, landing, page):
    head = read_head(status, headers)

    assert USUAL.is_page(kind, a_request(), head, landing=landing) is page


@pytest.mark.parametrize(
    ("options", "query", "status", "page"),
    [
        ({}, "", 302, False),
        ({}, "gclid=1", 302, True),  # or the campaign would be lost
        ({"track_redirects": True}, "", 302, True),
        ({"track_redirects": False}, "gclid=1", 302, False),
        ({"track_errors": True}, "", 404, True),
        ({}, "gclid=1", 404, False),
    ],
)
def test_redirects_and_errors_are_an_option(options, query, status, page):
    rules, head = Rules(WebOptions(**options)), read_head(status, HTML)

    assert rules.is_page(STRONG, a_request(query=query), head, landing=False) is page


@pytest.mark.parametrize(
    ("method", "status", "headers", "may"),
    [
        ("GET", 200, HTML, True),
        ("POST", 303, [], True),
        ("GET", 404, HTML, True),
        ("HEAD", 200, HTML, False),
        ("GET", 0, HTML, False),
        ("GET", 103, HTML, False),
        ("GET", 204, HTML, True),
        ("POST", 204, [], True),
        ("POST", 200, [("Cache-Control", "public")], True),
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
        ("GET", 200, [("CDN-Cache-Control", "max-age=0")], True),
        ("GET", 200, [("Cache-Control", 'private="x-id", public')], False),
        ("GET", 200, [("X-Public", "public")], True),
        ("GET", 200, [("Cache-Control", "private"), ("CDN-Cache-Control", "x")], False),
    ],
)
def test_cookie_reaches_one_browser_only(method, status, headers, may):
    assert read_head(status, headers).may_carry_cookies(method) is may


@pytest.mark.parametrize(
    ("line", "code"),
    [("200 OK", 200), ("404", 404), ("", 0), ("OK", 0), ("²00 x", 0), (None, 0)],
)
def test_status_line_has_a_number_or_0(line, code):
    assert status_code(line) == code


def test_headers_of_asgi_say_the_same():
    said = [(b"Content-Type", b"Text/HTML; \xff"), (bytearray(b"X-INERTIA"), b"1")]

    head = read_raw_head(200, [*said, (memoryview(b"cache-control"), b"Public")])

    assert head == (200, "text/html", "", True, True)


def test_last_word_that_fails_is_none(events, caplog):
    def broken(request):
        raise ZeroDivisionError

    api.configure(api_key="sk_test_" + "0" * 32, should_track=broken)
    exchange = begin(Site(), cookie=RETURNING)

    exchange.respond(200, HTML)

    assert events.assert_tracked("page_view", visitor_id=VISITOR)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
