"""What the shop tells mbuzz; nothing of it leaves this process.

Runs with `python3 manage.py test` and with pytest.
"""

import os

import django
from django.test import Client, SimpleTestCase

from mbuzz.testing import capture

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django.setup()

BROWSER = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    "accept": "text/html",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
}


class ShopTest(SimpleTestCase):
    def setUp(self):
        self.events = self.enterContext(capture())
        self.browser = Client(headers=BROWSER)

    def test_landing_is_a_page_view_with_its_campaign(self):
        self.browser.get("/?utm_source=google&utm_medium=cpc")

        url = "http://testserver/?utm_source=google&utm_medium=cpc"
        self.events.assert_tracked("page_view", properties={"url": url})

    def test_unknown_product_is_no_page_view(self):
        self.browser.get("/")
        self.events.clear()

        self.browser.get("/products/hats")

        self.events.assert_not_tracked("page_view")

    def test_sign_up_identifies_the_visitor(self):
        self.browser.get("/")
        visitor = self.browser.cookies["_mbuzz_vid"].value

        self.browser.post("/sign-up", {"user": "42", "plan": "pro"})

        self.events.assert_identified("42", visitor_id=visitor)
        self.events.assert_tracked("Signup", user_id="42", properties={"plan": "pro"})

    def test_log_in_makes_guest_and_user_one(self):
        self.browser.post("/log-in", {"user": "42", "guest": "guest-7"})

        aliases = [item for item in self.events if item["type"] == "alias"]
        assert aliases[0]["previous_id"] == "guest-7"

    async def test_checkout_is_a_conversion(self):
        await self.async_client.post("/checkout", {"product": "socks", "order": "A-1"})

        order = self.events.assert_converted("purchase", revenue="12.30")
        assert order["order_id"] == "A-1"
