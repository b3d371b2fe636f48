"""The page of API keys: which there are, a form for another, the new one, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mbuzz.clock import iso
from mbuzz.server.dashboard.header import form_token, header
from mbuzz.server.dashboard.html import Html, fill
from mbuzz.server.dashboard.layout import document
from mbuzz.server.dashboard.login import Visit
from mbuzz.server.ingestion.keys import DEFAULT_SCOPES, SCOPES
from mbuzz.server.storage.rows.accounts import ApiKey


def key_page(
    visit: Visit,
    keys: Sequence[ApiKey],
    now_ms: int,
    *,
    made: str | None = None,
    problem: str | None = None,
) -> str:
    """Return the page; *made* is the text of a key made just now."""
    body = fill(
        """{header}
<main>
<div class="title"><h1 id="keys">API keys</h1></div>
{problem}
{made}
{table}
{form}
</main>""",
        header=header(visit, here="/keys"),
        problem=fill('<p class="problem" role="alert">{text}</p>', text=problem)
        if problem
        else None,
        made=_made(made) if made else None,
        table=_table(visit, keys, now_ms),
        form=_form(visit),
    )
    return document(f"API keys · {visit.user.account.name}", body)


def _made(text: str) -> Html:
    return fill(
        """<section class="start" role="status">
<h2>The new key, shown once</h2>
<pre><code>{text}</code></pre>
<p>Copy it now: only a digest of it is kept. Keys belong on servers, never into pages
or apps.</p>
</section>""",
        text=text,
    )


def _table(visit: Visit, keys: Sequence[ApiKey], now_ms: int) -> Html:
    return fill(
        """<div class="scroll" role="region" aria-labelledby="keys" tabindex="0">
<table>
<thead><tr><th scope="col">Key</th><th scope="col">Name</th><th scope="col">May</th>
<th scope="col">Made</th><th scope="col">Last used</th><th scope="col">State</th>
<th scope="col"></th></tr></thead>
<tbody>
{rows}</tbody>
</table>
</div>""",
        rows=_rows(visit, keys, now_ms),
    )


def _rows(visit: Visit, keys: Sequence[ApiKey], now_ms: int) -> Iterator[Html]:
    for key in keys:
        used = key.last_used_at_ms
        state = _state(key, now_ms)
        yield fill(
            '<tr><th scope="row">{hint}</th><td>{name}</td><td>{scopes}</td>'
            "<td>{made}</td><td>{used}</td><td>{state}</td><td>{revoke}</td></tr>\n",
            hint=key.hint,
            name=key.name,
            scopes=", ".join(scope for scope in SCOPES if scope in key.scopes),
            made=_day(key.created_at_ms),
            used="never" if used is None else _day(used),
            state=state,
            revoke=_revoke(visit, key) if state.startswith("works") else None,
        )


def _revoke(visit: Visit, key: ApiKey) -> Html:
    return fill(
        """<form method="post" action="/keys/revoke">
{token}<input type="hidden" name="key" value="{key}">
<button type="submit" aria-label="Revoke {hint}">Revoke</button></form>""",
        token=form_token(visit),
        key=key.public_id,
        hint=key.hint,
    )


def _form(visit: Visit) -> Html:
    return fill(
        """<form class="controls" method="post" action="/keys">
{token}
<p class="field"><label for="name">What the new key is for</label>
<input id="name" name="name" type="text" maxlength="100"></p>
<p class="field"><label for="data">Data</label>
<select id="data" name="data"><option value="test">Test</option>
<option value="live">Live</option></select></p>
<p class="field"><label for="days">Ends after days (empty: never)</label>
<input id="days" name="days" type="number" min="1" max="3650"></p>
<fieldset class="field"><legend>May</legend>{scopes}</fieldset>
<p><button type="submit" class="primary">Make a key</button></p>
</form>""",
        token=form_token(visit),
        scopes=(
            fill(
                '<label><input type="checkbox" name="{field}"{checked}> '
                "{scope}: {meaning}</label>",
                field=f"scope_{scope}",
                checked=fill(" checked") if scope in DEFAULT_SCOPES else None,
                scope=scope,
                meaning=meaning,
            )
            for scope, meaning in SCOPES.items()
        ),
    )


def _state(key: ApiKey, now_ms: int) -> str:
    if key.revoked_at_ms is not None:
        return "revoked"
    if key.expires_at_ms is None:
        return "works"
    day = _day(key.expires_at_ms)
    return f"expired {day}" if key.expires_at_ms <= now_ms else f"works until {day}"


def _day(ms: int) -> str:
    return iso(ms)[:10]
