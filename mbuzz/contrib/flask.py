"""Flask: `Mbuzz(app)`, or `mbuzz = Mbuzz()` and `mbuzz.init_app(app)` in a factory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import g, has_app_context

from mbuzz import api, guard
from mbuzz.contrib.wsgi import Environ, MbuzzMiddleware, StartResponse
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
        if wsgi_app is None or hasattr(app, "asgi_app"):  # Quart has both
            ours = "mbuzz.contrib.asgi.MbuzzMiddleware"
            how = f"use app.add_middleware({ours})"
            if hasattr(app, "asgi_app"):
                how = f"use app.asgi_app = {ours}(app.asgi_app)"
            raise ConfigurationError(
                f"Mbuzz needs a Flask application, got {type(app).__name__}; {how}"
            )
        options = _configure(app, {})
        if not isinstance(wsgi_app, MbuzzMiddleware):
            app.wsgi_app = _Middleware(wsgi_app, app, options)
        app.extensions["mbuzz"] = self


class _Middleware(MbuzzMiddleware):
    """Looks again, at the first request, at what the application is configured with.

    A `consent` that is set after `Mbuzz(app)` must not be passed over in silence.
    """

    def __init__(self, wsgi_app: Any, app: Flask, options: dict[str, Any]) -> None:
        super().__init__(wsgi_app, user=_logged_in)
        self._unsettled: tuple[Flask, dict[str, Any]] | None = (app, options)

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve one request."""
        if self._unsettled is not None:
            with guard.swallowing("flask configuration"):
                _configure(*self._unsettled)
            self._unsettled = None
        return super().__call__(environ, start_response)


def _configure(app: Flask, known: dict[str, Any]) -> dict[str, Any]:
    """Put the application's options in force, if they are not *known*; return them."""
    options: dict[str, Any] = app.config.get_namespace(_PREFIX)
    if options != known:
        api.configure_also(options)
    return options


def _logged_in() -> object:
    """Return the id of the user, if Flask-Login has loaded him for this request.

    Asking its `current_user`, or the session, would load them and make every page vary
    by cookie.
    """
    user = g.get("_login_user") if has_app_context() else None
    if user is None or not getattr(user, "is_authenticated", False):
        return None
    return user.get_id()
