"""The site as Django's settings and URLs know it."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.urls import NoReverseMatch, reverse

from mbuzz.web.pageview import Rules
from mbuzz.web.site import Site
from mbuzz.web_options import WebOptions


class DjangoSite(Site):
    """Leaves out what is no page of the site: its files and its admin."""

    def __init__(self) -> None:
        self._is_open = False  # the URLs are not asked before the first request
        super().__init__()
        self._is_open = True

    def make_rules(self, options: WebOptions) -> Rules:
        """Return what counts, without the site's files and its admin."""
        if not self._is_open:
            return super().make_rules(options)
        return Rules(options, skip_paths=(*options.skip_paths, *_own_paths()))


def _own_paths() -> Iterator[str]:
    for url in (settings.STATIC_URL, settings.MEDIA_URL):
        if url and url.startswith("/") and url.strip("/"):  # or on another host
            yield url
    try:
        admin = reverse("admin:index")
    except NoReverseMatch:
        return
    yield admin
    _, first, rest = (*admin.split("/", 2), "")[:3]
    languages = [code for code, _ in settings.LANGUAGES] if settings.USE_I18N else []
    if first in languages:  # i18n_patterns: it is there once for each
        yield f"/{rest}"
        yield from (f"/{code}/{rest}" for code in languages)
