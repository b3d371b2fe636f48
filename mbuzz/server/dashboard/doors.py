"""Who gets in to a page: logged in, with a role that may, from a form of our own."""

from __future__ import annotations

from collections.abc import Callable

from mbuzz.server.dashboard.layout import sentence_page
from mbuzz.server.dashboard.login import Logins, Visit, is_forged, login_path
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, html_response, redirect
from mbuzz.server.http.routes import Handler
from mbuzz.server.roles import PERMISSIONS

_FORGED = (
    "This request came from another site, so nothing was done. "
    "Open the page here and try again."
)
_STALE = "That page was of an earlier log-in, so nothing was done. Try again."

VisitHandler = Callable[[Request, Visit], Response]


class Doors:
    """Makes handlers that see only the requests they should."""

    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    def reading(self, permission: str, handler: VisitHandler) -> Handler:
        """Let in who is logged in and may; others are led to the log-in, or told."""

        def answer(request: Request) -> Response:
            visit = self._logins.visit(request)
            if visit is None:
                return redirect(login_path(request))
            return _if_may(request, visit, permission, handler)

        return answer

    def writing(self, permission: str, handler: VisitHandler) -> Handler:
        """Let in forms of our own pages, from who may."""

        def answer(request: Request) -> Response:
            if is_forged(request):
                return refused(_FORGED)
            visit = self._logins.visit(request)
            if visit is None:
                return redirect("/login")
            if not visit.sent(request.form().get("form_token", "")):
                return refused(_STALE)
            return _if_may(request, visit, permission, handler)

        return answer


def _if_may(
    request: Request, visit: Visit, permission: str, handler: VisitHandler
) -> Response:
    if visit.may(permission):
        return handler(request, visit)
    roles = [role for role, can in PERMISSIONS.items() if permission in can]
    sentence = (
        f"To {permission} takes the role {' or '.join(roles)}; "
        f"yours is {visit.user.role}. Ask an owner of {visit.user.account.name}."
    )
    return html_response(sentence_page("Not for your role", sentence), 403)


def refused_if_forged(request: Request) -> Response | None:
    """Return the answer to a request that another site's page made the browser send."""
    return refused(_FORGED) if is_forged(request) else None


def refused(sentence: str) -> Response:
    """Return a page that says why nothing was done."""
    return html_response(sentence_page("Nothing was done", sentence), 403)
