"""A process that has just been started, and fifty pushes that are there already: each gets its answer, none is lost."""

import asyncio

import orjson

from infra.emulators.gmail import GmailEmulator
from infra.emulators.pubsub import Subscription
from shared.adapters import redis_keys as keys
from shared.adapters.client_state import client_state_keys
from shared.adapters.sealing import Sealer
from shared.protocol.graph.notification import client_state
from tests.burst import Post, burst
from tests.conftest import RedisRest
from tests.functions.process import function
from tests.functions.stand import environment
from tests.world import ADDRESS

AUDIENCE = "https://tidemark.example/push-webhook/gmail"
SECRET = b"k" * 32
EACH = 25


def busy(redis: RedisRest, account_id: str) -> None:
    """An account that somebody syncs, so that its hints stay to be counted."""
    redis.valkey.call("HSET", keys.of(account_id, "account"), "state", "active", "hints", "0")
    redis.valkey.call("SET", keys.of(account_id, "lease"), "somebody", "PX", "600000")


def field(redis: RedisRest, account_id: str, name: str) -> str:
    return bytes(redis.valkey.call("HGET", keys.of(account_id, "account"), name)).decode()  # type: ignore[arg-type]


def test_fifty_pushes_at_a_cold_start_are_all_answered_and_stored(
    redis: RedisRest, gmail_session: tuple[GmailEmulator, str]
) -> None:
    gmail, url = gmail_session
    account = Subscription("", "", "").service_account
    pushing = {
        "GMAIL_PUBSUB_TOPIC": "projects/tidemark-local/topics/gmail",
        "PUBSUB_AUDIENCE": AUDIENCE,
        "PUBSUB_SERVICE_ACCOUNT": account,
        "GOOGLE_CERTS_URL": f"{url}/oauth2/v1/certs",
    }
    redis.valkey.call("HSET", keys.ADDRESSES, f"gmail|{Sealer([SECRET]).lookup(ADDRESS)[0]}", "g")
    for account_id in ("g", *(f"o{n}" for n in range(EACH))):
        busy(redis, account_id)
    token = gmail.pubsub._token(Subscription("", "", "", audience=AUDIENCE))
    proof, posts = {"authorization": f"Bearer {token}"}, []
    for n in range(EACH):
        posts.append(Post("/gmail", proof, orjson.dumps({"emailAddress": ADDRESS, "historyId": 1000 + n})))
        state = client_state(client_state_keys([SECRET])[0], f"o{n}", "nonce123")
        posts.append(Post("/outlook", {}, orjson.dumps({"value": [{"subscriptionId": "s", "clientState": state}]})))
    with function({**environment(redis, gmail, url), **pushing}, "push_webhook") as process:
        answers = asyncio.run(burst(process.port, posts))
        assert [status for status, _ in answers] == [204, 202] * EACH, process.told()
    assert (field(redis, "g", "hints"), field(redis, "g", "hint_history")) == (str(EACH), str(1000 + EACH - 1))
    assert {field(redis, f"o{n}", "hints") for n in range(EACH)} == {"1"}
