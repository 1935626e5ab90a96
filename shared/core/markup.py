"""HTML as plain text, for mail that has no other: words and line breaks, nothing else.

    seen                              becomes
    br, the end or begin of a block   a line break; more than one blank line is one
    script, style, head, a comment    nothing, to its end or that of the text
    any other tag                     nothing
    `<` that begins no tag            itself
    white space                       one space

One pass, linear in the text whatever it holds: the standard library's html.parser is quadratic on some input that a
sender can choose (CVE-2025-6069), and the libraries that make Markdown or trees of it are far more than is needed.
"""

import html
import re
from collections.abc import Iterator

CHARACTERS_MAX = 1_000_000  # of the HTML that are looked at
BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figure", "footer", "form"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section"),
        *("table", "tr", "ul"),
    }
)
UNSEEN = frozenset({"head", "script", "style", "title"})
COMMENT = "!--"
_NAME = re.compile(r"/?([A-Za-z][A-Za-z0-9]{0,31})|[!?]")
_SPACE = re.compile(r"\s+")
_LONG_NUMBER = re.compile(r"&#[xX]?[0-9A-Fa-f]{9,}")  # html.unescape raises for some thousand digits


def text_of(markup: str) -> str:
    spaced = "".join(_pieces(markup[:CHARACTERS_MAX]))
    lines = [line.strip() for line in html.unescape(_LONG_NUMBER.sub("\ufffd", spaced)).split("\n")]
    return "\n".join(line for n, line in enumerate(lines) if line or (n and lines[n - 1])).strip()


def _pieces(markup: str) -> Iterator[str]:
    first, *rest = markup.split("<")
    yield _SPACE.sub(" ", first)
    hidden = ""
    for piece in rest:
        found = _NAME.match(piece)
        name = (found[1] or "").lower() if found else ""
        if hidden or piece.startswith(COMMENT):
            end = "-->" if hidden in ("", COMMENT) else ">" if piece[0:1] == "/" and name == hidden else ""
            _, ended, text = piece.partition(end) if end else ("", "", "")
            hidden = "" if ended else hidden or COMMENT
            yield _SPACE.sub(" ", text)
        elif found is None:
            yield _SPACE.sub(" ", f"<{piece}")
        elif name in UNSEEN and piece[0] != "/":
            hidden = name
        else:
            yield ("\n" if name in BLOCKS else "") + _SPACE.sub(" ", piece.partition(">")[2])
