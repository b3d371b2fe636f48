"""What clients say in most tests: page views of one visitor of a shop."""

VISITOR = "65dabef0" * 8
SITE = "https://shop.example/"
AD = SITE + "?utm_source=google&utm_medium=cpc"


def page(url=SITE, visitor=VISITOR, **fields):
    """Return a page view; *fields* come on top."""
    return {
        "event_type": "page_view",
        "visitor_id": visitor,
        "properties": {"url": url},
        **fields,
    }


def batch(*items, **fields):
    """Return the body of a request for all *items*."""
    return {"events": list(items), **fields}
