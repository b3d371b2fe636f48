"""The server's options: one table for flags, `MBUZZ_SERVER_*` variables and checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Final

from mbuzz.errors import ConfigurationError
from mbuzz.server import option_kinds as kinds

PREFIX: Final = "MBUZZ_SERVER_"
_LONGEST_SHOWN: Final = 60  # characters of a wrong value


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What is known of an option beside its default."""

    name: str
    kind: kinds.Kind
    metavar: str
    help: str
    secret: bool = False
    group: str = ""

    @property
    def variable(self) -> str:
        """Return the name of its environment variable."""
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """Return the option of `mbuzz serve`."""
        return "--" + self.name.replace("_", "-")

    def take(self, value: object, called: str) -> object:
        """Return *value* as the option has it; *called* is how the user knows it.

        Raises:
            ConfigurationError: If it cannot be.
        """
        try:
            return self.kind(value)
        except ValueError as error:
            shown = "a secret that is not shown" if self.secret else repr(value)
            if len(shown) > _LONGEST_SHOWN:
                shown = f"{shown[: _LONGEST_SHOWN - 3]}..."
            raise ConfigurationError(f"{called} must be {error}, got {shown}") from None


_FIRST: Final = "at the first start"

OPTIONS: Final = (
    Option(
        name="database",
        kind=kinds.database,
        metavar="FILE",
        help="SQLite file, made if missing",
    ),
    Option(
        name="host",
        kind=kinds.host,
        metavar="ADDRESS",
        help="address to listen on; 0.0.0.0 or :: for all of the machine's",
    ),
    Option(
        name="port",
        kind=kinds.whole(0, 65_535),
        metavar="PORT",
        help="port to listen on; 0 takes a free one",
    ),
    Option(
        name="public_url",
        kind=kinds.public_url,
        metavar="URL",
        help="address that browsers use; with https the dashboard's cookie is Secure",
    ),
    Option(
        name="trusted_proxies",
        kind=kinds.proxies,
        metavar="WHO",
        help="proxies whose X-Forwarded-For, -Proto and -Host are believed: how many "
        "hops, or which addresses and networks, with commas",
    ),
    Option(
        name="client_address_header",
        kind=kinds.one_of("x-forwarded-for", "forwarded", "cf-connecting-ip"),
        metavar="HEADER",
        help="header that trusted proxies tell the client's address in: "
        "x-forwarded-for, forwarded (RFC 7239, then of scheme and host, too) or "
        "cf-connecting-ip",
    ),
    Option(
        name="datacenter_ranges",
        kind=kinds.networks_file,
        metavar="FILE",
        help="file of networks, one a line; page views whose property ip is in one "
        "count as a bot's; read at the start",
    ),
    Option(
        name="rate_limit",
        kind=kinds.rate,
        metavar="NUMBER",
        help="requests a second and key",
    ),
    Option(
        name="rate_burst",
        kind=kinds.whole(1, 1_000_000_000),
        metavar="NUMBER",
        help="requests of a key at once",
    ),
    Option(
        name="max_connections",
        kind=kinds.whole(0, 1_000_000),
        metavar="NUMBER",
        help="open connections; 0: as many as the system lets the process have",
    ),
    Option(
        name="request_timeout",
        kind=kinds.seconds(0.1, 600),
        metavar="SECONDS",
        help="for a whole request to arrive, and for 256 KiB of an answer to leave",
    ),
    Option(
        name="idle_timeout",
        kind=kinds.seconds(0.1, 3_600),
        metavar="SECONDS",
        help="that a connection is kept for its next request",
    ),
    Option(
        name="stop_timeout",
        kind=kinds.seconds(0, 600),
        metavar="SECONDS",
        help="that running requests have to end once the server is told to stop",
    ),
    Option(
        name="log_format",
        kind=kinds.one_of("text", "json"),
        metavar="FORMAT",
        help="of the log on standard error: text, or json, one object a line",
    ),
    Option(
        name="log_level",
        kind=kinds.one_of("debug", "info", "warning", "error"),
        metavar="LEVEL",
        help="least level that is logged: debug, info, warning or error",
    ),
    Option(
        name="access_log",
        kind=kinds.one_of("all", "errors", "off"),
        metavar="WHICH",
        help="requests that are logged: all, errors (answers from 400 on), or off",
    ),
    Option(
        name="metrics",
        kind=kinds.one_of("local", "all", "off"),
        metavar="WHO",
        help="who may read /metrics without the token: local (this machine, by no "
        "proxy), all, or off (nobody, not even with it)",
    ),
    Option(
        name="metrics_token",
        kind=kinds.token,
        metavar="TOKEN",
        help="bearer token that /metrics takes from anywhere; better as a variable, "
        "since others on the machine see flags",
        secret=True,
    ),
    Option(
        name="email",
        kind=kinds.email,
        metavar="EMAIL",
        help="who logs in to the dashboard",
        group=_FIRST,
    ),
    Option(
        name="currency",
        kind=kinds.currency,
        metavar="CODE",
        help="of the account",
        group=_FIRST,
    ),
    Option(
        name="timezone",
        kind=kinds.timezone,
        metavar="NAME",
        help="of the account's reports",
        group=_FIRST,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """All options of the backend; times are seconds."""

    database: str = "mbuzz.db"
    host: str = "127.0.0.1"
    port: int = 8787
    public_url: str = ""
    trusted_proxies: int | tuple[str, ...] = ()
    client_address_header: str = "x-forwarded-for"
    datacenter_ranges: str = ""
    rate_limit: float = 100.0  # requests a second and key
    rate_burst: int = 500
    max_connections: int = 0  # as many as the system allows
    request_timeout: float = 10.0
    idle_timeout: float = 30.0
    stop_timeout: float = 10.0
    log_format: str = "text"
    log_level: str = "info"
    access_log: str = "errors"
    metrics: str = "local"
    metrics_token: str = ""
    email: str = "owner@localhost"
    currency: str = "USD"
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        for option in OPTIONS:
            value = option.take(getattr(self, option.name), option.name)
            object.__setattr__(self, option.name, value)


DEFAULTS: Final[Mapping[str, object]] = {
    field.name: field.default for field in fields(ServerSettings)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings, and for each name where its value comes from."""

    settings: ServerSettings
    origins: Mapping[str, str]
    warnings: tuple[str, ...]

    def table(self) -> list[tuple[str, str, str]]:
        """Return name, value and origin of each; secrets are not shown."""
        rows = []
        for option in OPTIONS:
            value = getattr(self.settings, option.name)
            shown = ",".join(value) if isinstance(value, tuple) else str(value)
            if isinstance(value, float):
                shown = f"{value:g}"
            if option.secret and shown:
                shown = "(set)"
            rows.append((option.name, shown or "-", self.origins[option.name]))
        return rows


def load(
    environ: Mapping[str, str], flags: Mapping[str, str | None] | None = None
) -> Loaded:
    """Return the settings of *flags* (None: not given) over those of *environ*.

    An empty variable is none.

    Raises:
        ConfigurationError: If one of them cannot work.
    """
    given: dict[str, object] = {}
    origins: dict[str, str] = {}
    for option in OPTIONS:
        name = option.name
        flag = (flags or {}).get(name)
        if flag is not None:
            given[name] = option.take(flag, option.flag)
            origins[name] = option.flag
        elif environ.get(option.variable):
            given[name] = option.take(environ[option.variable], option.variable)
            origins[name] = option.variable
        else:
            origins[name] = "default"
    return Loaded(
        settings=ServerSettings(**given),  # type: ignore[arg-type]  # taken above
        origins=origins,
        warnings=tuple(unknown_variables(environ)),
    )


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that looks like ours and is none."""
    known = [option.variable for option in OPTIONS]
    sentences = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            nearest = get_close_matches(name, known, 1, cutoff=0.8)
            hint = f"did you mean {nearest[0]}?" if nearest else "it has no effect"
            sentences.append(f"{name[:80]} is no option of the server; {hint}")
    return sentences
