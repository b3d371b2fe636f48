"""The page views that session tests are made of, and the cases they share."""

SITE = "https://www.acme.example/"
TAGS = "?utm_source=google&utm_medium=cpc&utm_campaign="
HITS = {
    "-": (SITE, None),
    "G": (SITE + TAGS + "a", None),
    "G2": (SITE + TAGS + "b", None),
    "G gclid=1": (SITE + TAGS + "a&gclid=1", None),
    "G gclid=2": (SITE + TAGS + "a&gclid=2", None),
    "gclid=1": (SITE + "?gclid=1", None),
    "gclid=2": (SITE + "?gclid=2", None),
    "google": (SITE, "https://www.google.com/"),
    "facebook": (SITE, "https://www.facebook.com/"),
    "psp": (SITE, "https://unknown-psp.example/"),
    "paypal": (SITE, "https://www.paypal.com/"),
    "mail": (SITE, "https://mail.google.com/"),
    "own": (SITE + "x", SITE),
    "own banner": (SITE + "?utm_source=banner", SITE),
    "go banner": (SITE + "?utm_source=banner", "https://go.acme.example/"),
    "nooverride": (SITE + TAGS + "b&utm_nooverride=1", "https://paypal.com/"),
    "newsletter": (SITE + "?utm_source=news&utm_medium=email", None),
}

# Name, hits as (minute, hit), and the channels of the sessions they make.
VECTORS = [
    ("V1", [(0, "G"), (10,), (39,)], ["paid_search"]),
    ("V2", [(0, "G"), (30,)], ["paid_search", "direct"]),
    ("V3", [(0, "G"), ("29:59.999",)], ["paid_search"]),
    ("V4", [(0, "G"), (5, "G")], ["paid_search"]),
    ("V5", [(0, "G"), (5, "G2")], ["paid_search", "paid_search"]),
    ("V6", [(0, "G gclid=1"), (5, "G gclid=2")], ["paid_search", "paid_search"]),
    ("V7", [(0, "G"), (5, "google")], ["paid_search"]),
    ("V8", [(0,), (5, "google")], ["direct", "organic_search"]),
    ("V9", [(0,), (5, "psp")], ["direct"]),
    ("V10", [(0, "G"), (5, "paypal")], ["paid_search"]),
    ("V11", [(0, "G"), (45, "paypal")], ["paid_search", "direct"]),
    ("V12", [(0,), (5, "mail")], ["direct"]),
    ("V13", [(0, "G"), (5, "own banner")], ["paid_search"]),
    ("V14", [(23 * 60 + 50, "G"), (24 * 60 + 5,)], ["paid_search"]),
    ("V15", [(0,), (-3, "G")], ["paid_search"]),
]
