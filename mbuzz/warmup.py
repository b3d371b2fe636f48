"""Loads ahead what calls and worker would load later, while it is still safe.

An import that a fork interrupts stays locked in the child for ever: whoever needs the
module there hangs. So nothing may be left to import once threads track and hosts fork.
"""

from __future__ import annotations

from importlib import import_module

from mbuzz.delivery import proxies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mbuzz.config import Config

_ALWAYS = (
    "mbuzz.card_numbers",
    "mbuzz.personal_data",
    "mbuzz.plain",
)  # and not what hosts that fork beside threads have long loaded, such as decimal


def load(config: Config) -> None:
    """Import what a client with these options may need."""
    for name in _needed(config):
        import_module(name)


def _needed(config: Config) -> Iterator[str]:
    yield from _ALWAYS
    if config.network:
        if config.api_url.startswith("https:"):
            yield "ssl"
        origin = proxies.Origin(config.api_url)
        if not origin.host.replace(".", "").isdigit():
            yield "encodings.idna"  # for every name that is looked up
        if proxies.configured():
            yield "urllib.request"
    if config.spool_dir is not None:
        yield from ("mbuzz.delivery.spool", "hashlib")
    if config.strict_events:
        yield from ("mbuzz.definitions", "difflib")
