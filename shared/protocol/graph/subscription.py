"""A mailbox's Graph subscription: made, renewed, remade and ended by plans, which yield requests and get the answers.

    there is one        PATCH expirationDateTime              200: kept; 404, 410: it is gone, make one; 200, but to
                                                              another URL: PUBLIC_URL has moved, DELETE it and make one
    made anew           GET the app's own, DELETE what is ours for this mailbox (strays of a killed creation), POST
    asked to recreate   as if there were none
    too long a life     400 "… can only be N minutes in the future": N is learned, once more with it
    anything else       WatchFailed; the next ping tries again

One subscription on /me/messages a mailbox: a notification names a message, not a folder, so any hint means all chains.
Ids are immutable ones, as in every other request. Renewing also reauthorizes. The lifecycle URL can't be added or moved
later, so a new URL is a new subscription.

Source: https://learn.microsoft.com/en-us/graph/api/subscription-post-subscriptions; facts/graph.md A3, K3
"""

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import orjson

from shared.core.message import instant, instant_s
from shared.core.watch import Watch, WatchFailed
from shared.protocol.graph import refusal
from shared.protocol.wire import Request, Response

PATH = "/v1.0/subscriptions"
MINUTES_MAX = 10_070  # what a live tenant allowed in July 2026; older documents say 4,230
MARGIN_MINUTES = 5  # between our clock and theirs
MINUTES_MIN, MINUTES_DAY = 60, 1440
LAPSING_S = 12 * 3600.0  # CONTRACT §4
STRAYS_MAX = 20  # one page of GET /subscriptions
RESOURCE = "/me/messages"
CHANGES = "created,updated,deleted"
_HEADERS = {"content-type": "application/json", "prefer": 'IdType="ImmutableId"'}
_CEILING = re.compile(rb"can only be (\d{1,6}) minutes", re.IGNORECASE)

Plan = Generator[Request, Response, Watch]


@dataclass(frozen=True, slots=True)
class Wanted:
    """`url` is the notification URL; lifecycle events come to `{url}/lifecycle`. `minutes_max`: learned, if at all."""

    url: str
    client_state: str
    minutes_max: int = MINUTES_MAX


def keep(wanted: Wanted, subscription_id: str, now_s: float) -> Plan:
    """Renews the subscription, or makes one where there is none (any more). Raises WatchFailed."""
    if subscription_id:
        answer, minutes = yield from _with_ceiling(wanted.minutes_max, now_s, _renewal(subscription_id))
        if answer.status == 200 and _object(answer).get("notificationUrl", wanted.url) != wanted.url:
            yield from end(subscription_id)
        elif answer.status not in (404, 410):
            return _watch(answer, minutes)
    yield from _clear(wanted.url)
    answer, minutes = yield from _with_ceiling(wanted.minutes_max, now_s, _creation(wanted))
    return _watch(answer, minutes)


def end(subscription_id: str) -> Generator[Request, Response, None]:
    yield Request("DELETE", f"{PATH}/{subscription_id}")


def _renewal(subscription_id: str) -> tuple[str, str, dict[str, Any]]:
    return "PATCH", f"{PATH}/{subscription_id}", {}


def _creation(wanted: Wanted) -> tuple[str, str, dict[str, Any]]:
    body = {
        "changeType": CHANGES,
        "notificationUrl": wanted.url,
        "lifecycleNotificationUrl": f"{wanted.url}/lifecycle",
        "resource": RESOURCE,
        "clientState": wanted.client_state,
        "latestSupportedTlsVersion": "v1_2",
    }
    return "POST", PATH, body


def _with_ceiling(
    minutes: int, now_s: float, asked: tuple[str, str, dict[str, Any]]
) -> Generator[Request, Response, tuple[Response, int]]:
    """The answer, and the longest life that was not refused."""
    method, path, body = asked
    answer = yield _request(method, path, body, minutes, now_s)
    if answer.status == 400:
        found = _CEILING.search(answer.body[: refusal.BODY_BYTES_MAX])
        # A renewal may be refused without the number: a day has always been allowed.
        least = int(found[1]) if found else MINUTES_DAY if method == "PATCH" else 0
        if MINUTES_MIN <= least < minutes:
            minutes = least
            answer = yield _request(method, path, body, minutes, now_s)
    return answer, minutes


def _request(method: str, path: str, body: dict[str, Any], minutes: int, now_s: float) -> Request:
    ends = instant(now_s + 60 * (minutes - MARGIN_MINUTES))
    return Request(method, path, (), _HEADERS, orjson.dumps({**body, "expirationDateTime": ends}))


def _clear(url: str) -> Generator[Request, Response, None]:
    """What an earlier creation left behind: each would double every notification until it expires."""
    answer = yield Request("GET", PATH)
    said = _object(answer).get("value") if answer.status == 200 else None
    for each in (said if isinstance(said, list) else [])[:STRAYS_MAX]:
        if isinstance(each, dict) and each.get("notificationUrl") == url and isinstance(each.get("id"), str):
            yield Request("DELETE", f"{PATH}/{each['id']}")


def _watch(answer: Response, minutes: int) -> Watch:
    if not 200 <= answer.status < 300:
        codes = refusal.codes(answer)
        raise WatchFailed(codes[0] if codes else f"http_{answer.status}")
    said = _object(answer)
    name, ends = said.get("id"), said.get("expirationDateTime")
    ends_s = instant_s(ends) if isinstance(ends, str) else None
    if not isinstance(name, str) or not name or ends_s is None:
        raise WatchFailed("unreadable")
    return Watch(ends_s, name, minutes)


def _object(answer: Response) -> dict[str, Any]:
    try:
        value = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
