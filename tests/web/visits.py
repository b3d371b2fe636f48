"""Requests as browsers send them, for the tests of `mbuzz.web`."""

import io

from mbuzz.web.request import EnvironRequest, WebRequest
from mbuzz.web.site import Site

KEY = "sk_test_" + "0" * 32
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
VISITOR = "ab" * 32
SESSION = "cd" * 16
BOTH = ["_mbuzz_vid", "_mbuzz_sid"]  # cookies
VID, SID = BOTH[:1], BOTH[1:]
RETURNING = f"_mbuzz_vid={VISITOR}; _mbuzz_sid={SESSION}"

OLD_BROWSER = {"User-Agent": AGENT, "Accept": "text/html,*/*;q=0.8"}
NAVIGATION = {
    **OLD_BROWSER,
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
FETCH = {
    **OLD_BROWSER,
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
}
HTML = [("Content-Type", "text/html; charset=utf-8")]
PUBLIC = [*HTML, ("Cache-Control", "public, max-age=60")]
JSON = [("Content-Type", "application/json")]


def environ(
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
    path: str = "/",
    query: str = "",
    cookie: str = "",
    scheme: str = "https",
    host: str = "shop.example",
    body: bytes = b"",
) -> dict:
    """Return a WSGI environ; *path* is decoded."""
    found = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "10.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": host,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if cookie:
        found["HTTP_COOKIE"] = cookie
    for name, value in (headers or {}).items():
        key = name.upper().replace("-", "_")
        found[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    return found


def a_request(headers: dict[str, str] | None = None, **parts: str) -> WebRequest:
    """Return a request to https://shop.example/ with *headers*."""
    return EnvironRequest(environ(headers, **parts))


def welcoming():
    """Return a site whose front page has given new visitors their cookies before."""
    site = Site()
    site.landed("/", got_cookies=True)
    return site


def begin(site, headers=NAVIGATION, **parts):
    """Let *site* begin a request; return its exchange."""
    return site.begin(EnvironRequest, environ(headers, **parts), {})


def names(cookies):
    return [cookie.name for cookie in cookies]


def values(cookies):
    return {cookie.name: cookie.value for cookie in cookies}
