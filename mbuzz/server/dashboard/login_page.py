"""The log-in page."""

from __future__ import annotations

from mbuzz.server.dashboard.html import fill
from mbuzz.server.dashboard.layout import document


def login_page(*, wanted: str, email: str = "", problem: str | None = None) -> str:
    """Return the form; *wanted* is the path to go to, *problem* what went wrong."""
    body = fill(
        """<main class="card">
<p class="brand">mbuzz</p>
<h1>Log in</h1>
{problem}
<form method="post" action="/login">
<input type="hidden" name="next" value="{wanted}">
<p class="field"><label for="email">E-mail</label>
<input id="email" name="email" type="text" inputmode="email" value="{email}"
 autocomplete="username" autocapitalize="none" spellcheck="false" required></p>
<p class="field"><label for="password">Password</label>
<input id="password" name="password" type="password"
 autocomplete="current-password" required></p>
<p><button type="submit" class="primary">Log in</button></p>
</form>
<p class="hint">The first e-mail and password were printed where the server was
started for the first time.</p>
</main>""",
        problem=fill('<p class="problem" role="alert">{text}</p>', text=problem)
        if problem
        else None,
        wanted=wanted,
        email=email,
    )
    return document("Log in", body)
