"""The lines of script that count a page which came out of a shared cache."""

from __future__ import annotations

from mbuzz.web_options import WebOptions

COUNTED = ("Server-Timing", "mbuzz")  # says to the script: the server has dealt with it

# A page that the server has dealt with says so in its Server-Timing, which scripts can
# read on https and localhost only; elsewhere rather no view than two. Libraries that
# swap pages run this again with each; then the latest load of the address is its own,
# and where it cannot be told, the first is found, which has been dealt with.
_LINES = """\
(function () {
  function seen() {
    var here = location.href.split("#")[0];
    var load = performance.getEntriesByType("navigation").concat(
      performance.getEntriesByType("resource").filter(function (entry) {
        return entry.name === here;
      })
    ).pop();
    if (!window.isSecureContext || window !== window.top) return;
    if (!load || load.startTime <= window.mbuzzSeen) return;
    window.mbuzzSeen = load.startTime;
    var counted = (load.serverTiming || []).some(function (entry) {
      return entry.name === "mbuzz";
    });
    if (counted) return;
    fetch("PREFIX/session", {
      method: "POST",
      keepalive: true,
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ url: location.href, referrer: document.referrer })
    }).catch(function () {});
  }
  if (document.prerendering) {
    document.addEventListener("prerenderingchange", seen, { once: true });
  } else {
    setTimeout(seen);
  }
})();"""


def session_script(options: WebOptions | None = None) -> str:
    """Return the script, for a ``<script>`` in the body of every page of the site.

    Only with `session_endpoint`: it asks for cookies where the page itself could bring
    none, and keeps still on pages that the server counts.
    """
    return _LINES.replace("PREFIX", (options or WebOptions()).endpoint_prefix)
