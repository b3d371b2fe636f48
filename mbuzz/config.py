"""The SDK's options: defaults, `MBUZZ_*` variables, and checks that say what to do."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast, get_args
from urllib.parse import urlsplit

from mbuzz import protocol
from mbuzz.errors import ConfigurationError

DeliveryMode = Literal["background", "sync"]
PiiMode = Literal["standard", "off"]

_LONGEST = 1e9  # seconds; the system's own waits take little more
_DOMAIN = re.compile(r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")

_WORDS = {"1": True, "true": True, "yes": True, "on": True}
_WORDS |= {"0": False, "false": False, "no": False, "off": False}


def _network_allowed() -> bool:
    """Return what the pytest plugin says; `network=True` does not ask."""
    text = os.environ.get("MBUZZ_NETWORK")
    return not text or cast("bool", _parse("MBUZZ_NETWORK", text, "bool"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All options of a client. Times are seconds, sizes bytes.

    Raises:
        ConfigurationError: If an option cannot work; the text says what to do.
    """

    api_key: str = field(default="", repr=False)
    api_url: str = protocol.DEFAULT_API_URL
    enabled: bool = True
    debug: bool = False
    # the pytest plugin turns it off through MBUZZ_NETWORK
    network: bool = field(default_factory=_network_allowed)
    # delivery
    delivery: DeliveryMode = "background"
    batch_size: int = 100
    batch_interval: float = 1.0
    queue_size: int = 10_000
    queue_bytes: int = 33_554_432
    connect_timeout: float = 3.0
    timeout: float = 10.0
    conversion_timeout: float = 2.0
    retry_for: float = 600.0  # an event older than this is given up
    ca_bundle: str | None = None
    # payloads
    pii: PiiMode = "standard"
    # web
    cookie_secure: bool | Literal["auto"] = "auto"
    cookie_domain: str | None = None
    skip_paths: tuple[str, ...] = ()  # whole segments: "/admin" is not "/administer"
    handshake: bool = True  # ask the backend for the cookies of a new session
    handshake_wait: float = 0.05

    def __post_init__(self) -> None:
        for name in ("enabled", "debug", "network", "handshake"):
            _check_flag(name, getattr(self, name))
        if self.cookie_secure != "auto":
            _check_flag("cookie_secure", self.cookie_secure, also=" or 'auto'")
        if self.enabled:
            object.__setattr__(self, "api_key", _check_key(self.api_key))
        object.__setattr__(self, "api_url", _check_url(self.api_url))
        for name in ("delivery", "pii"):
            _check_choice(name, getattr(self, name))
        for name in ("batch_size", "queue_size", "queue_bytes"):
            _check_positive(name, getattr(self, name), int)
        for name in ("batch_interval", "connect_timeout", "timeout", "retry_for"):
            _check_positive(name, getattr(self, name), (int, float))
        for name in ("conversion_timeout", "handshake_wait"):
            _check_positive(name, getattr(self, name), (int, float), zero=True)
        if self.batch_size > protocol.MAX_BATCH_EVENTS:
            raise ConfigurationError(
                f"batch_size must be at most {protocol.MAX_BATCH_EVENTS}, "
                f"got {self.batch_size}"
            )
        object.__setattr__(self, "skip_paths", _check_paths(self.skip_paths))
        object.__setattr__(self, "ca_bundle", _check_ca_bundle(self.ca_bundle))
        _check_domain(self.cookie_domain)

    @classmethod
    def load(
        cls, options: Mapping[str, object], environ: Mapping[str, str] | None = None
    ) -> Config:
        """Return the options given, the rest from `MBUZZ_*`, the rest by default.

        Raises:
            ConfigurationError: If an option is unknown or cannot work.
        """
        known = {entry.name: entry for entry in fields(cls)}
        for name in options:
            if name not in known:
                raise ConfigurationError(_unknown(name, known))
        values: dict[str, object] = {}
        for name, entry in known.items():
            variable = f"MBUZZ_{name.upper()}"
            text = (os.environ if environ is None else environ).get(variable)
            if text:
                values[name] = _parse(variable, text, str(entry.type))
        values.update({k: v for k, v in options.items() if v is not None})
        return cls(**cast("dict[str, Any]", values))


def _unknown(name: str, known: Mapping[str, object]) -> str:
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
    try:
        parts = urlsplit(given)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        path = parts.path.rstrip("/") or protocol.API_PREFIX
        good = good and f"{parts.netloc}{path}".isascii() and " " not in given
    except ValueError:  # brackets or a port that make no sense
        good = False
    if not good:
        raise ConfigurationError(
            f"api_url must be an http:// or https:// address, got {url!r}; "
            "a local backend's is http://127.0.0.1:8787"
        )
    return f"{parts.scheme}://{parts.netloc}{path}"


def _check_paths(paths: object) -> tuple[str, ...]:
    if isinstance(paths, list | tuple | set | frozenset) and all(
        isinstance(path, str) and path.startswith("/") for path in paths
    ):
        return tuple(paths)
    raise ConfigurationError(
        f"skip_paths must be a list of paths that begin with '/', got {paths!r}"
    )


def _check_ca_bundle(path: object) -> str | None:
    if path is None:
        return None
    if isinstance(path, str | os.PathLike) and Path(path).is_file():
        return str(path)
    raise ConfigurationError(
        f"ca_bundle must be a file of certificates (PEM), got {path!r}"
    )


def _check_domain(domain: object) -> None:
    if domain is None or (isinstance(domain, str) and _DOMAIN.fullmatch(domain)):
        return
    raise ConfigurationError(
        f"cookie_domain must be a domain such as 'example.com', got {domain!r}"
    )


def _check_flag(name: str, value: object, also: str = "") -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False{also}, got {value!r}")


def _check_choice(name: str, value: object) -> None:
    choices = get_args({"delivery": DeliveryMode, "pii": PiiMode}[name])
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
