"""A visit to a site whose framework has the released client's middleware."""

import json
import sys
import threading

import mbuzz

framework, url, key, packages = sys.argv[1:5]
sys.path.append(packages)  # the frameworks' home; last, so that the client is not ours
mbuzz.init(api_key=key)
mbuzz.config.api_url = f"{url}/api/v1"
assert mbuzz.__version__ == "0.11.1"

HEADERS = {
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0",
}
HOST = "shop.example"


def page(path):
    """Do what a view of the site does."""
    said = {"viewed": vars(mbuzz.event("page_view"))}
    if path == "/account":
        said["identified"] = mbuzz.identify("7", traits={"plan": "pro"})
    if path == "/thanks":
        said["bought"] = vars(mbuzz.conversion("purchase", revenue="49.90"))
    return said


def flask():
    from flask import Flask
    from mbuzz.middleware.flask import init_app

    app = Flask("shop")
    init_app(app)
    app.add_url_rule("/", "root", lambda: page("/"))
    app.add_url_rule("/<path:path>", "page", lambda path: page(f"/{path}"))
    client = app.test_client()

    def ask(method, target, body=None, **headers):
        return client.open(
            target,
            method=method,
            base_url=f"https://{HOST}",
            json=body,
            headers={**HEADERS, **headers},
        )

    return ask


def django():
    from django.conf import settings

    settings.configure(
        ALLOWED_HOSTS=[HOST],
        MIDDLEWARE=["mbuzz.middleware.django.MbuzzMiddleware"],
        ROOT_URLCONF="__main__",
        SECRET_KEY="not-a-secret",
    )
    import django

    django.setup()
    from django.http import JsonResponse
    from django.test import Client
    from django.urls import re_path

    global urlpatterns
    urlpatterns = [re_path("", lambda request: JsonResponse(page(request.path)))]
    client = Client(headers={**HEADERS, "host": HOST})

    def ask(method, target, body=None, **headers):
        data = {} if body is None else {"data": json.dumps(body)}
        return client.generic(
            method,
            target,
            content_type="application/json",
            secure=True,
            headers=headers,
            **data,
        )

    return ask


def steps(ask):
    """Yield what a browser does on the site, and what the site answers."""
    landing = {
        "url": f"https://{HOST}/?utm_source=google&utm_medium=cpc",
        "referrer": "https://www.google.com/",
    }
    yield ask("GET", "/?utm_source=google&utm_medium=cpc")  # perhaps from a cache
    yield ask("POST", "/_mbuzz/session", landing)
    for path in ("/shoes", "/account", "/thanks"):
        yield ask("GET", path, Referer=f"https://{HOST}/")


story = []
for answer in steps({"flask": flask, "django": django}[framework]()):
    for thread in threading.enumerate():  # in which the middleware announces visits
        if thread is not threading.main_thread():
            thread.join(10)
    body = bytes(answer.data if framework == "flask" else answer.content)
    story.append(json.loads(body) if body else answer.status_code)
print(json.dumps(story))
