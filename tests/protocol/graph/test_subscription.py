"""A Graph subscription as a plan: made, renewed, remade, and what the answers mean."""

from dataclasses import replace

import orjson
import pytest

from shared.core.watch import Watch, WatchFailed
from shared.protocol.graph import subscription
from shared.protocol.graph.subscription import MINUTES_MAX, STRAYS_MAX, Wanted
from shared.protocol.wire import Request, Response
from tests.protocol.plans import carried

URL = "https://tidemark.example/push-webhook/outlook"
WANTED = Wanted(URL, "state")
NONE = Response(200, {}, b'{"value":[]}')
HEADERS = {"content-type": "application/json", "prefer": 'IdType="ImmutableId"'}


def made(name: str = "s-1", ends: str = "2026-12-01T10:00:00.1234567Z") -> Response:
    return Response(201, {}, orjson.dumps({"id": name, "expirationDateTime": ends}))


def refused(status: int, code: str, text: str = "") -> Response:
    return Response(status, {}, orjson.dumps({"error": {"code": code, "message": text}}))


def ceiling(minutes: int) -> Response:
    text = f"Subscription expiration can only be {minutes} minutes in the future."
    return refused(400, "ExtensionError", text)


def minutes_asked(request: Request) -> float:
    """From the start of the epoch, which is `now` in these tests."""
    day, _, clock = orjson.loads(request.body or b"")["expirationDateTime"].partition("T")
    hours, minutes, _ = clock.split(":")
    return (int(day.split("-")[2]) - 1) * 1440 + int(hours) * 60 + int(minutes)


def test_a_new_subscription_is_on_all_messages_with_both_urls() -> None:
    found, asked = carried(subscription.keep(WANTED, "", 0.0), NONE, made())
    assert found == Watch(1796119200.123456, "s-1", MINUTES_MAX)
    assert asked[0] == Request("GET", "/v1.0/subscriptions")
    assert asked[1] == Request("POST", "/v1.0/subscriptions", (), HEADERS, asked[1].body)
    body = orjson.loads(asked[1].body or b"")
    assert body.pop("expirationDateTime") == "1970-01-07T23:45:00.000Z"
    assert body == {
        "changeType": "created,updated,deleted",
        "notificationUrl": URL,
        "lifecycleNotificationUrl": f"{URL}/lifecycle",
        "resource": "/me/messages",
        "clientState": "state",
        "latestSupportedTlsVersion": "v1_2",
    }


def test_what_a_killed_creation_left_is_taken_away_first() -> None:
    ours = {"id": "old", "notificationUrl": URL}
    others = [{"id": "else", "notificationUrl": "https://else.example"}, {"notificationUrl": URL}, 5, {"id": "n"}]
    listed = Response(200, {}, orjson.dumps({"value": [ours, *others]}))
    _, asked = carried(subscription.keep(WANTED, "", 0.0), listed, Response(204, {}, b""), made())
    assert [(request.method, request.path.rpartition("/")[2]) for request in asked] == [
        ("GET", "subscriptions"),
        ("DELETE", "old"),
        ("POST", "subscriptions"),
    ]


def test_strays_are_taken_away_by_the_page() -> None:
    strays = [{"id": f"s{number}", "notificationUrl": URL} for number in range(STRAYS_MAX + 1)]
    deleted = [Response(204, {}, b"")] * STRAYS_MAX
    listed = Response(200, {}, orjson.dumps({"value": strays}))
    _, asked = carried(subscription.keep(WANTED, "", 0.0), listed, *deleted, made())
    assert [request.method for request in asked] == ["GET", *["DELETE"] * STRAYS_MAX, "POST"]
    assert asked[1] == Request("DELETE", "/v1.0/subscriptions/s0")


@pytest.mark.parametrize(
    "listed",
    [
        Response(403, {}, b""),
        Response(403, {}, orjson.dumps({"value": [{"id": "old", "notificationUrl": URL}]})),
        Response(200, {}, b"<html>"),
        Response(200, {}, b"[]"),
        Response(200, {}, b'{"value":{}}'),
    ],
)
def test_a_list_that_can_not_be_read_holds_nothing_up(listed: Response) -> None:
    assert carried(subscription.keep(WANTED, "", 0.0), listed, made())[0].id == "s-1"


def test_a_renewal_only_moves_the_end() -> None:
    answer = Response(200, {}, made().body)
    found, (request,) = carried(subscription.keep(WANTED, "s-1", 0.0), answer)
    assert request == Request("PATCH", "/v1.0/subscriptions/s-1", (), HEADERS, request.body)
    assert orjson.loads(request.body or b"") == {"expirationDateTime": "1970-01-07T23:45:00.000Z"}
    assert found == Watch(1796119200.123456, "s-1", MINUTES_MAX)


def test_how_long_it_may_live_counts_from_now() -> None:
    later = Wanted(URL, "state", 65)
    for name, answers in (("s-1", (Response(200, {}, made().body),)), ("", (NONE, made()))):
        found, asked = carried(subscription.keep(later, name, 86_400.0), *answers)
        assert orjson.loads(asked[-1].body or b"")["expirationDateTime"] == "1970-01-02T01:00:00.000Z"
        assert found.minutes_max == 65


