"""Gmail's search operators over one mailbox's messages, as far as clients use them.

    after: before:       epoch seconds, inclusive at the second; or yyyy/mm/dd = midnight Pacific time
    newer_than: older_than:   3d, 2m, 1y
    in: is: label:       label: takes names, not ids; in:anywhere, in:trash, in:spam also lift the hiding of both
    from: to: cc: subject: rfc822msgid: filename: has:attachment larger: smaller:
    -x, x OR y, {x y}, (x y), "a phrase", word

An operator nobody knows is searched for as a word, as Gmail does: a typing mistake gives an empty list, not an error.
Source: https://support.google.com/mail/answer/7190; facts/gmail.md 3 and (b) 13
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Protocol

PACIFIC = timezone(timedelta(hours=-8))  # PST all year, as the guide says
DAY_S = 86_400
_TOKEN = re.compile(r'-?[A-Za-z0-9_]+:"[^"]*"|-?"[^"]*"|[(){}]|-(?=[({])|[^\s(){}]+')
_IN = {"inbox": "INBOX", "sent": "SENT", "trash": "TRASH", "spam": "SPAM", "drafts": "DRAFT", "draft": "DRAFT"}
_IS = {"unread": "UNREAD", "starred": "STARRED", "important": "IMPORTANT"}
_SPAN_DAYS = {"d": 1, "m": 30, "y": 365, "h": 1 / 24}
_SIZE = {"": 1, "k": 1024, "m": 1024 * 1024}
_DEPTH_MAX = 20


class Searchable(Protocol):
    labels: set[str]
    size: int

    def header_text(self, name: str) -> str: ...
    def index_s(self) -> float: ...
    def attachment_names(self) -> list[str]: ...
    def words(self) -> str: ...


Test = Callable[[Searchable], bool]


class Query:
    """`matches` for each message; `lifts_hiding` if SPAM and TRASH were asked for."""

    def __init__(self, text: str, now_s: float, label_ids: dict[str, str]) -> None:
        self._now_s, self._label_ids = now_s, label_ids
        self.lifts_hiding = bool(re.search(r"(?i)(?:^|[\s({])(?:in|label|is):(?:anywhere|trash|spam)\b", text))
        self._tokens = _TOKEN.findall(text)
        self._at = 0
        self.matches: Test = self._all("", 0)

    def _all(self, closing: str, depth: int) -> Test:
        """Terms up to `closing`: ANDed, OR binds tighter."""
        tests: list[Test] = []
        either = False
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            if token == closing:
                break
            if token == "OR" and tests:
                either = True
                continue
            if token == "AND":
                continue
            test = self._term(token, depth)
            if either:
                test = _any_of([tests.pop(), test])
                either = False
            tests.append(test)
        return _any_of(tests) if closing == "}" else _all_of(tests)

    def _term(self, token: str, depth: int) -> Test:
        if token == "-" and self._at < len(self._tokens):
            self._at += 1
            return _none_of(self._term(self._tokens[self._at - 1], depth))
        if token in "({" and depth < _DEPTH_MAX:
            return self._all(")" if token == "(" else "}", depth + 1)
        if token.startswith("-") and len(token) > 1:
            return _none_of(self._term(token[1:], depth))
        name, colon, value = token.partition(":")
        if colon and not value and self._tokens[self._at : self._at + 1] in (["("], ["{"]):
            return self._each(name.lower())
        if colon and value and not token.startswith('"'):
            test = self._operator(name.lower(), value.strip('"'))
            if test is not None:
                return test
        return _has_word(token.strip('"').lower())

    def _each(self, name: str) -> Test:
        """`subject:(a b)`: the operator on each word; in braces on any of them."""
        closing = ")" if self._tokens[self._at] == "(" else "}"
        end = self._at + 1
        while end < len(self._tokens) and self._tokens[end] != closing:
            end += 1
        words = [word.strip('"') for word in self._tokens[self._at + 1 : end] if word not in ("OR", "(", "{")]
        self._at = end + 1
        tests = [self._operator(name, word) or _has_word(word.lower()) for word in words]
        return _all_of(tests) if closing == ")" else _any_of(tests)

    def _operator(self, name: str, value: str) -> Test | None:
        if name in ("after", "newer", "before", "older"):
            instant_s = _instant_s(value)
            if instant_s is None:
                return None
            if name in ("after", "newer"):
                return lambda message: int(message.index_s()) >= instant_s
            return lambda message: int(message.index_s()) <= instant_s
        if name in ("newer_than", "older_than"):
            return self._than(name, value)
        if name in ("in", "is", "label", "has", "category"):
            return self._labelled(name, value.lower())
        if name in ("from", "to", "cc", "bcc", "subject", "deliveredto", "list"):
            header = {"deliveredto": "delivered-to", "list": "list-id"}.get(name, name)
            return lambda message: value.lower() in message.header_text(header).lower()
        if name == "rfc822msgid":
            wanted = value.strip("<>")
            return lambda message: message.header_text("message-id").strip().strip("<>") == wanted
        if name == "filename":
            return lambda message: any(value.lower() in each.lower() for each in message.attachment_names())
        return _sized(name, value)

    def _than(self, name: str, value: str) -> Test | None:
        match = re.fullmatch(r"(\d{1,6})([dmyh])", value)
        if not match:
            return None
        edge_s = self._now_s - int(match[1]) * _SPAN_DAYS[match[2]] * DAY_S
        if name == "newer_than":
            return lambda message: message.index_s() >= edge_s
        return lambda message: message.index_s() < edge_s

    def _labelled(self, name: str, value: str) -> Test | None:
        if name == "has" and value == "attachment":
            return lambda message: bool(message.attachment_names())
        if (name, value) == ("in", "anywhere"):
            return lambda message: True
        if (name, value) == ("is", "read"):
            return lambda message: "UNREAD" not in message.labels
        if name == "category":
            label = f"CATEGORY_{'PERSONAL' if value == 'primary' else value.upper()}"
        else:
            known = _IN | _IS | self._label_ids
            found = known.get(value) or known.get(value.replace("-", " ")) or known.get(value.replace("-", "/"))
            if found is None:
                return lambda message: False
            label = found
        return lambda message: label in message.labels


def _sized(name: str, value: str) -> Test | None:
    match = re.fullmatch(r"(\d{1,12})([kKmM]?)", value)
    if not match or name not in ("larger", "smaller", "size"):
        return None
    edge = int(match[1]) * _SIZE[match[2].lower()]
    if name == "smaller":
        return lambda message: message.size < edge
    return lambda message: message.size > edge


def _instant_s(value: str) -> float | None:
    if re.fullmatch(r"\d{5,12}", value):
        return float(value)
    match = re.fullmatch(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})", value)
    if not match:
        return None
    try:
        return datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=PACIFIC).timestamp()
    except (ValueError, OverflowError):
        return None


def _has_word(word: str) -> Test:
    return lambda message: word in message.words()


def _all_of(tests: list[Test]) -> Test:
    return lambda message: all(test(message) for test in tests)


def _any_of(tests: list[Test]) -> Test:
    return lambda message: any(test(message) for test in tests)


def _none_of(test: Test) -> Test:
    return lambda message: not test(message)
