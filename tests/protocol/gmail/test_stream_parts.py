"""What a Gmail mailbox asks for to read messages, and what each part of a batch says of them."""

from dataclasses import replace
from typing import Any

import pytest

from shared.core.quota import PRICES
from shared.protocol.gmail import message
from shared.protocol.gmail.known import LabelTable
from shared.protocol.gmail.message import Reading as MessageReading
from shared.protocol.gmail.stream import GmailStream
from shared.protocol.status import Kind, Status
from shared.protocol.step import Failed, Fetched, Gone, Want
from shared.protocol.wire import Request, Response
from tests.protocol.gmail.answers import answer, google_error, resource

READING = MessageReading("id,labelIds", "metadata", 65536)
ASKED = Request("GET", "/")
NOW_S = 1_764_028_800.0


def stream(*labels: str, prices: str = "2026") -> GmailStream:
    return GmailStream(PRICES[prices], READING, LabelTable(labels), 20)


def test_three_wanted_messages_of_a_thread_are_read_together() -> None:
    wants = [Want(f"m{n}", "t") for n in range(3)] + [Want("m9", "u"), Want("c", "t", content=False)]
    parts = stream().parts(wants)
    assert list(parts) == ["t-t", "m-m9", "c-c"]
    assert parts == {
        "t-t": (tuple(wants[:3]), message.thread_request("t", READING, 40)),
        "m-m9": ((wants[3],), message.request("m9", READING, 20)),
        "c-c": ((wants[4],), message.confirm_request("c", 20)),
    }


@pytest.mark.parametrize(
    "wants",
    [
        [Want("a", "t"), Want("b", "t")],
        [Want("a", "t"), Want("b", "t"), Want("c", "t", alone=True)],
        [Want("a", None), Want("b", None), Want("c", None)],
    ],
)
def test_fewer_are_read_one_by_one(wants: list[Want]) -> None:
    assert all(key.startswith("m-") for key in stream().parts(wants))


def test_a_read_costs_what_the_price_list_says() -> None:
    assert (stream().read_units, stream(prices="legacy").read_units) == (20, 5)
    assert stream(prices="legacy").parts([Want(f"m{n}", "t") for n in range(3)])["t-t"][1].units == 10


def test_a_thread_that_costs_as_much_as_its_messages_is_not_read_for_them() -> None:
    dear = replace(stream(), prices=replace(PRICES["2026"], thread_get=60))
    assert list(dear.parts([Want(f"m{n}", "t") for n in range(3)])) == ["m-m0", "m-m1", "m-m2"]
    assert list(dear.parts([Want(f"m{n}", "t") for n in range(4)])) == ["t-t"]


def part(key: str, wants: list[Want], response: Response) -> Any:
    return stream("INBOX").part(key, tuple(wants), response, NOW_S)


def test_a_part_is_read_as_the_message_that_was_asked_for() -> None:
    response = answer(resource("m", ["INBOX"], 50))
    status, results = part("m-m", [Want("m")], response)
    assert status == Status(Kind.OK, 200)
    assert results == {"m": message.parse(response.body, READING)}
    assert results["m"].message["labels"] == ["INBOX"]


@pytest.mark.parametrize("key", ["m-m", "c-m"])
def test_a_part_that_cannot_be_read_has_failed(key: str) -> None:
    bodies: list[Any] = [{}, {"id": "m"}, []]
    for body in bodies:
        assert part(key, [Want("m")], answer(body))[1] == {"m": Failed("unreadable", counts=True)}


def test_another_message_than_the_one_asked_for_is_no_answer() -> None:
    assert part("m-m", [Want("m")], answer(resource("x", [], 50)))[1] == {"m": Failed("unreadable", counts=True)}


def test_another_message_s_confirmation_is_none() -> None:
    _, results = part("c-m", [Want("m", content=False)], answer(resource("other", [], 50)))
    assert results == {"m": Failed("unreadable", counts=True)}


def test_a_confirmation_says_labels_and_version() -> None:
    _, results = part("c-m", [Want("m", content=False)], answer({"id": "m", "labelIds": ["UNREAD"], "historyId": "50"}))
    found: Any = {"id": "m", "labels": ["UNREAD"], "unread": True, "flagged": False, "draft": False}
    assert results == {"m": Fetched(found, "50")}


def test_a_missing_message_is_gone() -> None:
    status, results = part("c-m", [Want("m")], google_error(404, "notFound"))
    assert (status.kind, results) == (Kind.NOT_FOUND, {"m": Gone()})


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (500, "backendError", Kind.DOWN),
        (400, "invalidArgument", Kind.REFUSED),
        (429, "rateLimitExceeded", Kind.THROTTLED),
    ],
)
def test_a_failed_part_says_why(code: int, reason: str, kind: Kind) -> None:
    status, results = part("m-m", [Want("m")], google_error(code, reason))
    assert (status, results) == (Status(kind, code, reason), {"m": Failed(reason, counts=True)})


def test_a_part_says_how_long_to_wait() -> None:
    refused = replace(google_error(429, "rateLimitExceeded"), headers={"retry-after": "Tue, 25 Nov 2025 00:00:07 GMT"})
    assert part("m-m", [Want("m")], refused)[0] == Status(Kind.THROTTLED, 429, "rateLimitExceeded", 7.0)


def test_a_failure_without_a_reason_is_told_by_its_status() -> None:
    assert part("m-m", [Want("m")], Response(502, {}, b""))[1] == {"m": Failed("502", counts=True)}


WANTS = [Want("a", "t"), Want("b", "t"), Want("c", "t")]


def test_a_thread_answers_for_those_of_its_messages_that_it_shows() -> None:
    body = {"id": "t", "messages": [resource("a", [], 50), resource("b", [], 51), {"id": "c"}]}
    status, results = part("t-t", WANTS, answer(body))
    assert status.kind is Kind.OK
    assert [results["a"].version, results["b"].version, results["c"]] == ["50", "51", None]


@pytest.mark.parametrize("response", [google_error(404, "notFound"), google_error(500, "backendError"), answer([])])
def test_of_a_thread_that_cannot_be_read_each_message_is_asked_for_alone(response: Response) -> None:
    status, results = part("t-t", WANTS, response)
    assert (status.kind, status.http, results) == (Kind.OK, response.status, {"a": None, "b": None, "c": None})


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (429, "rateLimitExceeded", Kind.THROTTLED),
        (401, "authError", Kind.EXPIRED),
        (403, "insufficientPermissions", Kind.FORBIDDEN),
    ],
)
def test_a_refused_thread_is_refused(code: int, reason: str, kind: Kind) -> None:
    status, results = part("t-t", WANTS, google_error(code, reason))
    assert (status, results) == (Status(kind, code, reason), {})


def test_a_batch_is_split_by_content_id() -> None:
    here = stream()
    request = here.batch([("m-a", ASKED)], "boundary")
    assert (request.method, request.path) == ("POST", "/batch/gmail/v1")
    body = (
        b"--x\r\nContent-Type: application/http\r\nContent-ID: <response-m-a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}\r\n--x--\r\n"
    )
    parts = here.split(Response(200, {"content-type": "multipart/mixed; boundary=x"}, body))
    assert {key: (each.status, each.body.strip()) for key, each in parts.items()} == {"m-a": (200, b"{}")}
