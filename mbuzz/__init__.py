"""Server-side event tracking and multi-touch attribution.

Importing this loads nothing else: the names below are found when first used.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # not from typing, which would cost more than all of this
if TYPE_CHECKING:
    from mbuzz.api import aalias as aalias
    from mbuzz.api import aclose as aclose
    from mbuzz.api import aconversion as aconversion
    from mbuzz.api import aflush as aflush
    from mbuzz.api import agroup as agroup
    from mbuzz.api import aidentify as aidentify
    from mbuzz.api import alias as alias
    from mbuzz.api import apage as apage
    from mbuzz.api import atrack as atrack
    from mbuzz.api import attach as attach
    from mbuzz.api import bind as bind
    from mbuzz.api import carrier as carrier
    from mbuzz.api import close as close
    from mbuzz.api import configure as configure
    from mbuzz.api import context_scope as context_scope
    from mbuzz.api import conversion as conversion
    from mbuzz.api import current as current
    from mbuzz.api import default_client as default_client
    from mbuzz.api import flush as flush
    from mbuzz.api import forget as forget
    from mbuzz.api import group as group
    from mbuzz.api import health as health
    from mbuzz.api import identify as identify
    from mbuzz.api import init as init
    from mbuzz.api import page as page
    from mbuzz.api import reset as reset
    from mbuzz.api import session_id as session_id
    from mbuzz.api import stats as stats
    from mbuzz.api import track as track
    from mbuzz.api import user_id as user_id
    from mbuzz.api import visitor_id as visitor_id
    from mbuzz.client import Client as Client
    from mbuzz.config import Config as Config
    from mbuzz.context import RequestContext as RequestContext
    from mbuzz.delivery.stats import Health as Health
    from mbuzz.delivery.stats import Stats as Stats
    from mbuzz.errors import ConfigurationError as ConfigurationError
    from mbuzz.errors import MbuzzError as MbuzzError
    from mbuzz.results import ConversionResult as ConversionResult
    from mbuzz.results import TrackResult as TrackResult

_ELSEWHERE = {
    "Client": "client",
    "Config": "config",
    "ConfigurationError": "errors",
    "ConversionResult": "results",
    "Health": "delivery.stats",
    "MbuzzError": "errors",
    "RequestContext": "context",
    "Stats": "delivery.stats",
    "TrackResult": "results",
}
_FUNCTIONS = (
    "aalias aclose aconversion aflush agroup aidentify alias apage atrack attach bind "
    "carrier close configure context_scope conversion current default_client flush "
    "forget group health identify init page reset session_id stats track user_id "
    "visitor_id"
).split()

__all__ = sorted([*_FUNCTIONS, *_ELSEWHERE, "__version__"])


def __getattr__(name: str) -> object:
    if name in _FUNCTIONS or name in _ELSEWHERE:
        from importlib import import_module

        module = import_module(f"mbuzz.{_ELSEWHERE.get(name, 'api')}")
        value = globals()[name] = getattr(module, name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
