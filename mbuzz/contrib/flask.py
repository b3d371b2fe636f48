"""Flask: `Mbuzz(app)`, or `mbuzz = Mbuzz()` and `mbuzz.init_app(app)` in a factory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mbuzz import api
from mbuzz.contrib.wsgi import MbuzzMiddleware
from mbuzz.errors import ConfigurationError

if TYPE_CHECKING:
    from flask import Flask

_PREFIX = "MBUZZ_"


class Mbuzz:
    """Tracks a Flask application; options come from its ``MBUZZ_*`` configuration."""

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Wrap *app*; safe to call twice.

        Raises:
            ConfigurationError: If *app* is no Flask application.
        """
        wsgi_app: Any = getattr(app, "wsgi_app", None)
        if wsgi_app is None:
            raise ConfigurationError(
                f"Mbuzz needs a Flask application, got {type(app).__name__}; "
                "for ASGI use mbuzz.contrib.asgi.MbuzzMiddleware"
            )
        options = app.config.get_namespace(_PREFIX)
        if options:
            api.configure(**options)
        if not isinstance(wsgi_app, MbuzzMiddleware):
            app.wsgi_app = MbuzzMiddleware(wsgi_app)
        app.extensions["mbuzz"] = self
