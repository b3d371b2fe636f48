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

    def make_rules(self, options: WebOptions) -> Rules:
        """Return what counts, without the site's files and its admin."""
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
