"""The rules of referrers, tags, click ids and channels, by their numbers.

Each rule is shown once here, from the outside; the modules' own tests go further.
"""

import pytest

from mbuzz.server.policy import Policy
from mbuzz.server.tracking.channels import RULES
from mbuzz.server.tracking.landing import read
from mbuzz.server.tracking.storable import stored_referrer, stored_url

SITE = "https://www.acme.example/"


def land(query="", referrer=None, site=SITE, **options):
    reading = read(site + (f"?{query}" if query else ""), referrer, **options)
    return reading.landing


def channel(query="", referrer=None, site=SITE, **options):
    return land(query, referrer, site, **options).channel


@pytest.mark.parametrize(
    "referrer",
    ["about:client", "file:///x", "chrome-extension://a", "data:,x", "/x", "//", "x"],
)
def test_R1_what_is_no_web_address_is_no_referrer(referrer):
    assert channel("", referrer) == "direct"


def test_R1_android_apps_are_referrers():
    assert channel("", "android-app://com.slack/x") == "organic_social"


def test_R2_spelling_of_a_host_does_not_matter():
    assert channel("", "HTTPS://me:pw@WWW.Google.COM.:443/?q=x#y") == "organic_search"


def test_R3_list_comes_before_own_domain_and_own_domain_before_referral():
    own = Policy(own_domains=frozenset({"acme-shop.test"}))

    assert channel("", "https://acme.example/x") == "direct"
    assert (
        channel("", "https://accounts.google.com/", "https://google.com/") == "direct"
    )
    assert channel("", "https://shop.acme.example/") == "direct"
    assert channel("", "https://x.acme-shop.test/", policy=own) == "direct"
    assert channel("", "https://x.acme-shop.test/") == "referral"


def test_R4_sites_of_one_platform_are_strangers():
    assert channel("", "https://blog.naver.com/", "https://shop.naver.com/") == (
        "organic_social"
    )
    assert channel("", "https://a.github.io/", "https://b.github.io/") != "direct"


@pytest.mark.parametrize("referrer", [SITE, "https://paypal.com/"])
def test_R5_own_and_excluded_referrers_do_not_hide_tags_and_click_ids(referrer):
    assert channel("utm_source=x&utm_medium=email", referrer) == "email"
    assert channel("gclid=1", referrer) == "paid_search"
    assert land("", referrer).key is None


def test_R6_domain_of_one_owner():
    assert channel("", "https://a.acme.co.uk/", "https://b.acme.co.uk/") == "direct"
    assert channel("", "https://a.co.uk/", "https://b.co.uk/") == "referral"
    assert channel("", "https://a.vercel.app/", "https://b.vercel.app/") == "referral"


def test_R7_site_is_the_urls_host_then_the_requests():
    assert channel("", "https://a.test/", "/", host="a.test") == "direct"
    assert channel("", "https://b.test/", SITE, host="b.test") == "referral"
    assert channel("", "http://10.0.0.1/", "http://11.0.0.1/") == "referral"


def test_R8_payment_and_sign_on_sites_are_no_source():
    for host in ("checkout.stripe.com", "paypal.com", "accounts.google.com"):
        assert channel("", f"https://{host}/") == "direct"


def test_R10_stored_referrer_has_no_query_but_search_terms():
    assert stored_referrer("https://b.test/x?secret=1#y") == "https://b.test/x"
    assert stored_referrer("https://www.baidu.com/s?wd=shoes&id=1") == (
        "https://www.baidu.com/s?wd=shoes"
    )
    assert len(stored_referrer("https://b.test/" + "a" * 9_999)) == 2_048


def test_R11_no_referrer_is_direct():
    assert channel("", None) == channel("", "") == "direct"


@pytest.mark.parametrize("name", ["utm_sources", "utm", "xutm_source", "utm_foo"])
def test_U1_only_the_nine_names_are_tags(name):
    assert land(f"{name}=google").utm == {}


def test_U1_names_are_read_in_any_case_and_properties_win():
    assert land("UTM_Source=a").utm == {"utm_source": "a"}
    assert land("utm_source=a", properties={"utm_source": "b"}).source == "b"


def test_U2_query_is_split_at_ampersands_only():
    assert land("a=1;utm_source=x").utm == {}
    assert land("a=1&amp;utm_source=x").utm == {"utm_source": "x"}
    assert land("a=1#utm_source=x").utm == {}


def test_U3_values_are_decoded_once():
    assert land("utm_term=a%2520b+c%zz").utm == {"utm_term": "a%20b c%zz"}
    assert land("utm_term=%ff").utm == {"utm_term": "�"}


def test_U4_values_are_composed_and_without_odd_spaces():
    assert land("utm_term=+e%CC%81%00++x%0A").utm == {"utm_term": "é x"}


def test_U5_first_value_that_says_something_counts():
    assert land("utm_source=&utm_source=a&utm_source=b").source == "a"


