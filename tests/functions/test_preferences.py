"""GET and PUT /mailbox/preferences: what to warm and how much, for a user of the app, whole and for good."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.functions.stand import Stand, assert_problem

DEFAULTS = {"warm": "auto", "messages_max": 100, "quota_share": None, "followed_threads": []}


def get(stand: Stand, user_id: str = "user-1") -> Any:
    return stand.client.get("/mailbox/preferences", params={"user_id": user_id}).raise_for_status().json()


def put(stand: Stand, body: Any, user_id: str = "user-1") -> httpx.Response:
    return stand.client.put("/mailbox/preferences", params={"user_id": user_id}, json=body)


def test_who_has_said_nothing_has_the_defaults(stand: Stand) -> None:
    assert get(stand, "nobody ever heard of") == DEFAULTS


def test_a_put_replaces_the_whole_and_answers_with_it(stand: Stand) -> None:
    first = {"warm": "all_recent", "messages_max": 5, "quota_share": 0.05, "followed_threads": ["t1", "t2"]}
    assert put(stand, first).json() == first == get(stand)
    second = put(stand, {"quota_share": 0})
    assert (second.status_code, second.json()) == (200, DEFAULTS | {"quota_share": 0})
    assert get(stand) == DEFAULTS | {"quota_share": 0}


def test_what_was_got_may_be_put(stand: Stand) -> None:
    assert put(stand, get(stand)).json() == DEFAULTS


def test_users_are_told_apart_letter_by_letter(stand: Stand) -> None:
    put(stand, {"warm": "off"}, "Ann")
    assert get(stand, "ann") == get(stand, " Ann") == DEFAULTS
    assert get(stand, "Ann")["warm"] == "off"


def test_the_defaults_are_not_stored(stand: Stand) -> None:
    put(stand, {"warm": "off"})
    assert stand.redis.valkey.call("HLEN", "td:preferences") == 1
    put(stand, {})
    assert stand.redis.valkey.call("EXISTS", "td:preferences") == 0


def test_a_user_id_that_is_an_address_is_in_no_key(stand: Stand) -> None:
    put(stand, {"warm": "off"}, "robin@example.com")
    assert "robin" not in str(stand.redis.valkey.call("HGETALL", "td:preferences"))


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"warm": "always"}, "warm"),
        ({"messages_max": -1}, "messages_max"),
        ({"messages_max": 129}, "messages_max"),
        ({"messages_max": True}, "messages_max"),
        ({"quota_share": 1.1}, "quota_share"),
        ({"quota_share": "0.1"}, "quota_share"),
        ({"followed_threads": "t1"}, "followed_threads"),
        ({"followed_threads": [""]}, "followed_threads.0"),
        ({"followed_threads": ["t" * 257]}, "followed_threads.0"),
        ({"followed_threads": ["t"] * 51}, "followed_threads"),
        ({"colour": "blue"}, "colour"),
        ([], "object"),
    ],
)
def test_a_body_that_says_something_else_is_refused_and_changes_nothing(stand: Stand, body: Any, named: str) -> None:
    put(stand, {"warm": "off"})
    answer = put(stand, body)
    assert_problem(answer, 400, "malformed")
    assert named in answer.json()["detail"]
    assert get(stand)["warm"] == "off"


@pytest.mark.parametrize("query", [{}, {"user_id": ""}, {"user_id": "u" * 257}])
def test_a_user_has_to_be_named(stand: Stand, query: dict[str, str]) -> None:
    assert_problem(stand.client.get("/mailbox/preferences", params=query), 400, "malformed")


def test_only_get_and_put_and_only_with_the_key(stand: Stand) -> None:
    where: dict[str, Any] = {"url": "/mailbox/preferences", "params": {"user_id": "user-1"}}
    assert_problem(stand.client.post(**where), 405, "method_not_allowed")
    refused = stand.client.get(**where, headers={"authorization": "Bearer wrong"})
    assert_problem(refused, 401, "unauthorized")


def test_a_put_is_seen_by_other_instances(stand: Stand, stand_with: Callable[..., Stand]) -> None:
    other = stand_with()
    assert get(other) == DEFAULTS
    put(stand, {"warm": "off"})
    assert get(other)["warm"] == "off"
