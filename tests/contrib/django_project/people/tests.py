"""What a project's own tests see; run by `manage.py test`."""

import threading
import urllib.request

from django.contrib.auth import get_user_model
from django.test import (
    AsyncClient,
    Client,
    LiveServerTestCase,
    TestCase,
    modify_settings,
    override_settings,
)

from mbuzz.testing import capture

BROWSER = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    "accept": "text/html",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
}
REMOTE = "django.contrib.auth.middleware.RemoteUserMiddleware"
PERSISTENT = "django.contrib.auth.backends.RemoteUserBackend"
MODELS = "django.contrib.auth.backends.ModelBackend"


class UserTest(TestCase):
    def setUp(self):
        self.events = self.enterContext(capture())
        self.person = get_user_model().objects.create_user("ada", password="x")
        self.client = Client(headers=BROWSER)

    def viewed_by(self):
        (view,) = self.events.page_views()
        self.events.clear()
        return view.get("user_id")

    def test_user_that_a_view_has_loaded_is_known_by_his_uuid(self):
        self.client.force_login(self.person)

        with self.assertNumQueries(2):  # the session's and the user's, as without us
            self.client.get("/private")

        assert self.viewed_by() == str(self.person.pk)

    def test_user_that_nobody_asked_for_is_not_loaded(self):
        self.client.force_login(self.person)

        with self.assertNumQueries(0):
            answer = self.client.get("/public")

        assert "Vary" not in answer
        assert self.viewed_by() is None

    def test_stranger_is_nobody(self):
        with self.assertNumQueries(0):
            self.client.get("/private")

        assert self.viewed_by() is None

    def test_log_in_and_log_out_count_at_once(self):
        self.client.get("/log-in")
        assert self.viewed_by() == str(self.person.pk)

        self.client.get("/log-out")
        assert self.viewed_by() is None

    def test_user_of_an_api_token_is_known(self):
        self.client.force_login(self.person)
        self.client.get("/public")
        self.events.clear()

        client = Client(headers=BROWSER)
        client.get("/by-token")
        assert self.viewed_by() == "token-7"
        client.get("/by-slots")
        assert self.viewed_by() == "slotted-7"

    @modify_settings(MIDDLEWARE={"append": REMOTE})
    @override_settings(AUTHENTICATION_BACKENDS=[PERSISTENT, MODELS])
    def test_user_of_the_web_server_is_known(self):
        self.client.get("/public", REMOTE_USER="ada")

        assert self.viewed_by() == str(self.person.pk)

    def test_detection_can_be_turned_off(self):
        self.client.force_login(self.person)
        self.client.get("/public")
        self.events.clear()

        with override_settings(MBUZZ={"DETECT_USER": False}):
            self.client.get("/private")

        assert self.viewed_by() is None

    async def test_async_user_is_known(self):
        client = AsyncClient()
        await client.aforce_login(self.person)

        await client.get("/aprivate", headers=BROWSER)
        assert self.viewed_by() == str(self.person.pk)

        answer = await client.get("/apublic", headers=BROWSER)
        assert "Vary" not in answer
        assert self.viewed_by() is None

    async def test_sync_view_of_an_async_client_tells_the_user(self):
        client = AsyncClient()
        await client.aforce_login(self.person)

        await client.get("/private", headers=BROWSER)

        assert self.viewed_by() == str(self.person.pk)


class SettingsTest(TestCase):
    def test_override_reaches_a_client_in_use(self):
        client = Client(headers=BROWSER)
        before = client.get("/public").cookies

        with override_settings(MBUZZ={"API_KEY": "sk_test_" + "1" * 32}):
            within = client.get("/public").cookies
        client.cookies.clear()
        after = client.get("/public").cookies

        assert "_mbuzz_sid" in within
        assert set(before) == set(after)


class ServerTest(LiveServerTestCase):
    def test_server_in_a_thread_is_captured_too(self):
        with capture() as events:
            asked = urllib.request.Request(f"{self.live_server_url}/count")
            for name, value in BROWSER.items():
                asked.add_header(name, value)
            with urllib.request.urlopen(asked, timeout=10) as answer:
                cookies = answer.headers.get_all("Set-Cookie")

        assert len(cookies) == 2
        counted = events.assert_tracked("Counted")
        (view,) = events.page_views()
        assert counted["session_id"] == view["session_id"]


class ProcessTest(TestCase):
    def test_pages_start_no_threads_of_ours_before_the_first_event(self):
        Client().get("/public")

        names = [thread.name for thread in threading.enumerate()]
        assert [name for name in names if "mbuzz" in name] == []
