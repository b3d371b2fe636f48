"""The Flask extension: the shared table, the factory, and the configuration."""

import threading

import flask
import pytest
from flask import Flask
from flask_login import LoginManager, UserMixin, current_user
from quart import Quart
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import mbuzz
from mbuzz import api
from mbuzz.context import current
from mbuzz.contrib.flask import Mbuzz
from mbuzz.contrib.wsgi import MbuzzMiddleware
from tests.contrib.cases import CASES, HTML, Case, call_wsgi, check
from tests.web.visits import FETCH, RETURNING, VISITOR

KEY = "sk_test_" + "0" * 32


def create_app(case=None, **config):
    """Return an application that answers as *case* says."""
    case = case or Case()
    app = Flask(__name__, static_folder=None)
    app.config.update(config)
    Mbuzz(app)

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    def everything(path):
        case.does()
        chunks = iter(case.chunks) if case.streamed else list(case.chunks)
        response = flask.Response(chunks, case.status)
        response.headers.pop("Content-Type")
        response.headers.extend(case.answer)
        return response

    return app


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_case(case, events):
    check(case, call_wsgi(create_app(case), case), events)


def test_configuration_comes_from_the_application():
    app = create_app(
        MBUZZ_API_KEY=KEY, MBUZZ_NETWORK=False, MBUZZ_SKIP_PATHS=["/admin"]
    )

    config = api.current_client().config
    assert (config.api_key, config.skip_paths) == (KEY, ("/admin",))
    assert len(call_wsgi(app, Case()).cookies) == 2
    assert call_wsgi(app, Case(path="/admin")).cookies == {}


def test_configuration_that_comes_after_the_extension_counts():
    app = create_app(MBUZZ_API_KEY=KEY, MBUZZ_NETWORK=False)
    app.config["MBUZZ_CONSENT"] = lambda request: False

    assert call_wsgi(app, Case()).cookies == {}
    assert api.current_client().config.api_key == KEY


def test_configuration_of_one_application_is_not_left_to_the_next():
    mbuzz.configure(api_key=KEY, network=False, api_url="http://127.0.0.1:9")
    create_app(MBUZZ_SKIP_PATHS=["/admin"])
    create_app(MBUZZ_RESPECT_GPC=True)

    config = api.current_client().config
    assert (config.skip_paths, config.respect_gpc) == ((), True)
    assert config.api_url == "http://127.0.0.1:9/api/v1"


def test_configuration_comes_from_the_environment_without_it(monkeypatch):
    monkeypatch.setenv("MBUZZ_API_KEY", KEY)
    monkeypatch.setenv("MBUZZ_NETWORK", "off")

    answer = call_wsgi(create_app(), Case())

    assert len(answer.cookies) == 2
    assert api.current_client().config.api_key == KEY


def test_wrong_key_is_one_error_and_the_site_works(caplog):
    app = create_app(MBUZZ_API_KEY="pk_live_wrong")

    answers = [call_wsgi(app, Case()) for _ in range(2)]

    assert {answer.body for answer in answers} == {b"hello"}
    assert {len(answer.cookies) for answer in answers} == {0}
    errors = [r for r in caplog.records if r.levelname == "ERROR"]
    assert len(errors) == 1
    assert "pk_live_wrong" not in errors[0].getMessage()


def test_extension_is_made_before_its_applications(events):
    extension = Mbuzz()
    apps = [Flask(name) for name in ("one", "two")]

    for app in apps:
        extension.init_app(app)
        app.get("/")(lambda: "hello")

    for app in apps:
        assert app.extensions["mbuzz"] is extension
        assert len(call_wsgi(app, Case()).cookies) == 2
    assert len(events.page_views()) == 2


def test_second_set_up_changes_nothing(events):
    app = create_app()
    wrapped = app.wsgi_app

    Mbuzz(app)
    app.extensions["mbuzz"].init_app(app)

    assert app.wsgi_app is wrapped
    call_wsgi(app, Case())
    assert len(events.page_views()) == 1


def test_second_set_up_behind_other_middleware_tracks_once(events):
    app = create_app()
    inner = app.wsgi_app
    app.wsgi_app = lambda environ, start_response: inner(environ, start_response)

    Mbuzz(app)
    answer = call_wsgi(MbuzzMiddleware(app), Case())

    assert len(events.page_views()) == 1
    assert len(answer.cookies) == 2


