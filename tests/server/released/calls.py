"""What a program with the released client says, without any framework."""

import json
import sys

import mbuzz

url, key = sys.argv[1:3]
mbuzz.init(api_key=key)
mbuzz.config.api_url = f"{url}/api/v1"
assert mbuzz.__version__ == "0.11.1"

VISITOR, PHONE = "65dabef0" * 8, "0123cdef" * 8
SITE = "https://shop.example"
AD = f"{SITE}/?utm_source=google&utm_medium=cpc&utm_campaign=autumn"


def said(result):
    return result if isinstance(result, bool) else vars(result)


said_of = {
    "landed": mbuzz.track("page_view", VISITOR, properties={"url": AD}),
    "viewed": mbuzz.track(
        "page_view",
        VISITOR,
        properties={"url": f"{SITE}/shoes", "referrer": f"{SITE}/"},
        ip="203.0.113.7",
        user_agent="Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0",
    ),
    "signed_up": mbuzz.track("Signup", visitor_id=VISITOR, properties={"plan": "pro"}),
    "identified": mbuzz.identify(123, visitor_id=VISITOR, traits={"plan": "pro"}),
    "from_phone": mbuzz.track(
        "page_view",
        PHONE,
        properties={"url": f"{SITE}/?utm_source=news&utm_medium=email"},
    ),
    "from_mail": mbuzz.track(
        "newsletter_opened",
        "tablet-1",
        identifier={"email": "ada@shop.example"},
    ),
    "job": mbuzz.track("invoice_paid", user_id="123"),
    "phone_too": mbuzz.identify(123, visitor_id=PHONE),
    "bought": mbuzz.conversion(
        "Purchase",
        user_id=123,
        revenue=99.99,
        is_acquisition=True,
        properties={"order_id": "A-1"},
    ),
    "bought_again": mbuzz.conversion(
        "Purchase", user_id=123, revenue=99.99, properties={"order_id": "A-1"}
    ),
    "nobody": mbuzz.track("page_view"),
}
said_of["of_an_event"] = mbuzz.conversion(
    "signup", visitor_id=VISITOR, event_id=said_of["signed_up"].event_id
)
said_of["of_no_event"] = mbuzz.conversion(
    "signup", visitor_id=VISITOR, event_id="evt_nowhere"
)
print(json.dumps({name: said(result) for name, result in said_of.items()}))
