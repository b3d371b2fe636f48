"""The SDK's options: defaults, `MBUZZ_*` variables, and checks that say what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from mbuzz import protocol
from mbuzz.errors import ConfigurationError
from mbuzz.values import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    Event = dict[str, Any]

_CHOICES = {
    "delivery": ("background", "sync"),
    "pii": ("standard", "strict", "off"),
}
_LONGEST = 1e9  # seconds; the system's own waits take little more
_URL = (
    r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::([0-9]{1,5}))?"
    r"(/[!-~]*?)?/*(?:[?#][!-~]*)?"
)
_DOMAIN = r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*"

_FLAGS = ("enabled", "debug", "network", "durable", "strict_events", "handshake")
_TIMES = ("batch_interval", "connect_timeout", "timeout", "retry_for", "spool_for")
_CALLBACKS = ("before_send", "on_error", "on_drop")
_WORDS = {"1": True, "true": True, "yes": True, "on": True}
_WORDS |= {"0": False, "false": False, "no": False, "off": False}


def _network_allowed() -> bool:
    """Return what the pytest plugin says; `network=True` does not ask."""
    text = os.environ.get("MBUZZ_NETWORK")
    return not text or _parse("MBUZZ_NETWORK", text, "bool") is True


class Config(Frozen):
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
    # web
    cookie_secure: bool | Literal["auto"] = "auto"
    cookie_domain: str | None = None
    skip_paths: tuple[str, ...] = ()  # whole segments: "/admin" is not "/administer"
    handshake: bool = True  # ask the backend for the cookies of a new session
    handshake_wait: float = 0.05

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
            set_("api_key", _check_key(self.api_key))
        set_("api_url", _check_url(self.api_url))
        if self.batch_size > protocol.MAX_BATCH_EVENTS:
            raise ConfigurationError(
                f"batch_size must be at most {protocol.MAX_BATCH_EVENTS}, "
                f"got {self.batch_size}"
            )
        set_("skip_paths", _check_paths(self.skip_paths))
        for name in ("redact_keys", "redact_patterns", "allow_keys"):
            set_(name, _check_words(name, getattr(self, name)))
        _check_patterns(self.redact_patterns)
        set_("ca_bundle", _check_ca_bundle(self.ca_bundle))
        set_("spool_dir", _check_folder(self.spool_dir))
        if self.durable and self.spool_dir is None:
            raise ConfigurationError(
                "durable must be False without spool_dir, got True; "
                "pass spool_dir=, a folder that only this application writes to"
            )
        _check_domain(self.cookie_domain)

    def _check_kinds(self) -> None:
        for name in _FLAGS:
            _check_flag(name, getattr(self, name))
        if self.cookie_secure != "auto":
            _check_flag("cookie_secure", self.cookie_secure, also=" or 'auto'")
        for name in _CHOICES:
            _check_choice(name, getattr(self, name))
        for name in ("batch_size", "queue_size", "queue_bytes", "spool_bytes"):
            _check_positive(name, getattr(self, name), int)
        for name in _TIMES:
            _check_positive(name, getattr(self, name), (int, float))
        for name in ("conversion_timeout", "handshake_wait"):
            _check_positive(name, getattr(self, name), (int, float), zero=True)
        _check_share("sample_rate", self.sample_rate)
        for name in _CALLBACKS:
            _check_callable(name, getattr(self, name))

    @classmethod
    def load(
        cls, options: Mapping[str, object], environ: Mapping[str, str] | None = None
    ) -> Config:
        """Return the options given, the rest from `MBUZZ_*`, the rest by default.

        Raises:
            ConfigurationError: If an option is unknown or cannot work.
        """
        known = {name: cls.__annotations__[name] for name in cls.fields()}
        for name in options:
            if name not in known:
                raise ConfigurationError(_unknown(name, known))
        values: dict[str, object] = {}
        for name, annotation in known.items():
            variable = f"MBUZZ_{name.upper()}"
            text = (os.environ if environ is None else environ).get(variable)
            if text and name not in _CALLBACKS:
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
        if "auto" in annotation and text.lower() == "auto":
            return "auto"
        raise ConfigurationError(f"{variable} must be true or false, got {text!r}")
    if annotation.startswith("tuple"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if annotation in ("int", "float"):
        try:
            return int(text) if annotation == "int" else float(text)
        except ValueError:
            raise ConfigurationError(
                f"{variable} must be a number, got {text!r}"
            ) from None
    return text


def _check_key(key: object) -> str:
    if key is None or key == "":
        raise ConfigurationError(
            "api_key is missing; pass configure(api_key=...) or set MBUZZ_API_KEY "
            "(`mbuzz keys create` makes one)"
        )
    if isinstance(key, str) and protocol.API_KEY.fullmatch(key.strip()):
        return key.strip()  # as from a file, with its line's end
    given = shorten_secret(key) if isinstance(key, str) else f"a {type(key).__name__}"
    raise ConfigurationError(
        "api_key must be sk_test_ or sk_live_ and at least 32 letters or digits, "
        f"got {given}; copy the whole key, it is shown once by `mbuzz keys create`"
    )


def shorten_secret(value: object) -> str:
    """Return enough of a secret to recognize it by, never enough to use it."""
    text = str(value)
    shown = text[: min(4, len(text) // 4)]
    return f"{shown}... ({len(text)} characters)" if text else "nothing"


def _check_url(url: object) -> str:
    given = url.strip() if isinstance(url, str) else ""
    if "@" in given:
        raise ConfigurationError(
            "api_url must not hold a user or a password; the api_key is all it takes"
        )
    found = re.fullmatch(_URL, given, re.IGNORECASE)
    if found is None or not 0 < int(found[3] or 80) < 65_536:
        raise ConfigurationError(
            f"api_url must be an http:// or https:// address, got {url!r}; "
            "a local backend's is http://127.0.0.1:8787"
        )
    port = f":{found[3]}" if found[3] else ""
    path = (found[4] or "").rstrip("/") or protocol.API_PREFIX
    return f"{found[1].lower()}://{found[2]}{port}{path}"


def _check_paths(paths: object) -> tuple[str, ...]:
    if isinstance(paths, list | tuple | set | frozenset) and all(
        isinstance(path, str) and path.startswith("/") for path in paths
    ):
        return tuple(paths)
    raise ConfigurationError(
        f"skip_paths must be a list of paths that begin with '/', got {paths!r}"
    )


def _check_words(name: str, words: object) -> tuple[str, ...]:
    if isinstance(words, list | tuple | set | frozenset) and all(
        isinstance(word, str) and word for word in words
    ):
        return tuple(sorted(words) if isinstance(words, set | frozenset) else words)
    raise ConfigurationError(f"{name} must be a list of texts, got {words!r}")


def _check_patterns(patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigurationError(
                f"redact_patterns must be regular expressions, got {pattern!r} "
                f"({error})"
            ) from None


def _check_ca_bundle(path: object) -> str | None:
    if path is None:
        return None
    if isinstance(path, str | os.PathLike) and os.path.isfile(path):  # noqa: PTH113
        return str(path)
    raise ConfigurationError(
        f"ca_bundle must be a file of certificates (PEM), got {path!r}"
    )


def _check_folder(path: object) -> str | None:
    if path is None:
        return None
    if isinstance(path, str | os.PathLike) and str(path) and "\0" not in str(path):
        return os.path.abspath(path)  # noqa: PTH100 - the host may change its folder
    raise ConfigurationError(f"spool_dir must be a folder's path, got {path!r}")


def _check_callable(name: str, value: object) -> None:
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} must be a function, got {value!r}")


def _check_share(name: str, value: object) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 <= value <= 1:  # type: ignore[operator]
        raise ConfigurationError(f"{name} must be from 0 to 1, got {value!r}")


def _check_domain(domain: object) -> None:
    if domain is None or (isinstance(domain, str) and re.fullmatch(_DOMAIN, domain)):
        return
    raise ConfigurationError(
        f"cookie_domain must be a domain such as 'example.com', got {domain!r}"
    )


def _check_flag(name: str, value: object, also: str = "") -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False{also}, got {value!r}")


def _check_choice(name: str, value: object) -> None:
    choices = _CHOICES[name]
    if value not in choices:
        given = " or ".join(repr(choice) for choice in choices)
        raise ConfigurationError(f"{name} must be {given}, got {value!r}")


def _check_positive(
    name: str, value: object, kind: type | tuple[type, ...], *, zero: bool = False
) -> None:
    good = isinstance(value, kind) and not isinstance(value, bool)
    if not good or not (value > 0 or (zero and value == 0)):  # type: ignore[operator]
        least = "0 or more" if zero else "more than 0"
        raise ConfigurationError(f"{name} must be {least}, got {value!r}")
    if kind is not int and value > _LONGEST:  # type: ignore[operator]
        raise ConfigurationError(f"{name} must be at most 1e9 seconds, got {value!r}")
