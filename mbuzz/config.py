"""The SDK's options: defaults, `MBUZZ_*` variables, and checks that say what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from mbuzz import option_checks as checks
from mbuzz import protocol
from mbuzz.errors import ConfigurationError
from mbuzz.web_options import CALLBACKS as WEB_CALLBACKS
from mbuzz.web_options import WebOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    Event = dict[str, Any]

_CHOICES = {
    "delivery": ("background", "sync"),
    "pii": ("standard", "strict", "off"),
}
_FLAGS = ("enabled", "debug", "network", "durable", "strict_events")
_TIMES = ("batch_interval", "connect_timeout", "timeout", "retry_for", "spool_for")
_CALLBACKS = ("before_send", "on_error", "on_drop")
CALLBACKS = frozenset({*_CALLBACKS, *WEB_CALLBACKS})
_WORDS = {"1": True, "true": True, "yes": True, "on": True}
_WORDS |= {"0": False, "false": False, "no": False, "off": False}


def _network_allowed() -> bool:
    """Return what the pytest plugin says; `network=True` does not ask."""
    text = os.environ.get("MBUZZ_NETWORK")
    return not text or _parse("MBUZZ_NETWORK", text, "bool") is True


class Config(WebOptions):
    """All options of a client. Times are seconds, sizes bytes.

    `before_send` gets each event as a dict, cleaned, and returns it, changed or not, or
    None to keep it from being sent. `on_error` is told why a request failed, `on_drop`
    why which events are lost; both are called by whatever thread finds out.

    Raises:
        ConfigurationError: If an option cannot work; the text says what to do.
    """

    _hidden = ("api_key",)

    api_key: str = ""
    api_url: str = protocol.DEFAULT_API_URL
    enabled: bool = True
    debug: bool = False
    network: bool = True  # the pytest plugin turns it off through MBUZZ_NETWORK
    # delivery
    delivery: Literal["background", "sync"] = "background"
    batch_size: int = 100
    batch_interval: float = 1.0
    queue_size: int = 10_000
    queue_bytes: int = 33_554_432
    connect_timeout: float = 3.0
    timeout: float = 10.0
    conversion_timeout: float = 2.0
    retry_for: float = 600.0  # an event older than this is given up, or spooled
    ca_bundle: str | None = None
    on_error: Callable[[str], object] | None = None
    on_drop: Callable[[str, list[Event]], object] | None = None
    # the spool
    spool_dir: str | None = None
    spool_bytes: int = 268_435_456
    spool_for: float = 604_800.0
    durable: bool = False  # every event is on disk before its call returns
    # payloads
    pii: Literal["standard", "strict", "off"] = "standard"
    redact_keys: tuple[str, ...] = ()
    redact_patterns: tuple[str, ...] = ()  # regular expressions
    allow_keys: tuple[str, ...] = ()  # never redacted for their name
    sample_rate: float = 1.0  # share of the visitors whose events are sent
    strict_events: bool = False  # hold events against `mbuzz.catalog`
    before_send: Callable[[Event], Event | None] | None = None

    if not TYPE_CHECKING:

        def __init__(self, **given):
            super().__init__(**given)
            if "network" not in given:
                self.__dict__["network"] = _network_allowed()
            self._check()

    def _check(self) -> None:
        self._check_kinds()
        set_ = self.__dict__.__setitem__
        if self.enabled:
            set_("api_key", checks.key(self.api_key))
        set_("api_url", checks.url(self.api_url))
        if self.batch_size > protocol.MAX_BATCH_EVENTS:
            raise ConfigurationError(
                f"batch_size must be at most {protocol.MAX_BATCH_EVENTS}, "
                f"got {self.batch_size}"
            )
        for name in ("redact_keys", "redact_patterns", "allow_keys"):
            set_(name, checks.words(name, getattr(self, name)))
        checks.patterns(self.redact_patterns)
        set_("ca_bundle", checks.ca_bundle(self.ca_bundle))
        set_("spool_dir", checks.folder(self.spool_dir))
        if self.durable and self.spool_dir is None:
            raise ConfigurationError(
                "durable must be False without spool_dir, got True; "
                "pass spool_dir=, a folder that only this application writes to"
            )
        self._check_web()

    def _check_kinds(self) -> None:
        for name in _FLAGS:
            checks.flag(name, getattr(self, name))
        for name in _CHOICES:
            checks.choice(name, getattr(self, name), _CHOICES[name])
        for name in ("batch_size", "queue_size", "queue_bytes", "spool_bytes"):
            checks.count(name, getattr(self, name))
        for name in _TIMES:
            checks.seconds(name, getattr(self, name))
        checks.seconds("conversion_timeout", self.conversion_timeout, zero=True)
        checks.share("sample_rate", self.sample_rate)
        for name in _CALLBACKS:
            checks.function(name, getattr(self, name))

    @classmethod
    def load(
        cls, options: Mapping[str, object], environ: Mapping[str, str] | None = None
    ) -> Config:
        """Return the options given, the rest from `MBUZZ_*`, the rest by default.

        Raises:
            ConfigurationError: If an option is unknown or cannot work.
        """
        known = cls.annotations()
        for name in options:
            if name not in known:
                raise ConfigurationError(_unknown(name, known))
        values: dict[str, object] = {}
        for name, annotation in known.items():
            variable = f"MBUZZ_{name.upper()}"
            text = (os.environ if environ is None else environ).get(variable)
            if not text or options.get(name) is not None:
                continue
            if name in CALLBACKS:  # consent, say, that nobody would ask
                raise ConfigurationError(
                    f"{variable} must not be set, {name} is a function; "
                    f"unset it and pass configure({name}=...)"
                )
            values[name] = _parse(variable, text, annotation)
        values.update({k: v for k, v in options.items() if v is not None})
        return cls(**values)  # type: ignore[arg-type]  # checked by _check


def _unknown(name: str, known: Mapping[str, object]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown option {name!r}{hint}"


def _parse(variable: str, text: str, annotation: str) -> object:
    """Return *text* as the type that *annotation* names."""
    text = text.strip()
    if annotation.startswith("bool"):
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        others = re.findall(r"'(\w+)'", annotation)  # literals
        if text.lower() in others:
            return text.lower()
        choices = " or ".join(["true", "false", *others])
        raise ConfigurationError(f"{variable} must be {choices}, got {text!r}")
    if "tuple" in annotation:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if annotation in ("int", "float"):
        try:
            return int(text) if annotation == "int" else float(text)
        except ValueError:
            raise ConfigurationError(
                f"{variable} must be a number, got {text!r}"
            ) from None
    return text
