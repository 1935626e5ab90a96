"""What push-webhook answers, what an unproven push costs, and that nothing makes it fall over."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.emulators.pubsub_token import FORGERIES
from infra.emulators.upstash_faults import Kind
from shared.adapters.client_state import client_state_keys
from shared.protocol.graph.notification import client_state
from tests.conftest import RedisRest
from tests.push_world import PushWorld
from tests.world import ADDRESS

PROVEN = {"skew"}  # a clock that is two seconds ahead is no forgery
KEYS = client_state_keys([b"k" * 32])


@pytest.fixture(scope="module")
def world_of(redis_rest: RedisRest) -> Iterator[PushWorld]:
    with PushWorld(redis_rest) as made:
        yield made


@pytest.fixture
def world(world_of: PushWorld, redis: RedisRest) -> PushWorld:
    return world_of


def data(history_id: Any, address: str = ADDRESS) -> bytes:
    return json.dumps({"emailAddress": address, "historyId": history_id}).encode()


def wrapped(said: bytes, urlsafe: bool = False) -> bytes:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    return orjson.dumps({"message": {"data": encode(said).decode(), "messageId": "1"}, "subscription": "s"})


def commands(world: PushWorld) -> int:
    return world.redis.bridge.stats.requests


def notification(state: str | None, subscription: str = "s-1", **more: Any) -> dict[str, Any]:
    return {"subscriptionId": subscription, "clientState": state, "changeType": "created", **more}


def outlook(world: PushWorld, *items: Any, path: str = "") -> httpx.Response:
    url = f"{world.functions.url}/push-webhook/outlook{path}"
    return httpx.post(url, content=orjson.dumps({"value": list(items)}), timeout=30)


def account(world: PushWorld, account_id: str, provider: str = "outlook", **fields: str) -> None:
    """An account as far as hints are concerned."""
    given = {"state": "active", "provider": provider, "hints": "0"} | fields
    world.redis.valkey.call("HSET", f"td:{account_id}:account", *(part for pair in given.items() for part in pair))


def field(world: PushWorld, account_id: str, name: str) -> str | None:
    value = world.redis.valkey.call("HGET", f"td:{account_id}:account", name)
    return value.decode() if isinstance(value, bytes) else None


def busy(world: PushWorld, account_id: str) -> None:
    """Somebody syncs it, so nobody is woken."""
    world.redis.valkey.call("SET", f"td:{account_id}:lease", "other", "PX", "60000")


# --- Gmail


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_forged_push_is_refused_before_anything_is_stored(world: PushWorld, forge: str) -> None:
    token = None if forge == "no_token" else world.token(forge)
    answer = world.push(wrapped(data(10**9)), token)
    if forge in PROVEN:
        assert answer.status_code == 204
        return
    assert (answer.status_code, answer.json()["slug"]) == (401, "unauthorized")
    assert commands(world) == 0


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Basic abc", "Bearer a.b", "Bearer a.b.c", "Bearer ..", "Bearer e30.e30.e30", "x" * 9000],
)
def test_what_is_no_token_is_refused(world: PushWorld, authorization: str) -> None:
    answer = httpx.post(world.endpoint, content=wrapped(data(1)), headers={"authorization": authorization})
    assert answer.status_code == 401
    assert commands(world) == 0


def test_a_token_made_by_hand_is_refused(world: PushWorld) -> None:
    genuine = world.token()
    header, claims, signature = genuine.split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    for changes in (
        {"exp": "9999999999"},
        {"exp": None},
        {"iat": True},
        {"email_verified": "true"},
        {"aud": [said["aud"]]},
    ):
        forged = base64.urlsafe_b64encode(orjson.dumps(said | changes)).rstrip(b"=").decode()
        assert world.push(wrapped(data(1)), f"{header}.{forged}.{signature}").status_code == 401
    assert world.push(wrapped(data(1)), f"{header}.{claims}.{signature[:-4]}AAAA").status_code == 401
    assert commands(world) == 0


def test_a_body_is_limited(world: PushWorld) -> None:
    assert world.push(b"x" * (1024 * 1024 + 1), world.token()).status_code == 413
    assert commands(world) == 0


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b"[]", b"null", b"\xff\xfe", b"{" * 2000),
        wrapped(b"not json"),
        wrapped(b"{}"),
        orjson.dumps({"message": {"data": "!!!"}}),
        orjson.dumps({"message": {"data": 5}}),
        orjson.dumps({"message": {}}),
        wrapped(data(1, "no address")),
        wrapped(orjson.dumps({"emailAddress": ["x@y"], "historyId": 1})),
    ],
)
def test_what_names_no_mailbox_is_acknowledged_and_costs_nothing(world: PushWorld, body: bytes) -> None:
    answer = world.push(body, world.token())
    assert (answer.status_code, answer.content) == (204, b"")
    assert commands(world) == 0


def test_an_unknown_mailbox_is_acknowledged_for_one_script(world: PushWorld) -> None:
    assert world.push(wrapped(data(5, "stranger@example.org")), world.token()).status_code == 204
    assert commands(world) == 1


def test_every_form_of_a_push_is_one_hint_for_one_script(world: PushWorld) -> None:
    account_id = world.connect()
    busy(world, account_id)
    base = world.gmail.history_id(ADDRESS)
    forms = [
        wrapped(data(base + 1)),
        wrapped(data(str(base + 2))),
        wrapped(data(base + 3), urlsafe=True),
        data(base + 4),
        data(str(base + 5)),
        wrapped(data(base + 6, ADDRESS.upper())),
    ]
    for number, body in enumerate(forms, 1):
        before = commands(world)
        assert world.push(body, world.token()).status_code == 204
        assert commands(world) == before + 1
        assert field(world, account_id, "hints") == str(number)
        assert field(world, account_id, "hint_history") == str(base + number)


def test_a_stale_push_is_no_hint_and_an_odd_history_id_is_one(world: PushWorld) -> None:
    account_id = world.connect()
    busy(world, account_id)
    base = world.gmail.history_id(ADDRESS)
    for history_id in (1, base, str(base), base - 1):
        assert world.push(wrapped(data(history_id)), world.token()).status_code == 204
    assert field(world, account_id, "hints") == "0"
    odd: tuple[Any, ...] = (0, -1, 2**64, 1.5, True, None, "12x", "", [], "9" * 50)
    for history_id in odd:
        assert world.push(wrapped(data(history_id)), world.token()).status_code == 204
    assert (field(world, account_id, "hints"), field(world, account_id, "hint_history")) == ("10", None)
    assert world.push(wrapped(data(2**64 - 1)), world.token()).status_code == 204
    assert world.push(wrapped(data(base + 1)), world.token()).status_code == 204
    assert field(world, account_id, "hint_history") == str(2**64 - 1)


def test_only_what_could_not_be_stored_is_503(world: PushWorld) -> None:
    token = world.token()
    world.push(b"{}", token)
    kinds: tuple[Kind, ...] = ("refuse", "garbage", "drop_request", "unauthorized")
    for kind in kinds:
        world.redis.bridge.inject(kind, times=10)
        answer = world.push(wrapped(data(5, "stranger@example.org")), token)
        assert (answer.status_code, answer.json()["slug"]) == (503, "store_down")
        assert "retry-after" in answer.headers
        world.redis.bridge.reset()
    world.redis.bridge.inject("drop_reply", times=1)
    assert world.push(wrapped(data(5, "stranger@example.org")), token).status_code == 204


def test_a_store_that_hangs_is_given_up_before_graph_gives_up(world: PushWorld) -> None:
    world.redis.bridge.inject("hang", times=10, hang_s=20.0)
    began_s = time.monotonic()
    assert outlook(world, notification(client_state(KEYS[0], "a1", "nonce123"))).status_code == 503
    assert time.monotonic() - began_s < 3.0


def test_new_keys_are_fetched_once_and_strangers_fetch_nothing(world: PushWorld) -> None:
    world.push(b"{}", world.token())
    world.gmail.rotate_keys()
    assert world.push(b"{}", world.token()).status_code == 204
    fetches = world.certificate_fetches
    for _ in range(20):
        assert world.push(b"{}", world.token("unknown_kid")).status_code == 401
    assert world.certificate_fetches <= fetches + 1


def test_other_methods_and_paths_are_none(world: PushWorld) -> None:
    assert httpx.get(world.endpoint).status_code == 405
    assert httpx.put(world.endpoint).status_code == 405
    assert httpx.post(f"{world.functions.url}/push-webhook").status_code == 404
    assert httpx.post(f"{world.functions.url}/push-webhook/imap").status_code == 404


def test_fifty_at_once_are_answered_within_three_seconds(world: PushWorld) -> None:
    account_id = world.connect()
    token, base = world.token(), world.gmail.history_id(ADDRESS)

    async def all_at_once() -> list[float]:
        async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=60)) as client:

            async def one(number: int) -> float:
                began_s = time.monotonic()
                headers = {"authorization": f"Bearer {token}"}
                answer = await client.post(world.endpoint, content=wrapped(data(base + number)), headers=headers)
                assert answer.status_code == 204
                return time.monotonic() - began_s

            return list(await asyncio.gather(*map(one, range(1, 51))))

    assert max(asyncio.run(all_at_once())) < 3.0
    assert field(world, account_id, "hint_history") == str(base + 50)
    world.until(lambda: world.redis.valkey.call("EXISTS", f"td:{account_id}:lease") == 0)


# --- Graph


@pytest.mark.parametrize("path", ["", "/lifecycle"])
@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            "validationToken=Validation%3a+Testing+client+application+reachability+for+subscription+Request-Id%3a+1",
            "Validation: Testing client application reachability for subscription Request-Id: 1",
        ),
        ("validationToken=%253Cb%253E", "%3Cb%3E"),
        ("k=1&validationToken=%3Cscript%3Ealert(1)%3C/script%3E", "<script>alert(1)</script>"),
        ("validationToken=%C3%A4", "ä"),
        ("validationToken=", ""),
    ],
)
def test_a_handshake_is_echoed_as_text_decoded_once(world: PushWorld, path: str, query: str, said: str) -> None:
    answer = httpx.post(f"{world.functions.url}/push-webhook/outlook{path}?{query}", content=b"")
    assert (answer.status_code, answer.text) == (200, said)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert commands(world) == 0


def test_a_handshake_is_limited(world: PushWorld) -> None:
    url = f"{world.functions.url}/push-webhook/outlook?validationToken="
    assert httpx.post(url + "x" * 4096).status_code == 200
    assert httpx.post(url + "x" * 4097).status_code == 400
    assert httpx.post(url + "%C3%A4" * 2049).status_code == 400


def test_a_proven_notification_is_a_hint(world: PushWorld) -> None:
    account(world, "a1")
    busy(world, "a1")
    state = client_state(KEYS[0], "a1", "nonce123")
    for path in ("", "/lifecycle"):
        answer = outlook(world, notification(state), notification(state), path=path)
        assert (answer.status_code, answer.content) == (202, b"")
    assert commands(world) == 2
    assert field(world, "a1", "hints") == "2"


@pytest.mark.parametrize(
    "state",
    [
        None,
        "",
        "x",
        5,
        client_state(b"another key", "a1", "nonce123"),
        client_state(KEYS[0], "a2", "nonce123").replace("a2", "a1"),
        client_state(KEYS[0], "a1", "nonce123")[:-1],
        client_state(KEYS[0], "a1", "nonce123") + "A",
    ],
)
def test_an_unproven_notification_is_ignored_and_costs_nothing(world: PushWorld, state: Any) -> None:
    account(world, "a1")
    for path in ("", "/lifecycle"):
        assert outlook(world, notification(state), path=path).status_code == 202
    assert commands(world) == 0
    assert field(world, "a1", "hints") == "0"


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"value":5}', b'{"value":[1,null,[]]}', b"{" * 3000])
def test_an_unreadable_notification_is_ignored(world: PushWorld, body: bytes) -> None:
    for path in ("", "/lifecycle"):
        answer = httpx.post(f"{world.functions.url}/push-webhook/outlook{path}", content=body)
        assert answer.status_code == 202
    assert commands(world) == 0


def test_a_thousand_items_are_one_script_and_no_more_are_read(world: PushWorld) -> None:
    for number in range(3):
        account(world, f"a{number}")
        busy(world, f"a{number}")
    states = [client_state(KEYS[0], f"a{number}", "nonce123") for number in range(3)]
    items = [notification(states[number % 2]) for number in range(1000)]
    assert outlook(world, *items, notification(states[2])).status_code == 202
    assert commands(world) == 1
    assert [field(world, f"a{number}", "hints") for number in range(3)] == ["1", "1", "0"]


@pytest.mark.parametrize(
    ("event", "subscription", "asked"),
    [
        ("missed", "s-1", None),
        ("somethingNew", "s-1", None),
        ("reauthorizationRequired", "s-1", "reauthorize"),
        ("subscriptionRemoved", "s-1", "recreate"),
        ("subscriptionRemoved", "s-0", None),
    ],
)
def test_a_lifecycle_event_is_a_hint_and_asks_for_more(
    world: PushWorld, event: str, subscription: str, asked: str | None
) -> None:
    account(world, "a1", watch_id="s-1")
    busy(world, "a1")
    state = client_state(KEYS[0], "a1", "nonce123")
    item = {"subscriptionId": subscription, "clientState": state, "lifecycleEvent": event, "organizationId": "t"}
    assert outlook(world, item, path="/lifecycle").status_code == 202
    assert (field(world, "a1", "hints"), field(world, "a1", "watch_ask")) == ("1", asked)


@pytest.mark.parametrize("state", ["reauth_required", "deleting", "paused"])
def test_an_account_that_is_not_active_takes_no_hint(world: PushWorld, state: str) -> None:
    account(world, "a1", state=state)
    assert outlook(world, notification(client_state(KEYS[0], "a1", "nonce123"))).status_code == 202
    assert field(world, "a1", "hints") == "0"


# --- anything


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["gmail", "outlook", "outlook/lifecycle", "outlook?validationToken=%ff", "%ff", "gmail/%00"]),
    body=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["value", "message", "data", "emailAddress", "historyId", "clientState", "subscriptionId"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
    proven=st.booleans(),
)
def test_no_bytes_make_a_500(world: PushWorld, path: str, body: bytes, proven: bool) -> None:
    headers = {"authorization": f"Bearer {world.token()}"} if proven else {}
    answer = httpx.post(f"{world.functions.url}/push-webhook/{path}", content=body, headers=headers)
    assert answer.status_code in (200, 202, 204, 400, 401, 404)
