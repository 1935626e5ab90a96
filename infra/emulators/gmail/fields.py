"""Partial responses: `fields=a,b/c,d(e,f)`, checked against the answer's shape as Google does.

    mask                       of {"a": 1, "b": {"c": 2, "x": 3}}
    a                          {"a": 1}
    b/c, b(c)                  {"b": {"c": 2}}
    *                          everything
    nothing of it is there     {}
    unknown name, bad syntax   400

A mask never changes what a call costs.
Source: https://developers.google.com/workspace/gmail/api/guides/performance#partial
"""

import re
from functools import lru_cache
from typing import Any, TypeAlias

from infra.emulators.gmail.errors import ApiError

Mask: TypeAlias = dict[str, "Mask"]
Shape: TypeAlias = dict[str, Any]  # name -> Shape, or None for a scalar

_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[*,/()]")
_DEPTH_MAX = 20


def _flat(*names: str) -> Shape:
    return dict.fromkeys(names)


PART: Shape = _flat("partId", "mimeType", "filename") | {
    "headers": _flat("name", "value"),
    "body": _flat("attachmentId", "size", "data"),
}
PART["parts"] = PART
MESSAGE: Shape = _flat(
    "id",
    "threadId",
    "labelIds",
    "snippet",
    "historyId",
    "internalDate",
    "sizeEstimate",
    "raw",
    "classificationLabelValues",
) | {"payload": PART}
THREAD: Shape = _flat("id", "snippet", "historyId") | {"messages": MESSAGE}
LABEL: Shape = _flat("id", "name", "type", "messageListVisibility", "labelListVisibility") | {
    **_flat("messagesTotal", "messagesUnread", "threadsTotal", "threadsUnread"),
    "color": _flat("textColor", "backgroundColor"),
}
DRAFT: Shape = {"id": None, "message": MESSAGE}
_CHANGE: Shape = {"message": MESSAGE, "labelIds": None}
HISTORY: Shape = {
    "id": None,
    "messages": MESSAGE,
    "messagesAdded": {"message": MESSAGE},
    "messagesDeleted": {"message": MESSAGE},
    "labelsAdded": _CHANGE,
    "labelsRemoved": _CHANGE,
}
_PAGE = _flat("nextPageToken", "resultSizeEstimate")
MESSAGE_PAGE: Shape = _PAGE | {"messages": MESSAGE}
THREAD_PAGE: Shape = _PAGE | {"threads": THREAD}
DRAFT_PAGE: Shape = _PAGE | {"drafts": DRAFT}
HISTORY_PAGE: Shape = _flat("nextPageToken", "historyId") | {"history": HISTORY}
LABELS: Shape = {"labels": LABEL}
PROFILE: Shape = _flat("emailAddress", "messagesTotal", "threadsTotal", "historyId")
WATCH: Shape = _flat("historyId", "expiration")
BODY: Shape = _flat("attachmentId", "size", "data")
EMPTY: Shape = {}


def check(text: str, shape: Shape) -> None:
    """400 for a mask that cannot be read or names what the answer never has."""
    _check(_parse(text), shape, "")


def apply(text: str, answer: dict[str, Any]) -> dict[str, Any]:
    selected: dict[str, Any] = _select(answer, _parse(text))
    return selected


def _refuse(what: str) -> ApiError:
    return ApiError(
        400,
        f"Invalid field selection {what}",
        "invalidParameter",
        extra={"locationType": "parameter", "location": "fields"},
    )


@lru_cache(maxsize=1000)
def _parse(text: str) -> Mask:
    compact = re.sub(r"\s+", "", text)
    tokens = _TOKEN.findall(compact)
    if "".join(tokens) != compact or not tokens:
        raise _refuse(text)
    mask, rest = _parse_list(tokens, 0, text)
    if rest != len(tokens):
        raise _refuse(text)
    return mask


def _parse_list(tokens: list[str], at: int, text: str, depth: int = 0) -> tuple[Mask, int]:
    mask: Mask = {}
    if depth > _DEPTH_MAX:
        raise _refuse(text)
    while True:
        level = mask
        while True:
            if at >= len(tokens) or tokens[at] in ",/()":
                raise _refuse(text)
            level = level.setdefault(tokens[at], {})
            at += 1
            if at < len(tokens) and tokens[at] == "/":
                at += 1
                continue
            break
        if at < len(tokens) and tokens[at] == "(":
            inner, at = _parse_list(tokens, at + 1, text, depth + 1)
            if at >= len(tokens) or tokens[at] != ")":
                raise _refuse(text)
            level.update(inner)
            at += 1
        if at < len(tokens) and tokens[at] == ",":
            at += 1
            continue
        return mask, at


def _check(mask: Mask, shape: Shape, path: str) -> None:
    for name, inner in mask.items():
        if name == "*":
            continue
        if name not in shape:
            raise _refuse(f"{path}{name}")
        if inner:
            if not isinstance(shape[name], dict):
                raise _refuse(f"{path}{name}/{next(iter(inner))}")
            _check(inner, shape[name], f"{path}{name}/")


def _select(value: Any, mask: Mask) -> Any:
    if not mask or ("*" in mask and not mask["*"]):
        return value
    if isinstance(value, list):
        return [_select(each, mask) for each in value]
    if not isinstance(value, dict):
        return value
    if "*" in mask:
        return {name: _select(each, mask["*"]) for name, each in value.items()}
    return {name: _select(value[name], inner) for name, inner in mask.items() if name in value}
