"""Requests as browsers send them, for the tests of `mbuzz.web`."""

from mbuzz.web.request import WebRequest, from_environ

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
VISITOR = "ab" * 32
SESSION = "cd" * 16
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


def environ(
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
    path: str = "/",
    query: str = "",
    cookie: str = "",
    scheme: str = "https",
    host: str = "shop.example",
) -> dict:
    """Return a WSGI environ; *path* is decoded."""
    found = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "10.0.0.1",
        "SERVER_PORT": "80",
        "HTTP_HOST": host,
        "wsgi.url_scheme": scheme,
    }
    if cookie:
        found["HTTP_COOKIE"] = cookie
    for name, value in (headers or {}).items():
        found[f"HTTP_{name.upper().replace('-', '_')}"] = value
    return found


def a_request(headers: dict[str, str] | None = None, **parts: str) -> WebRequest:
    """Return a request to https://shop.example/ with *headers*."""
    return from_environ(environ(headers, **parts))