def test_a_subscription_that_leads_to_where_we_were_before_is_made_anew() -> None:
    """PUBLIC_URL has moved: renewed as it is, it would be pushed to nobody for ever."""
    answer = orjson.loads(made().body)
    here, there = (Response(200, {}, orjson.dumps({**answer, "notificationUrl": url})) for url in (URL, "https://old"))
    assert carried(subscription.keep(WANTED, "s-1", 0.0), here)[0].id == "s-1"
    found, asked = carried(subscription.keep(WANTED, "s-1", 0.0), there, Response(204, {}, b""), NONE, made("s-2"))
    assert found.id == "s-2"
    assert [(request.method, request.path.rpartition("/")[2]) for request in asked] == [
        ("PATCH", "s-1"),
        ("DELETE", "s-1"),
        ("GET", "subscriptions"),
        ("POST", "subscriptions"),
    ]


@pytest.mark.parametrize("status", [404, 410])
def test_a_lost_subscription_is_made_anew(status: int) -> None:
    lost = refused(status, "ResourceNotFound")
    found, asked = carried(subscription.keep(WANTED, "s-1", 0.0), lost, NONE, made("s-2"))
    assert (found.id, len(asked)) == ("s-2", 3)


def test_the_ceiling_is_learned_from_the_refusal() -> None:
    found, asked = carried(subscription.keep(WANTED, "", 0.0), NONE, ceiling(4230), made())
    assert found == Watch(1796119200.123456, "s-1", 4230)
    assert minutes_asked(asked[2]) == 4225
    first, again = (orjson.loads(request.body or b"") for request in asked[1:])
    assert again == {**first, "expirationDateTime": again["expirationDateTime"]}
    assert replace(asked[2], body=None) == replace(asked[1], body=None)


@pytest.mark.parametrize(("minutes", "learned"), [(59, False), (60, True), (10_069, True), (10_070, False)])
def test_a_ceiling_is_learned_where_it_is_lower_and_worth_it(minutes: int, learned: bool) -> None:
    if learned:
        found, _ = carried(subscription.keep(WANTED, "", 0.0), NONE, ceiling(minutes), made())
        assert found.minutes_max == minutes
    else:
        with pytest.raises(WatchFailed, match="ExtensionError"):
            carried(subscription.keep(WANTED, "", 0.0), NONE, ceiling(minutes))


def test_a_ceiling_is_read_in_any_case_and_only_of_a_400() -> None:
    shouted = refused(400, "x", "CAN ONLY BE 90 MINUTES")
    assert carried(subscription.keep(WANTED, "", 0.0), NONE, shouted, made())[0].minutes_max == 90
    with pytest.raises(WatchFailed):
        carried(subscription.keep(WANTED, "", 0.0), NONE, refused(403, "x", "can only be 90 minutes"))
    far = Response(400, {}, b" " * 65_536 + shouted.body)
    with pytest.raises(WatchFailed, match="http_400"):
        carried(subscription.keep(WANTED, "", 0.0), NONE, far)


def test_a_renewal_that_is_refused_without_a_number_asks_for_a_day() -> None:
    answer = refused(400, "ErrorInvalidParameter")
    found, asked = carried(subscription.keep(WANTED, "s-1", 0.0), answer, Response(200, {}, made().body))
    assert found.minutes_max == 1440
    assert minutes_asked(asked[1]) == 1435


@pytest.mark.parametrize("minutes", [1, 99999])
def test_a_ceiling_that_makes_no_sense_is_a_refusal(minutes: int) -> None:
    with pytest.raises(WatchFailed, match="ExtensionError"):
        carried(subscription.keep(WANTED, "", 0.0), NONE, ceiling(minutes))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refused(400, "ValidationError"), "ValidationError"),
        (Response(502, {}, b"<html>"), "http_502"),
        (refused(403, ""), "http_403"),
        (Response(300, {}, made().body), "http_300"),
        (Response(199, {}, made().body), "http_199"),
        (Response(201, {}, b"<html>"), "unreadable"),
        (Response(201, {}, b"[]"), "unreadable"),
        (made(""), "unreadable"),
        (made(ends="soon"), "unreadable"),
        (Response(201, {}, b'{"id":"s-1","expirationDateTime":5}'), "unreadable"),
    ],
)
def test_a_subscription_that_is_refused_says_why(answer: Response, reason: str) -> None:
    with pytest.raises(WatchFailed) as caught:
        carried(subscription.keep(WANTED, "", 0.0), NONE, answer)
    assert caught.value.reason == reason


def test_a_subscription_is_ended_by_delete() -> None:
    found, asked = carried(subscription.end("s-1"), Response(204, {}, b""))
    assert (found, asked) == (None, [Request("DELETE", "/v1.0/subscriptions/s-1")])


def test_an_answer_in_the_two_hundreds_is_a_subscription() -> None:
    for status in (200, 299):
        assert carried(subscription.keep(WANTED, "", 0.0), NONE, Response(status, {}, made().body))[0].id == "s-1"


def test_only_a_renewed_subscription_may_lead_elsewhere() -> None:
    """A refusal that happens to name a URL says nothing of where the subscription leads."""
    body = orjson.dumps({"notificationUrl": "https://old", "error": {"code": "x"}})
    with pytest.raises(WatchFailed, match="x"):
        carried(subscription.keep(WANTED, "s-1", 0.0), Response(403, {}, body))
