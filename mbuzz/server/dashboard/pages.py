"""The dashboard's routes: log in, look at the report, log out."""

from __future__ import annotations

from mbuzz.clock import Clock
from mbuzz.server.dashboard.channel_page import channel_page
from mbuzz.server.dashboard.doors import Doors, refused_if_forged
from mbuzz.server.dashboard.key_pages import KeyPages
from mbuzz.server.dashboard.layout import STYLE_PATH, style
from mbuzz.server.dashboard.login import (
    Logins,
    TooManyAttemptsError,
    Visit,
    local_path,
)
from mbuzz.server.dashboard.login_page import login_page
from mbuzz.server.dashboard.password_pages import PasswordPages
from mbuzz.server.dashboard.report_query import Asked, find
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import (
    Response,
    html_response,
    redirect,
    text_response,
)
from mbuzz.server.http.routes import Route
from mbuzz.server.passwords import COST, Cost
from mbuzz.server.roles import REPORTS
from mbuzz.server.storage.port import Storage

_WRONG = "The e-mail or the password is wrong. Check both and try again."


class Dashboard:
    """The pages for people; each sees their own account's data and nothing else."""

    def __init__(
        self, storage: Storage, clock: Clock, password_cost: Cost = COST
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._logins = Logins(storage, clock, cost=password_cost)
        self._doors = Doors(self._logins)

    def routes(self) -> list[Route]:
        """Return the routes; only the log-in page and the style are for all."""
        report = self._doors.reading(REPORTS, self.report)
        log_out = self._doors.writing(REPORTS, self.log_out)
        keys = KeyPages(self._storage, self._clock, self._doors)
        password = PasswordPages(self._storage, self._clock, self._logins, self._doors)
        return [
            Route(method="GET", path="/", handler=report),
            Route(method="GET", path="/login", handler=self.login_form),
            Route(method="POST", path="/login", handler=self.log_in),
            Route(method="POST", path="/logout", handler=log_out),
            *keys.routes(),
            *password.routes(),
            Route(method="GET", path=STYLE_PATH, handler=self.style),
        ]

    def report(self, request: Request, visit: Visit) -> Response:
        """Show the channel report."""
        asked = Asked.of(request.query())
        now = self._clock.now_ms()
        found = self._storage.read(
            lambda stores: find(stores, visit.user.account, asked, now)
        )
        scheme = "https" if request.secure else "http"
        page = channel_page(visit, found, f"{scheme}://{request.host}")
        return html_response(page, 422 if found.problem else 200)

    def login_form(self, request: Request) -> Response:
        """Show the log-in page, or what was asked for to somebody logged in."""
        wanted = local_path(request.query().get("next"))
        if self._logins.visit(request) is not None:
            return redirect(wanted)
        return html_response(login_page(wanted=wanted))

    def log_in(self, request: Request) -> Response:
        """Check a password and begin a log-in."""
        if (answer := refused_if_forged(request)) is not None:
            return answer
        form = request.form()
        email = form.get("email", "").strip()
        wanted = local_path(form.get("next"))
        address = str(request.environ.get("REMOTE_ADDR", ""))
        try:
            user = self._logins.authenticate(email, form.get("password", ""), address)
        except TooManyAttemptsError as error:
            page = login_page(wanted=wanted, email=email, problem=str(error))
            wait = ("Retry-After", str(error.retry_after))
            return html_response(page, 429, (wait,))
        if user is None:
            page = login_page(wanted=wanted, email=email, problem=_WRONG)
            return html_response(page, 401)
        return redirect(wanted, (self._logins.begin(user, request),))

    def log_out(self, request: Request, visit: Visit) -> Response:
        """End a log-in."""
        return redirect("/login", (self._logins.end(visit, request),))

    def style(self, _request: Request) -> Response:
        """Serve the style sheet; pages link to it with its version."""
        kept = ("Cache-Control", "public, max-age=31536000, immutable")
        sniff = ("X-Content-Type-Options", "nosniff")
        return text_response(style(), "text/css", (kept, sniff))
