"""The dashboard's routes: log in, look at the report, log out."""

from __future__ import annotations

from collections.abc import Callable

from mbuzz.clock import Clock
from mbuzz.server.dashboard.channel_page import channel_page
from mbuzz.server.dashboard.layout import STYLE_PATH, sentence_page, style
from mbuzz.server.dashboard.login import (
    Logins,
    TooManyAttemptsError,
    Visit,
    is_forged,
    local_path,
    login_path,
)
from mbuzz.server.dashboard.login_page import login_page
from mbuzz.server.dashboard.report_query import Asked, find
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import (
    Response,
    html_response,
    redirect,
    text_response,
)
from mbuzz.server.http.routes import Handler, Route
from mbuzz.server.storage.port import Storage

_WRONG = "The e-mail or the password is wrong. Check both and try again."
_FORGED = (
    "This request came from another site, so nothing was done. "
    "Open the page here and try again."
)
_STALE = "That page was of an earlier log-in, so nothing was done. Try again."

VisitHandler = Callable[[Request, Visit], Response]


class Dashboard:
    """The pages for people; each sees their own account's data and nothing else."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._logins = Logins(storage, clock)

    def routes(self) -> list[Route]:
        """Return the routes; only the log-in page and the style are for all."""
        report = self._with_visit(self.report)
        return [
            Route(method="GET", path="/", handler=report),
            Route(method="GET", path="/login", handler=self.login_form),
            Route(method="POST", path="/login", handler=self.log_in),
            Route(method="POST", path="/logout", handler=self.log_out),
            Route(method="GET", path=STYLE_PATH, handler=self.style),
        ]

    def _with_visit(self, handler: VisitHandler) -> Handler:
        """Let a handler see only requests of somebody logged in."""

        def answer(request: Request) -> Response:
            visit = self._logins.visit(request)
            if visit is None:
                return redirect(login_path(request))
            return handler(request, visit)

        return answer

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
        if is_forged(request):
            return _refused(_FORGED)
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

    def log_out(self, request: Request) -> Response:
        """End a log-in."""
        if is_forged(request):
            return _refused(_FORGED)
        visit = self._logins.visit(request)
        if visit is None:
            return redirect("/login")
        if not visit.sent(request.form().get("form_token", "")):
            return _refused(_STALE)
        return redirect("/login", (self._logins.end(visit, request),))

    def style(self, _request: Request) -> Response:
        """Serve the style sheet; pages link to it with its version."""
        kept = ("Cache-Control", "public, max-age=31536000, immutable")
        sniff = ("X-Content-Type-Options", "nosniff")
        return text_response(style(), "text/css", (kept, sniff))


def _refused(sentence: str) -> Response:
    return html_response(sentence_page("Nothing was done", sentence), 403)
