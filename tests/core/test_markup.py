"""HTML as plain text: words and line breaks, whatever a sender wrote, in one pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.markup import CHARACTERS_MAX, text_of


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>Dear&nbsp;Robin,</p><p>see   you\n soon</p>", "Dear\xa0Robin,\n\nsee you soon"),
        ("one<br>two<BR/>three", "one\ntwo\nthree"),
        ("a<div><div><div>b</div></div></div>", "a\n\nb"),
        ("<html><head><title>No</title><style>p {}</style></head>Yes", "Yes"),
        ("<script>if (a<b) document.write('<p>No</p>')</script>Yes", "Yes"),
        ("Yes<script>no end", "Yes"),
        ("<script>if (a<b>XXXX No</script>Yes", "Yes"),
        ("<script>No</script>Yes, <b>sir</b>", "Yes, sir"),
        ("<style>No</STYLE>Yes  \n sir", "Yes sir"),
        ("Yes</script>, sir", "Yes, sir"),
        ("<!--[if mso]><p>No</p><![endif]-->Yes<!-- no end", "Yes"),
        ("a<!-->b", "ab"),
        ("<!-- No -->Yes \t<i>sir</i>", "Yes sir"),
        ("a<b>b</b><i title='c'>d</i>", "abd"),
        ("<b>2 > 1</b> > 0", "2 > 1 > 0"),
        ("<!DOCTYPE html><?xml?><b>Yes</b>", "Yes"),
        ("2 < 3 and 4 > 3", "2 < 3 and 4 > 3"),
        ("&lt;b&gt; &#8364; &#99999999999999999999;", "<b> \u20ac \ufffd;"),
        ("&#" + "9" * 5000, "\ufffd"),
        ("", ""),
    ],
)
def test_what_is_seen_becomes_text(markup: str, text: str) -> None:
    assert text_of(markup) == text


@given(st.text(st.sampled_from("<>!-/abscriptheadstyle &#x0;\n\"'="), max_size=60))
def test_nothing_raises_and_nothing_begins_a_tag(markup: str) -> None:
    assert isinstance(text_of(markup), str)


def test_only_so_much_is_looked_at() -> None:
    assert len(text_of("<" * 2 * CHARACTERS_MAX)) == CHARACTERS_MAX
