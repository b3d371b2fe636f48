"""The server's options and their `MBUZZ_SERVER_*` variables."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from mbuzz.errors import ConfigurationError

DEFAULT_DATABASE = "mbuzz.db"
DEFAULT_PORT = 8787


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """All options of the backend."""

    database: str = DEFAULT_DATABASE
    rate_limit: float = 100.0  # requests a second and key
    rate_burst: int = 500

    def __post_init__(self) -> None:
        if not self.database.strip():
            raise ConfigurationError("database must be the path of an SQLite file")
        if self.database.startswith(("postgres:", "postgresql:")):
            raise ConfigurationError(
                "PostgreSQL storage is not in this version of mbuzz; "
                "give the path of an SQLite file as the database"
            )
        if not 0 < self.rate_limit < math.inf or self.rate_burst < 1:
            raise ConfigurationError(
                "rate_limit and rate_burst must be numbers over 0, "
                f"got {self.rate_limit!r} and {self.rate_burst!r}"
            )

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] | None = None
    ) -> ServerSettings:
        """Read `MBUZZ_SERVER_DATABASE`, `_RATE_LIMIT` and `_RATE_BURST`.

        Raises:
            ConfigurationError: If one of them cannot work.
        """
        env = os.environ if environ is None else environ
        given = {
            name: env[variable]
            for name in ("database", "rate_limit", "rate_burst")
            if env.get(variable := f"MBUZZ_SERVER_{name.upper()}")
        }
        try:
            return cls(
                database=given.get("database", DEFAULT_DATABASE),
                rate_limit=float(given.get("rate_limit", 100)),
                rate_burst=int(given.get("rate_burst", 500)),
            )
        except ValueError as error:
            raise ConfigurationError(
                f"MBUZZ_SERVER_RATE_LIMIT and _RATE_BURST must be numbers: {error}"
            ) from None
