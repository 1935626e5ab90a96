"""The `$filter` and `$orderby` of the message list: comparisons joined by `and`, and Exchange's rule about both.

    $filter=receivedDateTime ge A and receivedDateTime lt B&$orderby=receivedDateTime desc     fine
    $filter=isRead eq false&$orderby=receivedDateTime desc                                     400 InefficientFilter
    (what is ordered by must be filtered on, in the same order, first)

Source: https://learn.microsoft.com/en-us/graph/api/user-list-messages (using filter and orderby in the same query)
"""

import operator
import re
from collections.abc import Callable
from typing import Any

from infra.emulators.graph.errors import bad_request
from infra.emulators.graph.odata import Options, instant_s
from infra.emulators.graph.view import PROPERTIES, Seen

_CLAUSE = re.compile(
    r"^\s*\(?\s*([A-Za-z/]+)\s+(eq|ne|ge|gt|le|lt)\s+('(?:[^']|'')*'|[^\s()]+)\s*\)?\s*$", re.IGNORECASE
)
_AND = re.compile(r"\s+and\s+(?=(?:[^']*'[^']*')*[^']*$)", re.IGNORECASE)
_ORDER = re.compile(r"^\s*([A-Za-z/]+)(?:\s+(asc|desc))?\s*$", re.IGNORECASE)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
}


def _address(recipient: Any) -> str:
    return recipient["emailAddress"]["address"].lower() if recipient else ""


_VALUES: dict[str, Callable[[Seen], Any]] = {
    "receiveddatetime": lambda seen: seen.message.received_s // 1,
    "sentdatetime": lambda seen: seen.message.received_s if seen.content.date_s is None else seen.content.date_s,
    "lastmodifieddatetime": lambda seen: seen.message.modified_s // 1,
    "createddatetime": lambda seen: seen.message.created_s // 1,
    "isread": lambda seen: seen.message.is_read,
    "isdraft": lambda seen: seen.message.is_draft,
    "hasattachments": lambda seen: seen.content.has_attachments,
    "internetmessageid": lambda seen: seen.content.internet_message_id,
    "parentfolderid": lambda seen: seen.message.folder_id,
    "conversationid": lambda seen: PROPERTIES["conversationId"](seen),
    "subject": lambda seen: seen.patched("subject", seen.content.subject) or "",
    "importance": lambda seen: seen.patched("importance", seen.content.importance),
    "flag/flagstatus": lambda seen: seen.message.flag["flagStatus"],
    "from/emailaddress/address": lambda seen: _address(seen.content.from_),
    "sender/emailaddress/address": lambda seen: _address(seen.content.sender),
}
_INSTANTS = {"receiveddatetime", "sentdatetime", "lastmodifieddatetime", "createddatetime"}
_BOOLEANS = {"isread", "isdraft", "hasattachments"}

Test = Callable[[Seen], bool]
Key = Callable[[Seen], Any]


def message_filter(options: Options) -> tuple[Test | None, list[str]]:
    """The test, and the properties in the order in which the filter names them."""
    text = options.get("$filter")
    if text is None or not text.strip():
        return None, []
    tests: list[Test] = []
    names: list[str] = []
    for clause in _AND.split(text):
        match = _CLAUSE.match(clause)
        name = match[1].lower() if match else ""
        if match is None or name not in _VALUES:
            raise bad_request(f"Invalid filter clause: '{clause}' is not supported.", "ErrorInvalidUrlQueryFilter")
        tests.append(_test(name, _COMPARE[match[2].lower()], _literal(name, match[3])))
        names.append(name)
    return lambda seen: all(test(seen) for test in tests), names


def _test(name: str, compare: Callable[[Any, Any], bool], wanted: Any) -> Test:
    value = _VALUES[name]
    return lambda seen: compare(value(seen), wanted)


def _literal(name: str, text: str) -> Any:
    if name in _INSTANTS:
        return instant_s(text)
    if name in _BOOLEANS:
        if text.lower() not in ("true", "false"):
            raise bad_request(f"Invalid filter clause: '{text}' is not a Boolean.")
        return text.lower() == "true"
    if not (len(text) >= 2 and text[0] == text[-1] == "'"):
        raise bad_request(f"Invalid filter clause: '{text}' is not a string.")
    plain = text[1:-1].replace("''", "'")
    return plain.lower() if name.endswith("/address") else plain


def message_order(options: Options, filtered: list[str]) -> list[tuple[Key, bool]] | None:
    """Sort keys with their direction (True: descending), least important first; None for newest first."""
    text = options.get("$orderby")
    if text is None:
        return None
    keys: list[tuple[Key, bool]] = []
    names: list[str] = []
    for part in text.split(","):
        match = _ORDER.match(part)
        name = match[1].lower() if match else ""
        if match is None or name not in _VALUES:
            raise bad_request(f"Invalid orderby clause: '{part.strip()}' is not supported.", "ErrorInvalidUrlQuery")
        names.append(name)
        keys.append((_VALUES[name], (match[2] or "asc").lower() == "desc"))
    if filtered and list(dict.fromkeys(filtered))[: len(names)] != names:
        raise bad_request("The restriction or sort order is too complex for this operation.", "InefficientFilter")
    if names == ["receiveddatetime"] and keys[0][1]:
        return None
    return keys[::-1]
