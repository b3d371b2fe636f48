"""The template tag, and the same element for other template engines."""

import re

import jinja2
import pytest
from django.http import HttpResponse
from django.template import Context, RequestContext, Template
from django.template import engines as template_engines
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from django.utils.functional import SimpleLazyObject

import mbuzz
from mbuzz.contrib.django.script import mbuzz_script
from mbuzz.web.script import session_script
from tests.contrib.django_site import KEY, quiet_django
from tests.web.visits import NAVIGATION

__all__ = ["quiet_django"]

TAG = "{% load mbuzz %}{% mbuzz_script %}"


@pytest.fixture
def site():
    """Configure a site whose pages lie in caches."""
    mbuzz.configure(api_key=KEY, network=False, session_endpoint=True)


def render(source=TAG, request=None, **context):
    if request is None:
        return Template(source).render(Context(context))
    return Template(source).render(RequestContext(request, context))


def a_request(**attributes):
    request = RequestFactory().get("/")
    for name, value in attributes.items():
        setattr(request, name, value)
    return request


def test_element_holds_the_script(site):
    assert render() == f"<script>{session_script()}</script>"


def test_prefix_of_the_site_is_in_it():
    mbuzz.configure(
        api_key=KEY, network=False, session_endpoint=True, endpoint_prefix="/t"
    )

    assert 'fetch("/t/session"' in render()


@pytest.mark.parametrize(
    "options",
    [None, {"session_endpoint": False}, {"session_endpoint": True, "enabled": False}],
    ids=["unconfigured", "endpoint off", "disabled"],
)
def test_nothing_where_no_endpoint_is(options, caplog):
    if options is not None:
        mbuzz.configure(api_key=KEY, network=False, **options)

    assert render(request=a_request()) == ""


@pytest.mark.parametrize("name", ["csp_nonce", "_csp_nonce"], ids=["django-csp", "6.0"])
def test_nonce_is_the_requests_and_read_only_then(site, name):
    read = []

    class LazyNonce(SimpleLazyObject):  # as both are: false until they are read
        def __bool__(self):
            return bool(read)

    nonce = LazyNonce(lambda: read.append(1) or "r4nd0m")

    found = render(request=a_request(**{name: nonce}))

    assert found.startswith('<script nonce="r4nd0m">')
    assert read


def test_nonce_is_not_read_where_nothing_is_rendered():
    def read():
        raise AssertionError

    mbuzz.configure(api_key=KEY, network=False)

    assert render(request=a_request(csp_nonce=SimpleLazyObject(read))) == ""


def test_nonce_of_the_context(site):
    assert '<script nonce="abc">' in render(csp_nonce="abc")


def test_nonce_may_be_given_and_is_escaped(site):
    source = "{% load mbuzz %}{% mbuzz_script nonce=mine %}"

    found = render(source, a_request(csp_nonce="other"), mine='a"><b>')

    assert found.startswith('<script nonce="a&quot;&gt;&lt;b&gt;">(function')


def test_jinja_takes_the_function(site):
    environment = jinja2.Environment(autoescape=True)
    environment.globals["mbuzz_script"] = mbuzz_script

    found = environment.from_string("{{ mbuzz_script(request) }}").render(
        request=a_request(csp_nonce="abc")
    )

    assert found == f'<script nonce="abc">{session_script()}</script>'


def test_broken_nonce_costs_the_script_and_not_the_page(site, caplog):
    def broken():
        raise RuntimeError

    assert render(request=a_request(csp_nonce=SimpleLazyObject(broken))) == ""
    assert [record.name for record in caplog.records] == ["mbuzz.guard"]


def page(request):
    template = template_engines["django"].from_string(TAG)
    return HttpResponse(template.render({}, request))


urlpatterns = [path("", page)]


@override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["testserver"])
def test_page_that_the_server_counts_tells_the_script(site):
    counted = Client(headers=NAVIGATION).get("/")
    not_counted = Client(headers={**NAVIGATION, "Sec-Purpose": "prefetch"}).get("/")

    assert re.search(rb"<script>.+</script>", counted.content, re.DOTALL)
    assert counted["Server-Timing"] == "mbuzz"
    assert "Server-Timing" not in not_counted
