"""What options must look like, and what is said of those that do not."""

from __future__ import annotations

import os
import re

from mbuzz import protocol
from mbuzz.errors import ConfigurationError

_LONGEST = 1e9  # seconds; the system's own waits take little more
_URL = (
    r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::([0-9]{1,5}))?"
    r"(/[!-~]*?)?/*(?:[?#][!-~]*)?"
)
_PATH = r"(?:/[A-Za-z0-9._~-]+)+/*"
_DOMAIN = r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*"


def key(key: object) -> str:
    """Return the API key, trimmed."""
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


def url(url: object) -> str:
    """Return the backend's address as one that ends in the API's path."""
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


def paths(name: str, paths: object) -> tuple[str, ...]:
    """Return paths, which all begin with a slash, as a tuple."""
    if isinstance(paths, list | tuple | set | frozenset) and all(
        isinstance(path, str) and path.startswith("/") for path in paths
    ):
        return tuple(paths)
    raise ConfigurationError(
        f"{name} must be a list of paths that begin with '/', got {paths!r}"
    )


def prefix(name: str, path: object) -> str:
    """Return a path below which the site has nothing, without its last slash."""
    if isinstance(path, str) and re.fullmatch(_PATH, path):
        return path.rstrip("/")
    raise ConfigurationError(
        f"{name} must be a path of letters, digits and -._~ below which the site has "
        f"nothing, such as '/_mbuzz', got {path!r}"
    )


def words(name: str, words: object) -> tuple[str, ...]:
    """Return texts, none of them empty, as a tuple."""
    if isinstance(words, list | tuple | set | frozenset) and all(
        isinstance(word, str) and word for word in words
    ):
        return tuple(sorted(words) if isinstance(words, set | frozenset) else words)
    raise ConfigurationError(f"{name} must be a list of texts, got {words!r}")


def patterns(patterns: tuple[str, ...]) -> None:
    """Check that all are regular expressions."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigurationError(
                f"redact_patterns must be regular expressions, got {pattern!r} "
                f"({error})"
            ) from None


def ca_bundle(path: object) -> str | None:
    """Return the path of a file that exists, as text."""
    if path is None:
        return None
    if isinstance(path, str | os.PathLike) and os.path.isfile(path):  # noqa: PTH113
        return str(path)
    raise ConfigurationError(
        f"ca_bundle must be a file of certificates (PEM), got {path!r}"
    )


def folder(path: object) -> str | None:
    """Return a folder's path, made absolute."""
    if path is None:
        return None
    if isinstance(path, str | os.PathLike) and str(path) and "\0" not in str(path):
        return os.path.abspath(path)  # noqa: PTH100 - the host may change its folder
    raise ConfigurationError(f"spool_dir must be a folder's path, got {path!r}")


def function(name: str, value: object) -> None:
    """Check that it can be called, if it is there."""
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} must be a function, got {value!r}")


def plain_function(name: str, value: object) -> None:
    """Check that it is a function that answers at once, if it is there."""
    function(name, value)
    if value is None:
        return
    from inspect import iscoroutinefunction

    call = getattr(value, "__call__", None)  # noqa: B004 - of an object, its method
    if iscoroutinefunction(value) or iscoroutinefunction(call):
        raise ConfigurationError(
            f"{name} must answer at once, got {value!r}; define it without async"
        )


def share(name: str, value: object) -> None:
    """Check that it is a number from 0 to 1."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 <= value <= 1:  # type: ignore[operator]
        raise ConfigurationError(f"{name} must be from 0 to 1, got {value!r}")


def domain(domain: object) -> None:
    """Check that cookies can be set for it."""
    if domain is None or (isinstance(domain, str) and re.fullmatch(_DOMAIN, domain)):
        return
    raise ConfigurationError(
        f"cookie_domain must be a domain such as 'example.com', got {domain!r}"
    )


def flag(name: str, value: object, also: str = "") -> None:
    """Check that it is True or False; *also* says what else there is."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False{also}, got {value!r}")


def choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Check that it is one of *choices*."""
    if value not in choices:
        given = " or ".join(repr(choice) for choice in choices)
        raise ConfigurationError(f"{name} must be {given}, got {value!r}")


def count(name: str, value: object) -> None:
    """Check that it is a whole number above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ConfigurationError(
            f"{name} must be a whole number above 0, got {value!r}"
        )


def seconds(
    name: str, value: object, *, zero: bool = False, most: float = _LONGEST
) -> None:
    """Check that it is a time in seconds above 0, or 0 if *zero*."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not (value > 0 or (zero and value == 0)):  # type: ignore[operator]
        least = "from 0" if zero else "above 0"
        raise ConfigurationError(
            f"{name} must be a number of seconds {least}, got {value!r}"
        )
    if value > most:  # type: ignore[operator]
        raise ConfigurationError(
            f"{name} must be at most {most:g} seconds, got {value!r}"
        )
