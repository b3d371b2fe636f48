"""What the shop tells mbuzz; nothing of it leaves this process."""

import pytest
from shop import create_app

BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    "Accept": "text/html",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


@pytest.fixture
def client():
    return create_app().test_client()


def test_landing_is_a_page_view_with_its_campaign(client, mbuzz_events):
    client.get("/?utm_source=google&utm_medium=cpc", headers=BROWSER)

    url = "http://localhost/?utm_source=google&utm_medium=cpc"
    mbuzz_events.assert_tracked("page_view", properties={"url": url})
    assert client.get_cookie("_mbuzz_vid") is not None


def test_unknown_product_is_no_page_view(client, mbuzz_events):
    client.get("/", headers=BROWSER)
    mbuzz_events.clear()

    client.get("/products/hats", headers=BROWSER)

    mbuzz_events.assert_not_tracked("page_view")


def test_sign_up_identifies_the_visitor(client, mbuzz_events):
    client.get("/", headers=BROWSER)
    visitor = client.get_cookie("_mbuzz_vid").value

    client.post("/sign-up", data={"user": "42", "plan": "pro"}, headers=BROWSER)

    mbuzz_events.assert_identified("42", visitor_id=visitor, traits={"plan": "pro"})
    mbuzz_events.assert_tracked("Signup", user_id="42", visitor_id=visitor)


def test_checkout_is_a_conversion(client, mbuzz_events):
    client.post("/checkout", data={"product": "socks", "order": "A-1"})

    order = mbuzz_events.assert_converted("purchase", revenue="12.30")
    assert order["order_id"] == "A-1"


def test_log_in_makes_guest_and_user_one(client, mbuzz_events):
    client.post("/log-in", data={"user": "42", "guest": "guest-7"})

    assert ("alias", "guest-7") in [
        (item["type"], item.get("previous_id")) for item in mbuzz_events
    ]
