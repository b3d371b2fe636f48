"""What all pages share: the document around them, and a page for one sentence."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from mbuzz.server.dashboard.html import Html, fill

STYLE_PATH = "/assets/mbuzz.css"


@cache
def style() -> str:
    """Return the one style sheet."""
    file = resources.files("mbuzz.server.dashboard").joinpath("style.css")
    return file.read_text("utf-8")


@cache
def _version() -> str:
    """Return what changes with the style sheet, which browsers keep for long."""
    return hashlib.sha256(style().encode()).hexdigest()[:12]


def document(title: str, body: Html) -> str:
    """Return a whole page."""
    page = fill(
        """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · mbuzz</title>
<link rel="icon" href="{icon}">
<link rel="stylesheet" href="{path}?v={version}">
</head>
<body>
{body}
</body>
</html>
""",
        title=title,
        icon=_ICON,
        path=STYLE_PATH,
        version=_version(),
        body=body,
    )
    return page.text


def sentence_page(title: str, sentence: str) -> str:
    """Return a page that says one thing and leads back to the report."""
    return document(
        title,
        fill(
            '<main class="card"><p class="brand">mbuzz</p><h1>{title}</h1>'
            '<p>{sentence}</p><p><a href="/">Back to the report</a></p></main>',
            title=title,
            sentence=sentence,
        ),
    )


# Three bars, as in the report.
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'"
    "%3E%3Cg fill='%23356b8c'%3E%3Crect y='2' width='8' height='3' rx='1'/%3E"
    "%3Crect y='7' width='12' height='3' rx='1'/%3E"
    "%3Crect y='12' width='16' height='3' rx='1'/%3E%3C/g%3E%3C/svg%3E"
)
