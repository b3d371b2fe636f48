"""The page to change one's own password."""

from __future__ import annotations

from mbuzz.clock import Clock
from mbuzz.server import team
from mbuzz.server.dashboard.doors import Doors
from mbuzz.server.dashboard.header import form_token, header
from mbuzz.server.dashboard.html import fill
from mbuzz.server.dashboard.layout import document, sentence_page
from mbuzz.server.dashboard.login import Logins, TooManyAttemptsError, Visit
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, html_response
from mbuzz.server.http.routes import Route
from mbuzz.server.roles import REPORTS
from mbuzz.server.storage.port import Storage

_WRONG = "The current password is wrong."
_DIFFERENT = "The two new passwords differ."


class PasswordPages:
    """Lets everybody set a new password of their own, which ends other log-ins."""

    def __init__(
        self, storage: Storage, clock: Clock, logins: Logins, doors: Doors
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._logins = logins
        self._doors = doors

    def routes(self) -> list[Route]:
        """Return the routes."""
        show = self._doors.reading(REPORTS, self.show)
        change = self._doors.writing(REPORTS, self.change)
        return [
            Route(method="GET", path="/password", handler=show),
            Route(method="POST", path="/password", handler=change),
        ]

    def show(self, _request: Request, visit: Visit) -> Response:
        """Show the form."""
        return html_response(_page(visit))

    def change(self, request: Request, visit: Visit) -> Response:
        """Set the new password, if the current one is right."""
        form = request.form()
        address = str(request.environ.get("REMOTE_ADDR", ""))
        new = form.get("new", "")
        try:
            if new != form.get("again", ""):
                raise team.TeamError(_DIFFERENT)
            team.check_password(new, visit.user.email)
            current = form.get("current", "")
            user = self._logins.authenticate(visit.user.email, current, address)
            if user is None:
                raise team.TeamError(_WRONG)
            hashed = self._logins.hash_password(new)
        except TooManyAttemptsError as error:
            wait = ("Retry-After", str(error.retry_after))
            return html_response(_page(visit, str(error)), 429, (wait,))
        except team.TeamError as error:
            return html_response(_page(visit, _sentence(error)), 422)
        now = self._clock.now_ms()
        self._storage.write(
            lambda stores: team.change_password(
                stores,
                user,
                hashed,
                actor=user.email,
                now_ms=now,
                but_login=visit.digest,
            )
        )
        sentence = "Wherever else you were logged in, you no longer are."
        return html_response(sentence_page("The password is changed", sentence))


def _sentence(error: team.TeamError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _page(visit: Visit, problem: str | None = None) -> str:
    body = fill(
        """{header}
<main>
<div class="title"><h1>Password</h1></div>
{problem}
<form class="controls" method="post" action="/password">
{token}
<input type="text" name="email" value="{email}" autocomplete="username" hidden>
<p class="field"><label for="current">Current password</label>
<input id="current" name="current" type="password" autocomplete="current-password"
 required></p>
<p class="field"><label for="new">New password, at least 10 characters</label>
<input id="new" name="new" type="password" autocomplete="new-password" required></p>
<p class="field"><label for="again">The new password again</label>
<input id="again" name="again" type="password" autocomplete="new-password" required></p>
<p><button type="submit" class="primary">Change it</button></p>
</form>
</main>""",
        header=header(visit, here="/password"),
        problem=fill('<p class="problem" role="alert">{text}</p>', text=problem)
        if problem
        else None,
        token=form_token(visit),
        email=visit.user.email,
    )
    return document(f"Password · {visit.user.account.name}", body)
