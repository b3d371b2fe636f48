"""User agents in short: family, major version, system and kind of device.

No more than that is kept by default, so that nobody is told from others by it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_MAX_READ: Final = 1024  # characters

# The first that is there: browsers name those they descend from as well.
_FAMILIES: Final = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("Edge", r"Edg(?:e|A|iOS)?/(\d+)"),
        ("Opera", r"(?:OPR|OPT|Opera)[/ ](\d+)"),
        ("Samsung Internet", r"SamsungBrowser/(\d+)"),
        ("Yandex", r"YaBrowser/(\d+)"),
        ("Vivaldi", r"Vivaldi/(\d+)"),
        ("UC Browser", r"UCBrowser/(\d+)"),
        ("DuckDuckGo", r"(?:DuckDuckGo|Ddg)/(\d+)"),
        ("Facebook", r"FB(?:AN|AV|_IAB)\b(?:[^\]]*?FBAV/(\d+))?"),
        ("Instagram", r"Instagram (\d+)"),
        ("Firefox", r"(?:Firefox|FxiOS)/(\d+)"),
        ("Chrome", r"(?:Chrome|CriOS)/(\d+)"),
        ("Safari", r"Version/(\d+)[^ ]* (?:Mobile/\w+ )?Safari/"),
        ("Internet Explorer", r"(?:MSIE |Trident/.*rv:)(\d+)"),
        ("okhttp", r"okhttp/(\d+)"),
    )
)
_SYSTEMS: Final = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("iPadOS", r"iPad"),
        ("iOS", r"iPhone|iPod"),
        ("Android", r"Android|okhttp"),
        ("Windows", r"Windows"),
        ("ChromeOS", r"CrOS"),
        ("macOS", r"Macintosh|Mac OS X"),
        ("Linux", r"Linux|X11"),
    )
)
_TABLET: Final = re.compile(r"iPad|Tablet|Android(?!.*Mobile)")
_PHONE: Final = re.compile(r"Mobile|iPhone|iPod|Android|okhttp")


@lru_cache(maxsize=4096)
def summary(user_agent: str) -> str:
    """Return ``family major / system / device``, with ``other`` for what is unknown."""
    agent = user_agent[:_MAX_READ]
    family = "other"
    for name, pattern in _FAMILIES:
        found = pattern.search(agent)
        if found is not None:
            family = f"{name} {found[1]}" if found[1] else name
            break
    system = next((name for name, found in _SYSTEMS if found.search(agent)), "other")
    device = "other"
    if _TABLET.search(agent):
        device = "tablet"
    elif _PHONE.search(agent):
        device = "phone"
    elif system != "other":
        device = "desktop"
    return f"{family} / {system} / {device}"
