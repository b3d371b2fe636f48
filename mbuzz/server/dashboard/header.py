"""The top of every page of somebody logged in: whose data, where to go, log out."""

from __future__ import annotations

from mbuzz.server.dashboard.html import Html, fill
from mbuzz.server.dashboard.login import Visit
from mbuzz.server.roles import KEYS


def header(visit: Visit, choice: Html | None = None, *, here: str = "/") -> Html:
    """Return it; *choice* is what the page lets one choose, *here* the page's path."""
    links = [("/", "Report"), ("/keys", "API keys"), ("/password", "Password")]
    return fill(
        """<header class="top">
<p class="brand">mbuzz</p>
<p class="account">{account}</p>
{choice}
<nav class="places" aria-label="Pages">{links}</nav>
<form method="post" action="/logout">
{token}
<button type="submit" class="quiet" title="{email}">Log out</button>
</form>
</header>""",
        account=visit.user.account.name,
        choice=choice,
        links=(
            fill('<a href="{path}">{label}</a>', path=path, label=label)
            for path, label in links
            if path != here and (path != "/keys" or visit.may(KEYS))
        ),
        token=form_token(visit),
        email=visit.user.email,
    )


def form_token(visit: Visit) -> Html:
    """Return the field that shows that a form is of a page of this log-in."""
    return fill(
        '<input type="hidden" name="form_token" value="{token}">',
        token=visit.form_token,
    )