def test_application_of_another_kind_is_refused_with_a_hint():
    class Quart:
        asgi_app = None

    with pytest.raises(
        mbuzz.ConfigurationError, match=r"got Quart; use app\.asgi_app = "
    ):
        Mbuzz(Quart())


def test_quart_itself_is_refused_with_a_hint():
    with pytest.raises(
        mbuzz.ConfigurationError, match=r"got Quart; use app\.asgi_app = "
    ):
        Mbuzz(Quart(__name__))


def test_applications_below_one_another_are_tracked_once_with_the_whole_path(events):
    shop, blog = create_app(), create_app()
    app = DispatcherMiddleware(shop, {"/blog": blog})

    for path in ("/shoes", "/blog/autumn"):
        assert len(call_wsgi(MbuzzMiddleware(app), Case(path=path)).cookies) == 2

    urls = [view["properties"]["url"] for view in events.page_views()]
    assert urls == ["https://shop.example/shoes", "https://shop.example/blog/autumn"]


def test_thread_with_the_requests_context_has_the_visitor_if_it_is_bound(events):
    app = Flask(__name__)
    Mbuzz(app)

    @app.get("/")
    def view():
        work = mbuzz.bind(
            flask.copy_current_request_context(lambda: mbuzz.track("Bound"))
        )
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return "hello"

    call_wsgi(app, Case(cookie=RETURNING, headers=FETCH))

    events.assert_tracked("Bound", visitor_id=VISITOR)


@pytest.mark.parametrize(("asks", "user"), [(True, "42"), (False, None)])
def test_user_of_flask_login_is_said_where_the_view_asks_for_him(events, asks, user):
    app = Flask(__name__)
    app.secret_key = "s"
    Mbuzz(app)
    person = UserMixin()
    person.id = "42"
    LoginManager(app).request_loader(lambda request: person)
    app.get("/")(lambda: str(asks and current_user.is_authenticated))

    call_wsgi(app, Case(cookie=RETURNING))

    assert events.assert_tracked("page_view").get("user_id") == user


def test_flasks_own_test_client_is_tracked(events):
    app = create_app()
    client = app.test_client()

    for path in ("/", "/next"):
        client.get(path, headers=Case().headers)

    first, second = events.page_views()
    assert first["visitor_id"] == second["visitor_id"]
    assert first["session_id"] == second["session_id"]


def test_error_is_the_frameworks_and_reaches_the_debugger(events):
    app = create_app(Case(does=lambda: 1 / 0), PROPAGATE_EXCEPTIONS=True)

    with pytest.raises(ZeroDivisionError):
        call_wsgi(app, Case())

    assert current() is None


def test_error_page_of_the_framework_is_no_page_view(events):
    app = create_app(Case(does=lambda: 1 / 0))

    answer = call_wsgi(app, Case(cookie=RETURNING))

    assert (answer.status, answer.cookies) == (500, {})
    assert events == []


def test_one_response_object_for_everybody_hands_out_no_ones_cookie(events):
    app = Flask(__name__)
    Mbuzz(app)
    shared = flask.Response("hello")
    app.get("/")(lambda: shared)

    visitors = {call_wsgi(app, Case()).cookies["_mbuzz_vid"].value for _ in range(3)}

    assert len(visitors) == 3
    assert call_wsgi(app, Case(headers=FETCH)).cookies == {}


def test_hooks_and_streams_know_the_visitor(events):
    app = Flask(__name__)
    Mbuzz(app)

    def chunks():
        mbuzz.track("Stream")
        yield "x"

    @app.get("/")
    def stream():
        return flask.Response(chunks(), headers=HTML)

    app.before_request(lambda: mbuzz.track("Before") and None)
    app.teardown_request(lambda _: mbuzz.track("Teardown") and None)
    call_wsgi(app, Case(cookie=RETURNING, headers=FETCH))

    tracked = [event["event_type"] for event in events]
    assert sorted(tracked) == ["Before", "Stream", "Teardown"]
    assert {event["visitor_id"] for event in events} == {VISITOR}


def test_answer_does_not_vary_by_our_cookie(events):
    assert call_wsgi(create_app(), Case()).values("vary") == []
