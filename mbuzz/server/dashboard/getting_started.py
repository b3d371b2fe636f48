"""What somebody sees who has no data yet: the lines of code that change that."""

from __future__ import annotations

from mbuzz.server.dashboard.html import Html, fill

_LIVE_KEYS = """<code>mbuzz keys create --live</code> makes a key for it. The first key,
printed where this server was started for the first time, is a test key: what it sends
is under <a href="/?env=test">Test</a>."""
_TEST_KEYS = """The first key was printed where this server was started for the first
time; <code>mbuzz keys create</code> makes another one."""


def getting_started(*, server: str, live: bool) -> Html:
    """Return the steps; *server* is this server's address as the browser knows it."""
    key = "sk_live_..." if live else "sk_test_..."
    return fill(
        """<section class="start">
<h2>Waiting for the first {kind} event</h2>
<p>Three steps, and this page fills itself.</p>
<ol>
<li><h3>Install the library where your site runs</h3>
<pre><code>pip install mbuzz</code></pre></li>
<li><h3>Tell it where to send events</h3>
<pre><code>export MBUZZ_API_URL={server}
export MBUZZ_API_KEY={key}</code></pre>
<p>{keys} A key that begins with <code>{prefix}</code> fills this page, and only this
one.</p></li>
<li><h3>Add the middleware of your framework</h3>
<dl class="frameworks">
<div><dt>Flask</dt><dd><pre><code>from mbuzz.contrib.flask import Mbuzz
Mbuzz(app)</code></pre></dd></div>
<div><dt>FastAPI, Starlette</dt>
<dd><pre><code>from mbuzz.contrib.asgi import MbuzzMiddleware
app.add_middleware(MbuzzMiddleware)</code></pre></dd></div>
<div><dt>Django</dt><dd><pre><code>MIDDLEWARE = [
    "mbuzz.contrib.django.MbuzzMiddleware",
    ...
]</code></pre></dd></div>
<div><dt>Any WSGI application</dt>
<dd><pre><code>from mbuzz.contrib.wsgi import MbuzzMiddleware
app = MbuzzMiddleware(app)</code></pre></dd></div>
</dl></li>
</ol>
<p>Open a page of your site, then <a href="{again}">look here again</a>. Revenue
appears with the first conversion:</p>
{conversion}
</section>""",
        kind="live" if live else "test",
        server=server,
        key=key,
        keys=fill(_LIVE_KEYS if live else _TEST_KEYS),
        prefix=key.rstrip("."),
        again="/?env=live" if live else "/?env=test",
        conversion=conversion_code(),
    )


def conversion_code() -> Html:
    """Return the line that records a conversion."""
    return fill(
        """<pre><code>import mbuzz

mbuzz.conversion("purchase", revenue="49.90", order_id="1001")</code></pre>"""
    )
