"""What the shop tells mbuzz; nothing of it leaves this process."""

import io
from urllib.parse import urlencode
from wsgiref.util import setup_testing_defaults

from shop import app

BROWSER = {
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    "HTTP_ACCEPT": "text/html",
    "HTTP_SEC_FETCH_MODE": "navigate",
    "HTTP_SEC_FETCH_DEST": "document",
}


def request(method, path, query="", **form):
    """Return the status and the names of the cookies."""
    body = urlencode(form).encode()
    environ = {
        **BROWSER,
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    setup_testing_defaults(environ)
    answers = []
    app(environ, lambda status, headers: answers.append((status, headers)))
    status, headers = answers[-1]
    cookies = [value.partition("=")[0] for name, value in headers if "Cookie" in name]
    return status, cookies


def test_landing_is_a_page_view_with_its_campaign(mbuzz_events):
    status, cookies = request("GET", "/", "utm_source=google&utm_medium=cpc")

    assert (status, cookies) == ("200 OK", ["_mbuzz_vid", "_mbuzz_sid"])
    url = "http://127.0.0.1/?utm_source=google&utm_medium=cpc"
    mbuzz_events.assert_tracked("page_view", properties={"url": url})


def test_sign_up_identifies_the_visitor(mbuzz_events):
    request("POST", "/sign-up", user="42", plan="pro")

    mbuzz_events.assert_identified("42", traits={"plan": "pro"})
    mbuzz_events.assert_tracked("Signup", user_id="42", properties={"plan": "pro"})
    mbuzz_events.assert_not_tracked("page_view")


def test_checkout_is_a_conversion(mbuzz_events):
    request("POST", "/checkout", product="shoes", order="A-1")

    order = mbuzz_events.assert_converted("purchase", revenue="129.90")
    assert order["order_id"] == "A-1"


def test_log_in_makes_guest_and_user_one(mbuzz_events):
    request("POST", "/log-in", user="42", guest="guest-7")

    assert ("alias", "guest-7") in [
        (item["type"], item.get("previous_id")) for item in mbuzz_events
    ]
