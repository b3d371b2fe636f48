"""HTML: nothing from outside becomes a tag."""

import re
from pathlib import Path

import mbuzz.server.dashboard
from mbuzz.server.dashboard.html import Html, fill


def test_text_is_escaped_for_elements_and_attributes():
    filled = fill('<a href="{x}">{x}</a>', x="<b a='1' c=\"2\">&")

    safe = "&lt;b a=&#x27;1&#x27; c=&quot;2&quot;&gt;&amp;"
    assert filled == Html(f'<a href="{safe}">{safe}</a>')


def test_what_is_html_stays_so_and_pieces_are_joined():
    item = fill("<li>{n}</li>", n=1)

    assert fill("<ul>{items}{none}</ul>", items=[item, item], none=None).text == (
        "<ul><li>1</li><li>1</li></ul>"
    )


def test_braces_in_a_value_are_not_read_as_a_template():
    assert fill("{x}", x="{y.__class__}").text == "{y.__class__}"


def test_only_fill_makes_html_and_no_attribute_carries_style():
    folder = Path(mbuzz.server.dashboard.__file__).parent
    for file in folder.glob("*.py"):
        source = file.read_text("utf-8")
        if file.name != "html.py":
            assert not re.search(r"\bHtml\(", source), file.name
            assert "fill(f" not in source
        assert not re.search(r"\bstyle=\"|\bon[a-z]+=\"|<script", source), file.name
