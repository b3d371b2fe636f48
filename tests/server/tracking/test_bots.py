"""Bots (B1, B2, B4, B7)."""

import pytest

from mbuzz.server.tracking.bots import bot_reason


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; bingbot/2.0)",
        "Mozilla/5.0 AppleWebKit (compatible; GPTBot/1.2; +https://openai.com/gptbot)",
        "Mozilla/5.0 AppleWebKit (compatible; ChatGPT-User/1.0)",
        "facebookexternalhit/1.1",
        "curl/8.5.0",
        "python-requests/2.32",
        "Go-http-client/2.0",
        "Mozilla/5.0 HeadlessChrome/120.0",
        "Java/17.0.1",
        "SOMEBOT",
        "CUBOT Googlebot/2.1",
    ],
)
def test_B1_programs(agent):
    assert bot_reason(agent) == "user_agent"


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0.0.0",
        "Mozilla/5.0 (Linux; Android 9; CUBOT_X18_Plus) AppleWebKit/537.36 Chrome/90.0",
        "Mozilla/5.0 (Linux; Android 9; CUBOT NOTE 7) AppleWebKit/537.36 Chrome/90.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Safari/604.1",
        "Robotic/1.0",
        "JavaScript/1",
    ],
)
def test_B1_people(agent):
    assert bot_reason(agent) is None


@pytest.mark.parametrize("agent", ["", "  "])
def test_B1_empty_agent_is_a_bot(agent):
    assert bot_reason(agent) == "empty_user_agent"


def test_B2_prefetch_comes_first():
    assert bot_reason("curl/8", prefetch=True) == "prefetch"
    assert bot_reason(None, prefetch=True) == "prefetch"


def test_B4_B7_missing_agent_is_not_judged():
    assert bot_reason(None) is None


def test_hostile_length_is_fine():
    assert bot_reason("a" * 1_000_000) is None


@pytest.mark.parametrize(
    "token",
    "bot/ crawl spider slurp preview headless lighthouse pingdom uptime monitor curl/ "
    "wget/ python-requests python-urllib aiohttp httpx go-http-client java/ okhttp "
    "libwww scrapy phantomjs facebookexternalhit whatsapp/ slackbot telegrambot "
    "embedly google-inspectiontool gptbot oai-searchbot claudebot perplexitybot ccbot "
    "bytespider ahrefs semrush mj12 dotbot petalbot".split(),
)
def test_B1_every_word_of_the_list_is_a_bots(token):
    assert bot_reason(f"Mozilla/5.0 ({token.upper()}1.0)") == "user_agent"
