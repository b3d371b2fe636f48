"""The site in Flask."""

from flask import Flask, Response, request

from mbuzz.contrib.flask import Mbuzz
from tests.browser.pages import OPTIONS, Asked, answer

app = Flask(__name__, static_folder=None)
app.config.update({f"MBUZZ_{name.upper()}": OPTIONS[name] for name in OPTIONS})
Mbuzz(app)


@app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
@app.route("/<path:path>", methods=["GET", "POST"])
def page(path):
    found = answer(
        Asked(
            method=request.method,
            path=f"/{path}",
            query=request.query_string.decode(),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=request.get_data(),
        )
    )
    return Response(
        found.body, found.status, headers=found.headers, content_type=found.type
    )
