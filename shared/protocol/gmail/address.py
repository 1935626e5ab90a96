"""Addresses of From, To, Cc, Bcc and Reply-To, out of whatever stands there.

    "Doe, Jane" <jane@x.org>              Jane's quoted name, her address
    =?utf-8?q?Doe,_J=C3=A4ne?= <j@x.org>  the same, decoded; commas in an encoded word separate nothing
    jane@x.org (Jane Doe)                 the comment is the name, as RFC 5322 §3.4 lets it be
    Team: a@x.org, b@x.org;               the members; undisclosed-recipients:; has none
    <@relay:jane@x.org>, <mailto:j@x.org> route and scheme cut
    Jane Doe, root, <>                    a name without an address, a name without an address, nothing
    "jane <jane@x.org>, (open             a quote or comment that never closes is text

What is no address is never made into one: it stays as the name, beside None. Invalid text after an address is dropped.
8-bit and international addresses are kept as they are. One pass, linear in the length.

The limits leave ordinary mail alone: Gmail sends to 500 recipients at most, Workspace to 2,000 in all fields together.

Source: RFC 5322 §3.4, §4.4; RFC 6532; https://support.google.com/a/answer/166852 (sending limits)
"""

import re
from collections.abc import Iterable

from shared.core.message import Address, cut_utf8
from shared.protocol.gmail.text import decode_words, line

ADDRESSES_MAX = 500  # of one field; later ones are left out
FIELD_CHARACTERS_MAX = 65536  # of one field that are read, so that 500 ordinary addresses fit
NAME_BYTES_MAX = 512
ADDRESS_CHARACTERS_MAX = 512  # RFC 5321 allows 254; a longer one is kept as the name
assert ADDRESSES_MAX * 128 <= FIELD_CHARACTERS_MAX

_ENCODED_WORD = re.compile(r"=\?[^?\s]{0,64}\?[bBqQ]\?[^?]*\?=")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ANGLE = re.compile(r"<([^<>]*)>")
_LITERAL = re.compile(r"\[[^\[\]<>,;\s]*\]")
_PLAIN = re.compile(r'[^"<(\[=,;:]+')
_PAREN = re.compile(r"[()\\]")
_COMMENT = re.compile(r"\([^()]*\)")
_ESCAPE = re.compile(r"\\(.)")
_SPEC = re.compile(
    r'(?:"(?:[^"\\]|\\.)*"|[^\s"<>()\[\],;:@\\]+)@(?:\[[^\[\]\s]*\]|[^\s"<>()\[\],;:@\\]+)',
)
_AROUND = re.compile(r" ?([@.]) ?")


def addresses(values: Iterable[str]) -> list[Address]:
    """All mailboxes of a field's header lines, in their order."""
    found: list[Address] = []
    left = FIELD_CHARACTERS_MAX
    for value in values:
        text = line(value)
        if len(text) > left:
            found += _Field(text[:left].rpartition(",")[0]).found  # half an address is none
            break
        left -= len(text)
        found += _Field(text).found
    return found[:ADDRESSES_MAX]


def first_address(values: Iterable[str]) -> Address | None:
    """The one that From names: the first, with an unquoted comma in its name mended ("Doe, Jane <jane@x.org>")."""
    found = addresses(values)
    if not found or found[0]["address"] is not None:
        return found[0] if found else None
    names: list[str] = []
    for entry in found:
        names.append(entry["name"] or "")
        if entry["address"] is not None:
            if entry["name"] is None:
                break
            return Address(name=cut_utf8(", ".join(names), NAME_BYTES_MAX)[0], address=entry["address"])
    return found[0]


