"""Somebody with a browser of their own, on one site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.stacks import Site
from tests.processes import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

VISITOR, SESSION = "_mbuzz_vid", "_mbuzz_sid"


class Person:
    """A browser context: its cookies, cache and tabs are nobody else's."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self._site = site
        self.context = browser.new_context(
            user_agent=(  # a headless one says so, and is not counted
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
                f" Chrome/{browser.version} Safari/537.36"
            ),
            ignore_https_errors=True,
        )
        self.context.set_default_timeout(PATIENCE * 1_000)

    @property
    def cookies(self) -> dict[str, dict]:
        """Return those of mbuzz, with their attributes."""
        every = self.context.cookies(self._site.url)
        return {one["name"]: one for one in every if "mbuzz" in one["name"]}

    @property
    def ids(self) -> tuple[str | None, str | None]:
        """Return the ids of visitor and session that the browser keeps."""
        kept = self.cookies
        visitor, session = kept.get(VISITOR), kept.get(SESSION)
        return visitor and visitor["value"], session and session["value"]

    def open(self, path: str, referrer: str | None = None) -> Page:
        """Open a tab and wait until all of the page is there."""
        tab = self.context.new_page()
        tab.goto(self._site.url + path, referer=referrer)
        return tab

    def close(self) -> None:
        self.context.close()
