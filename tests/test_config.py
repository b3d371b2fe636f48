"""Options: where they come from, and what is said of those that cannot work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.config import CALLBACKS, Config
from mbuzz.errors import ConfigurationError, MbuzzError
from mbuzz.option_checks import shorten_secret

KEY = "sk_test_" + "k" * 32


def load(options=None, **environ):
    return Config.load({"api_key": KEY, **(options or {})}, environ)


def test_a_key_is_all_it_takes():
    config = Config(api_key=KEY)

    assert config.api_url == "https://mbuzz.co/api/v1"
    assert config.delivery == "background"


def test_a_line_end_around_the_key_is_taken_off():
    assert Config(api_key=f" {KEY}\n").api_key == KEY


@pytest.mark.parametrize("key", ["sk_live_" + "a" * 32, "sk_test_" + "A1" * 64])
def test_good_keys(key):
    assert Config(api_key=key).api_key == key


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "api_key is missing; pass configure"),
        (None, "api_key is missing"),
        ("pk_live_" + "s" * 32, r"got pk_l\.\.\. \(40 characters\)"),
        ("sk_test_short", r"got sk_\.\.\. \(13 characters\)"),
        ("sk_test_" + "ü" * 32, "got sk_t"),
        (KEY + "\r\nX-Evil: 1", "got sk_t"),
        (12345, "got a int"),
    ],
)
def test_bad_keys_are_named_but_not_shown(key, text):
    with pytest.raises(ConfigurationError, match=text) as caught:
        Config(api_key=key)

    assert "ssss" not in str(caught.value)


def test_without_tracking_no_key_is_needed():
    assert Config(enabled=False).api_key == ""


def test_the_key_is_not_in_the_repr():
    assert KEY not in repr(Config(api_key=KEY))


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("http://127.0.0.1:8787", "http://127.0.0.1:8787/api/v1"),
        (" https://mbuzz.example/ ", "https://mbuzz.example/api/v1"),
        ("https://mbuzz.example/edge/v2/", "https://mbuzz.example/edge/v2"),
        ("http://[::1]:8787", "http://[::1]:8787/api/v1"),
        ("https://h/p?x=1#y", "https://h/p"),
    ],
)
def test_urls(given, stored):
    assert Config(api_key=KEY, api_url=given).api_url == stored


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8787",
        "ftp://h",
        "https://",
        "http://[::1",
        "http://h:99999",
        "http://h:0",
        "http://h:x",
        "http://h /p",
        "http://hüst/p",
        5,
    ],
)
def test_urls_that_lead_nowhere(url):
    with pytest.raises(ConfigurationError, match="api_url must be an http://"):
        Config(api_key=KEY, api_url=url)


def test_a_password_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(ConfigurationError, match="must not hold a user") as caught:
        Config(api_key=KEY, api_url="https://me:hunter2@h")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("delivery", "async"),
        ("pii", "lax"),
        ("sample_rate", 1.1),
        ("sample_rate", -0.1),
        ("sample_rate", True),
        ("sample_rate", "half"),
        ("redact_keys", "ssn"),
        ("redact_keys", [""]),
        ("allow_keys", [5]),
        ("spool_dir", ""),
        ("spool_dir", 5),
        ("spool_bytes", 0),
        ("spool_for", -1),
        ("durable", True),
        ("strict_events", "yes"),
        ("before_send", "scrub"),
        ("on_drop", 5),
        ("on_error", []),
        ("batch_size", 0),
        ("batch_size", 501),
        ("batch_size", 1.5),
        ("batch_size", True),
        ("queue_size", -1),
        ("queue_bytes", "many"),
        ("batch_interval", 0),
        ("batch_interval", "1"),
        ("connect_timeout", None),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("timeout", 10**30),
        ("conversion_timeout", -0.1),
        ("retry_for", 0),
        ("handshake_wait", -1),
        ("enabled", "yes"),
        ("debug", 1),
        ("network", "off"),
        ("handshake", None),
        ("cookie_secure", "always"),
        ("cookie_domain", "a;b"),
        ("cookie_domain", "a\r\nb"),
        ("cookie_domain", 5),
        ("skip_paths", "/admin"),
        ("skip_paths", ["admin"]),
        ("skip_paths", [5]),
        ("ca_bundle", "/no/such/file.pem"),
        ("ca_bundle", 5),
    ],
)
def test_values_that_cannot_work_are_named_with_what_was_given(option, value):
    with pytest.raises(ConfigurationError) as caught:
        Config(**{"api_key": KEY, option: value})

    assert str(caught.value).startswith(f"{option} must be ")
    assert repr(value) in str(caught.value) or str(value) in str(caught.value)
    assert isinstance(caught.value, MbuzzError)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch_size", 500),
        ("conversion_timeout", 0),
        ("handshake_wait", 0.0),
        ("timeout", 1),
        ("cookie_secure", True),
        ("cookie_domain", ".example.com"),
        ("queue_bytes", 10**12),
    ],
)
def test_values_at_the_edge(option, value):
    assert getattr(Config(**{"api_key": KEY, option: value}), option) == value


def test_a_bundle_may_be_a_path(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.touch()

    assert Config(api_key=KEY, ca_bundle=bundle).ca_bundle == str(bundle)


def test_a_config_cannot_be_changed():
    with pytest.raises(AttributeError, match="Config cannot be changed"):
        Config(api_key=KEY).debug = True


def test_the_environment_sets_every_kind_of_option():
    config = Config.load(
        {},
        {
            "MBUZZ_API_KEY": f"{KEY}\n",
            "MBUZZ_BATCH_SIZE": "7",
            "MBUZZ_BATCH_INTERVAL": "0.5",
            "MBUZZ_DEBUG": "Yes",
            "MBUZZ_HANDSHAKE": "off",
            "MBUZZ_COOKIE_SECURE": "auto",
            "MBUZZ_SKIP_PATHS": "/admin, /health,",
            "MBUZZ_COOKIE_DOMAIN": "example.com",
            "MBUZZ_DELIVERY": "sync",
            "MBUZZ_SPOOL_DIR": "/var/spool/shop",
            "MBUZZ_DURABLE": "true",
            "MBUZZ_SAMPLE_RATE": "0.25",
            "MBUZZ_REDACT_KEYS": "badge, seat",
        },
    )

    assert config == Config(
        api_key=KEY,
        batch_size=7,
        batch_interval=0.5,
        debug=True,
        handshake=False,
        cookie_secure="auto",
        skip_paths=("/admin", "/health"),
        cookie_domain="example.com",
        delivery="sync",
        spool_dir="/var/spool/shop",
        durable=True,
        sample_rate=0.25,
        redact_keys=("badge", "seat"),
    )


def test_what_is_given_beats_the_environment_and_none_does_not():
    given = {"batch_size": 3, "batch_interval": None}

    config = load(given, MBUZZ_BATCH_SIZE="7", MBUZZ_BATCH_INTERVAL="9")

    assert (config.batch_size, config.batch_interval) == (3, 9.0)


def test_an_empty_variable_is_none():
    assert load(MBUZZ_BATCH_SIZE="").batch_size == 100


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("MBUZZ_BATCH_SIZE", "many", "must be a number, got 'many'"),
        ("MBUZZ_BATCH_SIZE", "1.5", "must be a number"),
        ("MBUZZ_TIMEOUT", "1s", "must be a number"),
        ("MBUZZ_ENABLED", "maybe", "must be true or false, got 'maybe'"),
        ("MBUZZ_COOKIE_SECURE", "perhaps", "must be true or false"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(variable, text, said):
    with pytest.raises(ConfigurationError, match=f"{variable} {said}"):
        load(**{variable: text})


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("api_kye", "unknown option 'api_kye'; did you mean 'api_key'?"),
        ("xyzzy", "unknown option 'xyzzy'"),
    ],
)
def test_an_unknown_option_gets_a_hint(option, said):
    with pytest.raises(ConfigurationError) as caught:
        load({option: 1})

    assert str(caught.value) == said


def test_a_pattern_that_is_none_is_named_with_its_fault():
    with pytest.raises(ConfigurationError, match="got '\\(' \\(missing \\)") as caught:
        Config(api_key=KEY, redact_patterns=("ok", "("))

    assert str(caught.value).startswith("redact_patterns must be regular expressions")


@pytest.mark.parametrize(
    ("variable", "network"), [(None, True), ("on", True), ("off", False), ("", True)]
)
def test_the_network_is_off_where_the_plugin_says_so(monkeypatch, variable, network):
    if variable is None:
        monkeypatch.delenv("MBUZZ_NETWORK")
    else:
        monkeypatch.setenv("MBUZZ_NETWORK", variable)

    assert Config(api_key=KEY).network is network
    assert Config(api_key=KEY, network=True).network is True
    assert Config.load({"api_key": KEY, "network": True}).network is True


@given(st.text(alphabet="abcXYZ_", min_size=1))
def test_a_quarter_of_a_secret_is_shown_at_most(secret):
    shown, _, _ = shorten_secret(secret).partition("...")

    assert secret.startswith(shown)
    assert len(shown) <= min(4, len(secret) / 4)


def test_of_no_secret_nothing_is_shown():
    assert shorten_secret("") == "nothing"


@given(
    st.dictionaries(
        st.sampled_from(list(Config.fields())),
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(), st.text(),
            st.lists(st.text()), st.just(object()),
        ),
    )
)  # fmt: skip
def test_whatever_is_given_it_works_or_says_why(options):
    try:
        config = Config.load(options, {})
    except ConfigurationError:
        return
    assert config == config.replace()


@pytest.mark.parametrize("option", ["consent", "should_track"])
def test_functions_that_a_request_waits_for_answer_at_once(option):
    async def later(request):
        return False

    with pytest.raises(ConfigurationError, match="define it without async"):
        load({option: later})


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        (
            "collect",
            ["track", "alias"],
            "'track' or 'identify' or 'group', got 'alias'",
        ),
        ("collect", "track", "collect must be a list of texts, got 'track'"),
        ("endpoint_prefix", "/", "such as '/_mbuzz', got '/'"),
        (
            "endpoint_prefix",
            "mbuzz",
            "must be a path .* such as '/_mbuzz', got 'mbuzz'",
        ),
        ("endpoint_prefix", "/a b?x", "must be a path of letters, digits and"),
        ("handshake_wait", 50, "handshake_wait must be at most 10 seconds, got 50"),
        ("handshake_wait", "0.05", "must be a number of seconds from 0, got '0.05'"),
        ("track_redirects", "yes", "True or False or 'landing', got 'yes'"),
        ("trusted_proxies", ["10.0.0.0/33"], "trusted_proxies"),
        ("trusted_proxies", -1, "trusted_proxies"),
        ("consent", "yes", "consent must be a function, got 'yes'"),
        ("respect_gpc", "on", "respect_gpc must be True or False"),
    ],
)
def test_web_options_that_cannot_work_are_named(option, value, text):
    with pytest.raises(ConfigurationError, match=text):
        load({option: value})


def test_the_environment_sets_the_web_options():
    config = load(
        MBUZZ_TRUSTED_PROXIES="1",
        MBUZZ_COLLECT="track, group",
        MBUZZ_TRACK_REDIRECTS="Landing",
        MBUZZ_ENDPOINT_PREFIX="/m/",
    )

    assert (config.trusted_proxies, config.collect) == (1, ("track", "group"))
    assert (config.track_redirects, config.endpoint_prefix) == ("landing", "/m")


@pytest.mark.parametrize("name", sorted(CALLBACKS))
def test_a_function_cannot_be_a_variable(name):
    """A consent that nobody asks would track everybody."""
    variable = f"MBUZZ_{name.upper()}"

    with pytest.raises(ConfigurationError, match=rf"{variable} .* configure\({name}="):
        load(**{variable: "shop.privacy.consent"})

    given = load({name: print}, **{variable: "shop.privacy.consent"})
    assert getattr(given, name) is print


def test_callbacks_are_all_the_options_that_are_functions():
    kinds = Config.annotations()

    assert {name for name in kinds if "Callable" in kinds[name]} == CALLBACKS


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("MBUZZ_TRACK_REDIRECTS", "must be true or false or landing, got 'maybe'"),
        ("MBUZZ_COOKIE_SECURE", "must be true or false or auto, got 'maybe'"),
        ("MBUZZ_DEBUG", "must be true or false, got 'maybe'"),
    ],
)
def test_words_that_a_variable_takes_are_named(variable, text):
    with pytest.raises(ConfigurationError, match=f"{variable} {text}"):
        load(**{variable: "maybe"})
