"""JSON batches: what is sent, and answers in any order."""

import json

import orjson
import pytest

from shared.core.errors import ContractBroken
from shared.protocol.graph import batch
from shared.protocol.wire import Request, Response

ORIGIN = "https://graph.microsoft.com"


def test_urls_are_relative_to_the_service_root_and_each_part_has_its_own_headers() -> None:
    link = f"{ORIGIN}/v1.0/me/mailfolders('A')/messages/delta?$deltatoken=a%2Bb"
    read = Request("GET", "/v1.0/me/messages/x=", (("$select", "id,subject"),), {"prefer": "p"})
    built = batch.build([("1", Request("GET", link)), ("2", read)], ORIGIN)
    headers = {"content-type": "application/json", "accept": "application/json"}
    assert built == Request("POST", "/v1.0/$batch", (), headers, built.body)
    assert orjson.loads(built.body or b"") == {
        "requests": [
            {"id": "1", "method": "GET", "url": "/me/mailfolders('A')/messages/delta?$deltatoken=a%2Bb", "headers": {}},
            {"id": "2", "method": "GET", "url": "/me/messages/x=?$select=id,subject", "headers": {"prefer": "p"}},
        ]
    }


def test_parts_in_turn_wait_each_for_the_one_before() -> None:
    parts = [(each, Request("GET", "/v1.0/me", (("$select", "id"), ("$top", "1")))) for each in "ab"]
    part = {"method": "GET", "url": "/me?$select=id&$top=1", "headers": {}}
    asked = [{"id": "a", **part}, {"id": "b", **part}]
    for in_turn in (False, True):
        body = batch.build(parts, ORIGIN, in_turn=in_turn).body
        assert orjson.loads(body or b"") == {"requests": asked}
        asked[1] = {**asked[1], "dependsOn": ["a"]}
    assert batch.build(parts, ORIGIN) == batch.build(parts, ORIGIN, in_turn=False)


def test_parts_are_matched_by_id_and_keep_their_status() -> None:
    answer = {
        "responses": [
            {"id": "2", "status": 429, "headers": {"Retry-After": "3"}, "body": {"error": {"code": "X"}}},
            {"id": "1", "status": 200, "body": {"id": "a", "bodyPreview": "\ud83d"}},
            {"id": "3", "status": 204},
        ]
    }
    parts = batch.parse(Response(200, {}, json.dumps(answer).encode()))
    assert {key: part.status for key, part in parts.items()} == {"1": 200, "2": 429, "3": 204}
    assert parts["2"].headers == {"retry-after": "3"}
    assert b'"id": "a"' in parts["1"].body
    assert parts["3"].body == b"null"


@pytest.mark.parametrize(
    "odd",
    [7, None, {"id": "1"}, {"status": 200}, {"id": "1", "status": "x"}, {"id": "1", "status": 200, "headers": []}],
)
def test_a_part_that_can_not_be_read_is_missing_alone(odd: object) -> None:
    answer = {"responses": [odd, {"id": "2", "status": 204}]}
    assert batch.parse(Response(200, {}, orjson.dumps(answer))) == {"2": Response(204, {}, b"null")}


def test_a_part_that_is_nested_too_deep_is_missing_alone() -> None:
    body = b'{"responses": [{"id": "1", "status": 200, "body": %s}, {"id": "2", "status": 204}]}'
    deep = b"[" * 1000 + b"]" * 1000
    assert batch.parse(Response(200, {}, body % deep)).keys() == {"2"}


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        (None, {}),
        ({"Retry-After": 1}, {"retry-after": "1"}),
        ({"Retry-After": ["1"], "Date": None, "X": True, "Y": "y"}, {"y": "y"}),
    ],
)
def test_headers_that_are_no_texts_break_nothing(headers: object, kept: dict[str, str]) -> None:
    answer = {"responses": [{"id": 7, "status": 429, "headers": headers}]}
    assert batch.parse(Response(200, {}, orjson.dumps(answer))) == {"7": Response(429, kept, b"null")}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"responses": {}}'])
def test_what_is_no_batch_answer_breaks_the_contract(body: bytes) -> None:
    with pytest.raises(ContractBroken, match=r"^a batch answer can't be read$"):
        batch.parse(Response(200, {}, body))
