"""What a browser sends: pages, assets and fetches, as WSGI and as ASGI have them."""

from __future__ import annotations

import io
from dataclasses import dataclass

HOST = "shop.example"
PATHS = tuple(f"/products/{number}" for number in range(5))
ASSET, API = "/static/app.js", "/api/cart"
MANY = 200  # different requests of a kind
KINDS = ("asset", "fetch", "page", "first")

_BROWSER = {
    "Host": HOST,
    "Connection": "keep-alive",
    "sec-ch-ua": '"Chromium";v="141", "Google Chrome";v="141", "Not?A_Brand";v="8"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9,de;q=0.8",
    "Referer": f"https://{HOST}/products/7",
}
_OF_KIND = {
    "asset": {
        "Accept": "*/*",
        "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "no-cors",
        "Sec-Fetch-Dest": "script",
    },
    "fetch": {
        "Accept": "application/json",
        "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Dest": "empty",
    },
    "page": {
        "Upgrade-Insecure-Requests": "1",
        "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,"
        "image/avif,image/webp,*/*;q=0.8",
        "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-User": "?1",
        "Sec-Fetch-Dest": "document",
    },
}
_OF_KIND["first"] = _OF_KIND["page"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request of a browser's."""

    path: str
    query: str
    headers: dict[str, str]

    def environ(self) -> dict[str, object]:
        """Return it as a WSGI server does."""
        named = {
            f"HTTP_{name.upper().replace('-', '_')}": value
            for name, value in self.headers.items()
        }
        return {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "SERVER_NAME": HOST,
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.7",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            **named,
        }

    def scope(self) -> dict[str, object]:
        """Return it as an ASGI server does."""
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": self.query.encode(),
            "root_path": "",
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in self.headers.items()
            ],
            "client": ("192.0.2.7", 50_000),
            "server": (HOST, 443),
        }


def asked(kind: str, number: int) -> Asked:
    """Return a request of *kind*; all but a "first" bring both of our cookies."""
    cookies = f"_ga=GA1.1.{number}.1760000000; csrftoken={number:032x}; theme=dark"
    if kind != "first":
        cookies += f"; _mbuzz_vid={number + 1:064x}; _mbuzz_sid={number + 1:032x}"
    path = {"asset": ASSET, "fetch": API}.get(kind, PATHS[number % len(PATHS)])
    query = f"color=red&size={number % 40}" if number % 3 == 0 else ""
    return Asked(
        path=path,
        query=query,
        headers={**_BROWSER, **_OF_KIND[kind], "Cookie": cookies},
    )


def many(kind: str) -> list[Asked]:
    """Return `MANY` different requests of *kind*."""
    return [asked(kind, number) for number in range(MANY)]