class _Field:
    """One header line, read once from left to right into `found`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._group_end = text.rfind(";")
        self._quotes_close = self._comments_close = True
        self.found: list[Address] = []
        self._begin(after_angle=False)
        at = 0
        while at < len(text) and len(self.found) < ADDRESSES_MAX:
            at = self._read(text[at], at)
        self._end()

    def _begin(self, after_angle: bool) -> None:
        self._raw: list[str] = []  # as it stands, to look for a bare address in
        self._name: list[str] = []  # the same with quotes undone
        self._comments: list[str] = []
        self._angle: str | None = None
        self._after_angle = after_angle  # no comma since the last address

    def _read(self, sign: str, at: int) -> int:
        """Takes what stands at `at`; returns where to go on."""
        text = self._text
        if sign in ",;":
            self._end()
            return at + 1
        if sign == ":" and at < self._group_end:
            if _spec("".join(self._raw)) is not None:  # an address that lost its comma, not the group's name
                self._end()
            self._begin(after_angle=False)
            return at + 1
        if sign == "<" and (angle := _ANGLE.match(text, at)) is not None:
            if self._angle is not None:
                self._end()
            self._angle = angle[1]
            return angle.end()
        if sign == "(" and self._comments_close:
            end = _comment_end(text, at)
            if end is not None:
                self._comments.append(_ESCAPE.sub(r"\1", text[at + 1 : end - 1]))
                return end
            self._comments_close = False
        if sign == '"' and self._quotes_close:
            quoted = _QUOTED.match(text, at)
            if quoted is not None:
                self._take(quoted[0], _ESCAPE.sub(r"\1", quoted[1]))
                return quoted.end()
            self._quotes_close = False
        whole = {"=": _ENCODED_WORD, "[": _LITERAL}.get(sign, _PLAIN).match(text, at)
        if whole is not None:
            self._take(whole[0], whole[0])
            return whole.end()
        self._take(sign, "" if sign in '"<' else sign)  # a sign that opens nothing
        return at + 1

    def _take(self, raw: str, name: str) -> None:
        if self._angle is not None:
            if not raw.strip():
                return
            self._end(after_angle=True)
        self._raw.append(raw)
        self._name.append(name)

    def _end(self, after_angle: bool = False) -> None:
        raw, name, angle, loose = "".join(self._raw), "".join(self._name), self._angle, self._after_angle
        comment = next(filter(None, map(_label, self._comments)), None)
        self._begin(after_angle)
        spec = _spec(raw if angle is None else angle)
        if angle is not None:
            label = _label(name) or comment or (None if spec else _label(angle))
        elif spec is not None:
            label = comment
        elif (words := raw.split()) and all(map(_spec, words)):  # addresses with only white space between them
            self.found += [Address(name=None, address=word) for word in words]
            return
        elif loose or raw.rstrip().endswith(":"):  # rest of an address; undisclosed-recipients:
            label = None
        else:
            label = _label(name)
        if spec is not None or label is not None:
            self.found.append(Address(name=label, address=spec))


def _comment_end(text: str, at: int) -> int | None:
    """Behind the parenthesis that closes the one at `at`; None if none does."""
    depth = 0
    while (found := _PAREN.search(text, at)) is not None:
        at = found.end()
        if found[0] == "\\":
            at += 1
            continue
        depth += 1 if found[0] == "(" else -1
        if depth == 0:
            return at
    return None


def _spec(text: str) -> str | None:
    """`local@domain` out of an angle or a bare text; None if it is anything else."""
    if "@" not in text or "=?" in text or len(text) > ADDRESS_CHARACTERS_MAX:
        return None
    if _SPEC.fullmatch(text):
        return text
    text = " ".join(_COMMENT.sub(" ", text).split())
    if '"' not in text:
        text = _AROUND.sub(r"\1", text)
    if text.startswith("@") or text[:7].lower() == "mailto:":
        text = text.rpartition(":")[2].strip()
    return text if _SPEC.fullmatch(text) else None


def _label(text: str) -> str | None:
    """A display name: encoded words decoded, white space collapsed, cut; None for an empty one."""
    return cut_utf8(" ".join(line(decode_words(text)).split()), NAME_BYTES_MAX)[0] or None
