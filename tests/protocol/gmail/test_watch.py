"""A Gmail watch as a plan: what is asked, and what the answers mean."""

import orjson
import pytest

from shared.core.quota import PRICES
from shared.core.watch import Watch, WatchFailed
from shared.protocol.gmail import watch
from shared.protocol.wire import Request, Response
from tests.protocol.plans import carried

JSON = {"content-type": "application/json"}
TOPIC = "projects/p-1/topics/gmail"
PRICE = PRICES["2026"]
FINE = Response(200, {}, b'{"historyId":"3663748","expiration":"1720183655953"}')
ONE_CLIENT = Response(
    400,
    {},
    orjson.dumps(
        {
            "error": {
                "code": 400,
                "message": "Only one user push notification client allowed per developer (call /stop then try again)",
                "status": "INVALID_ARGUMENT",
                "errors": [{"reason": "invalidArgument", "domain": "global"}],
            }
        }
    ),
)


def test_a_watch_has_no_label_filter_and_says_until_when() -> None:
    found, (request,) = carried(watch.begin(TOPIC, PRICE, 0.0), FINE)
    assert found == Watch(1720183655.953)
    said = b'{"topicName":"projects/p-1/topics/gmail"}'
    assert request == Request("POST", "/gmail/v1/users/me/watch", (), JSON, said, 100)


def test_another_client_of_the_project_is_stopped_first() -> None:
    found, asked = carried(watch.begin(TOPIC, PRICE, 0.0), ONE_CLIENT, Response(204, {}, b""), FINE)
    assert found == Watch(1720183655.953)
    assert [request.path.rpartition("/")[2] for request in asked] == ["watch", "stop", "watch"]


def test_a_client_that_does_not_go_is_told() -> None:
    with pytest.raises(WatchFailed, match="invalidArgument"):
        carried(watch.begin(TOPIC, PRICE, 0.0), ONE_CLIENT, Response(204, {}, b""), ONE_CLIENT)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Response(403, {}, b'{"error":{"errors":[{"reason":"forbidden","domain":"global"}]}}'), "forbidden"),
        (Response(403, {}, ONE_CLIENT.body), "invalidArgument"),
        (Response(400, {}, b"{}"), "http_400"),
        (Response(503, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, b""), "http_503"),
        (Response(500, {}, b"<html>"), "http_500"),
        (Response(204, {}, b""), "http_204"),
        (Response(200, {}, b"<html>"), "unreadable"),
        (Response(200, {}, b"[]"), "unreadable"),
        (Response(200, {}, b"{}"), "unreadable"),
        (Response(200, {}, b'{"expiration":"soon"}'), "unreadable"),
        (Response(200, {}, b'{"expiration":"99999999999999999999"}'), "unreadable"),
        (Response(200, {}, b'{"expiration":true}'), "unreadable"),
        (Response(200, {}, '{"expiration":"\u0661\u0662"}'.encode()), "unreadable"),
        (Response(200, {}, b'{"expiration":9007199254740993}'), "unreadable"),
    ],
)
def test_a_watch_that_is_refused_says_why(answer: Response, reason: str) -> None:
    with pytest.raises(WatchFailed) as caught:
        carried(watch.begin(TOPIC, PRICE, 0.0), answer)
    assert caught.value.reason == reason


def test_an_expiration_may_be_a_number() -> None:
    answer = Response(200, {}, b'{"historyId":1,"expiration":1720183655953}')
    assert carried(watch.begin(TOPIC, PRICE, 0.0), answer)[0] == Watch(1720183655.953)
    last = Response(200, {}, b'{"expiration":9007199254740992}')
    assert carried(watch.begin(TOPIC, PRICE, 0.0), last)[0] == Watch(9007199254740.992)


def test_a_watch_is_ended_by_stop() -> None:
    _, (request,) = carried(watch.end(PRICE), Response(204, {}, b""))
    assert request == Request("POST", "/gmail/v1/users/me/stop", (), JSON, b"{}", 50)