def test_U6_source_medium_and_campaign_have_no_case():
    tags = land("utm_source=A&utm_medium=B&utm_campaign=C&utm_term=D&utm_content=E")

    assert list(tags.utm.values()) == ["a", "b", "c", "D", "E"]


@pytest.mark.parametrize(
    "value", ["(none)", "(not set)", "(Direct)", "NULL", "undefined", "(not+provided)"]
)
def test_U7_placeholders_say_nothing(value):
    assert land(f"utm_source={value}").utm == {}


@pytest.mark.parametrize(
    "value", ["{{campaign.name}}", "{campaignid}", "%%x%%", "[CAMPAIGN]"]
)
def test_U7_templates_are_kept_and_flagged(value):
    landing = land(f"utm_source=google&utm_campaign={value}")

    assert landing.utm["utm_campaign"] == value.lower()
    assert landing.flags == {"unexpanded_template"}


def test_U8_lengths():
    landing = land("utm_source=google&utm_term=" + "é" * 300)

    assert (landing.utm["utm_term"], landing.flags) == ("é" * 255, {"truncated"})
    url = SITE + "?" + "x" * 3_000 + "&utm_source=google"
    assert len(stored_url(url)) == 2_048
    assert read(url, None).landing.source == "google"
    assert read(SITE + "?" + "x" * 8_192 + "&utm_source=a", None).landing.utm == {}


def test_U9_tags_have_their_names_and_only_those_that_are_there():
    assert dict(land("utm_id=7&utm_source=a").utm) == {"utm_source": "a", "utm_id": "7"}


def test_U10_mail_addresses_and_secrets_are_not_stored():
    assert land("utm_term=ada@example.com").utm == {"utm_term": "[email]"}
    assert stored_url(SITE + "?token=1&Password=2&user_email=3&to=a@b.example&x=1") == (
        SITE + "?to=[email]&x=1"
    )


def test_U11_broken_url_has_tags_and_a_flag():
    landing = read("https://?utm_source=google", None).landing

    assert landing.source == "google"
    assert "bad_url" in landing.flags


def test_K1_tags_then_paid_clicks_then_referrer_then_hints():
    google, tags = "https://www.google.com/", "utm_source=x&utm_medium=sms"

    assert channel(f"{tags}&gclid=1&fbclid=2", google) == "sms"
    assert channel("ttclid=1&fbclid=2", google) == "paid_social"
    assert channel("fbclid=2", google) == "organic_search"
    assert channel("fbclid=2") == "organic_social"
    assert channel() == "direct"


def test_K2_click_id_of_the_same_platform_makes_an_unpaid_medium_paid():
    assert channel("utm_source=google&utm_medium=organic&gclid=1") == "paid_search"
    assert channel("utm_source=bing&utm_medium=organic&gclid=1") == "organic_search"
    assert land("utm_source=google&utm_medium=ppc&gclid=1").medium == "ppc"


def test_K3_click_id_beats_the_referrer():
    assert channel("msclkid=1", "https://t.co/") == "paid_search"


def test_K4_click_ids_are_there_or_not_and_bounded():
    assert channel("gclid=") == "direct"
    assert len(land("gclid=" + "a" * 600).click_ids["gclid"]) == 512


BY_NUMBER = {
    "C1": ("", None),
    "C2": ("utm_source=google&utm_medium=cpc&utm_campaign=x-cross-network", None),
    "C3": ("utm_source=amazon&utm_medium=cpc", None),
    "C4": ("utm_source=google&utm_medium=cpc", None),
    "C5": ("utm_source=facebook&utm_medium=paid", None),
    "C6": ("utm_source=youtube&utm_medium=cpv", None),
    "C7": ("utm_source=x&utm_medium=banner", None),
    "C8": ("utm_source=x&utm_medium=cpc", None),
    "C9": ("", "https://chatgpt.com/"),
    "C10": ("", "https://www.etsy.com/"),
    "C11": ("", "https://t.co/x"),
    "C12": ("", "https://youtu.be/x"),
    "C13": ("", "https://duckduckgo.com/"),
    "C14": ("utm_source=x&utm_medium=e-mail", None),
    "C15": ("awc=1", None),
    "C16": ("", "https://b.example/"),
    "C17": ("utm_source=x&utm_medium=audio", None),
    "C18": ("utm_source=x&utm_medium=sms", None),
    "C19": ("utm_source=x&utm_medium=web-push", None),
    "C20": ("utm_source=x&utm_medium=print", None),
}


@pytest.mark.parametrize("number", BY_NUMBER)
def test_channel_rule_C(number):
    query, referrer = BY_NUMBER[number]

    found = read(SITE + (f"?{query}" if query else ""), referrer)

    assert found.rule == number
    channels = {rule.number: rule.channel for rule in RULES} | {"C20": "other"}
    assert found.landing.channel == channels[number]
