"""A Gmail mailbox's watch: begun, renewed and ended by plans, which yield requests and are sent the answers.

    POST watch                                     the plan
    200                                            Watch until `expiration`
    400 "Only one user push notification client"   another topic of this project holds it: POST stop, POST watch again
    anything else                                  WatchFailed with Gmail's own reason; the next ping tries again

A watch lives for 7 days; Google advises to renew it daily. Renewing is the same call: there is nothing to extend, so a
plan needs no memory. No label filter: mail that a filter archived is mail too. The answer's history id is not a cursor
(it would skip what came in between): it is not even read.

Source: https://developers.google.com/workspace/gmail/api/guides/push; facts/gmail.md §4
"""

from collections.abc import Generator

import orjson

from shared.core.quota import Prices
from shared.core.watch import Watch, WatchFailed
from shared.protocol.gmail import refusal
from shared.protocol.wire import Request, Response

RENEW_AFTER_S = 86_400.0
LIFE_S = 7 * 86_400.0
LAPSING_S = 48 * 3600.0  # CONTRACT §4: watch_lapsing below this
assert RENEW_AFTER_S + LAPSING_S < LIFE_S

PATH = "/gmail/v1/users/me"
_ONE_CLIENT = b"only one user push notification client"
_EXPIRATION_MS_MAX = 1 << 53
_JSON = {"content-type": "application/json"}

Plan = Generator[Request, Response, Watch]


def begin(topic: str, prices: Prices, now_s: float) -> Plan:
    """Begins or renews; ends with the Watch, or raises WatchFailed."""
    watch = Request("POST", f"{PATH}/watch", (), _JSON, orjson.dumps({"topicName": topic}), prices.watch)
    answer = yield watch
    if answer.status == 400 and _ONE_CLIENT in answer.body[: refusal.BODY_BYTES_MAX].lower():
        yield stop_request(prices)
        answer = yield watch
    status = refusal.read(answer, now_s)
    if answer.status != 200:
        raise WatchFailed(status.reason or f"http_{answer.status}")
    return Watch(_expires_at_s(answer))


def end(prices: Prices) -> Generator[Request, Response, None]:
    """Ends the watch, whether there is one or not. Needs a living grant: before it is revoked."""
    yield stop_request(prices)


def stop_request(prices: Prices) -> Request:
    return Request("POST", f"{PATH}/stop", (), _JSON, b"{}", prices.stop)


def _expires_at_s(answer: Response) -> float:
    try:
        value = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        value = None
    said = value.get("expiration") if isinstance(value, dict) else None
    text = str(said)
    if not isinstance(said, str | int) or not (text.isascii() and text.isdigit() and int(text) <= _EXPIRATION_MS_MAX):
        raise WatchFailed("unreadable")
    return int(text) / 1000
