"""Watches and pushes of the stand-in: signed, limited, repeated until acknowledged, and wrong in every way on order."""

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from google.auth import jwt as google_jwt
from google.auth.exceptions import GoogleAuthError

from infra.emulators.clock import Clock
from infra.emulators.pubsub_token import FORGERIES
from tests.infra.gmail_client import ADDRESS, Stand, StillClock, plain, standing

TOPIC = "projects/tidemark-local/topics/gmail"
jwt: Any = google_jwt  # typed in part
ACCOUNT = "push@tidemark-local.iam.gserviceaccount.com"


class Receiver:
    """An endpoint that remembers what it got and answers what it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], Any]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/push"

    def data(self) -> list[dict[str, Any]]:
        return [json.loads(base64.b64decode(body["message"]["data"])) for _, body in self.got]


@contextmanager
def pushed(clock: Clock | None = None, **knobs: Any) -> Iterator[tuple[Stand, Receiver]]:
    receiver = Receiver()
    thread = threading.Thread(target=lambda: receiver.server.serve_forever(0.01), daemon=True)
    thread.start()
    try:
        with standing(clock or StillClock()) as stand:
            stand.gmail.subscribe(TOPIC, receiver.url, audience="https://tidemark.example/push", **knobs)
            yield stand, receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()


def until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline_s, "it did not happen within five seconds"
        time.sleep(0.005)


def watch(stand: Stand, status: int = 200, **changes: Any) -> dict[str, Any]:
    return stand.call("POST", "watch", status, json={"topicName": TOPIC} | changes)


def certs(stand: Stand) -> dict[str, str]:
    answer = stand.http.get("/oauth2/v1/certs")
    assert "max-age" in answer.headers["cache-control"]
    return dict(answer.json())


def claims(stand: Stand, headers: dict[str, str], audience: str = "https://tidemark.example/push") -> Any:
    token = headers["authorization"].removeprefix("Bearer ")
    return jwt.decode(token, certs=certs(stand), audience=audience, clock_skew_in_seconds=10)


def test_a_watch_answers_in_strings_and_pushes_at_once_with_a_token_that_verifies() -> None:
    with pushed() as (stand, receiver):
        answer = watch(stand, labelIds=["INBOX"])
        assert answer["historyId"].isdigit()
        assert int(answer["expiration"]) == int((stand.gmail.clock.now_s() + 7 * 86_400) * 1000)
        until(lambda: len(receiver.got) == 1)
        headers, body = receiver.got[0]
        assert body["message"].keys() == {
            "attributes",
            "data",
            "messageId",
            "message_id",
            "publishTime",
            "publish_time",
        }
        assert body.keys() == {"message", "subscription"}
        assert receiver.data() == [{"emailAddress": ADDRESS, "historyId": int(answer["historyId"])}]
        verified = claims(stand, headers)
        assert (verified["iss"], verified["email"], verified["email_verified"]) == (
            "https://accounts.google.com",
            ACCOUNT,
            True,
        )
        assert verified["exp"] - verified["iat"] == 3600


@pytest.mark.parametrize(
    ("topic", "labels"),
    [("gmail", []), ("projects/x/topics/y", []), ("projects/tidemark-local/topics/", []), (TOPIC, ["Label_9"])],
)
def test_a_watch_on_a_bad_topic_or_label_is_refused(topic: str, labels: list[str]) -> None:
    with standing() as stand:
        watch(stand, 400, topicName=topic, labelIds=labels)


def test_a_watch_needs_the_publisher_right_and_no_other_topic() -> None:
    with standing() as stand:
        stand.gmail.settings.publisher_permitted = False
        error = watch(stand, 403)["error"]
        assert error["message"] == (
            f"Error sending test message to Cloud PubSub {TOPIC} : User not authorized to perform this action."
        )
        stand.gmail.settings.publisher_permitted = True
        watch(stand)
        watch(stand)
        error = watch(stand, 400, topicName=TOPIC + "-two")["error"]
        assert (
            error["message"]
            == "Only one user push notification client allowed per developer (call /stop then try again)"
        )
        stand.call("POST", "stop", 204)
        stand.call("POST", "stop", 204)
        watch(stand, topicName=TOPIC + "-two")
        stand.gmail.settings.project = "elsewhere-1"
        watch(stand, 400)


def test_events_beyond_one_a_second_are_dropped_and_an_expired_watch_is_silent() -> None:
    clock = StillClock()
    with pushed(clock) as (stand, receiver):
        watch(stand)
        clock.advance(1.1)
        for number in range(5):
            stand.gmail.deliver(ADDRESS, plain(f"n{number}"))
        assert stand.gmail.watches.dropped == 4
        until(lambda: len(receiver.got) == 2)
        clock.advance(7 * 86_400)
        stand.gmail.deliver(ADDRESS, plain("late"))
        assert stand.gmail.pubsub.counts["published"] == 2


def test_a_label_filter_lets_others_pass_silently() -> None:
    clock = StillClock()
    with standing(clock) as stand:
        watch(stand, labelIds=["SPAM"])
        counts = stand.gmail.pubsub.counts
        for labels, published in ((["INBOX"], 1), (["SPAM"], 2), (["SPAM"], 3)):
            clock.advance(2)
            stand.gmail.deliver(ADDRESS, plain("x"), labels)
            assert counts["published"] == published
        watch(stand, labelIds=["SPAM"], labelFilterBehavior="exclude")
        clock.advance(2)
        stand.gmail.deliver(ADDRESS, plain("x"), ["SPAM"])
        assert counts["published"] == 4


def test_a_nack_is_pushed_again_under_the_same_id_after_the_back_off() -> None:
    clock = StillClock()
    with pushed(clock, retry_min_s=10.0, dead_letter_after=3) as (stand, receiver):
        receiver.answers = [500, 302]
        watch(stand)
        until(lambda: stand.gmail.pubsub.counts["nacked"] == 1)
        clock.advance(9)
        time.sleep(0.06)
        assert len(receiver.got) == 1
        clock.advance(1.1)
        until(lambda: stand.gmail.pubsub.counts["nacked"] == 2)
        clock.advance(20.1)
        until(lambda: stand.gmail.pubsub.counts["acked"] == 1)
        assert len({body["message"]["messageId"] for _, body in receiver.got}) == 1
        assert [body["deliveryAttempt"] for _, body in receiver.got] == [1, 2, 3]
        assert stand.gmail.pubsub.pending() == 0


def test_what_is_never_acknowledged_becomes_a_dead_letter() -> None:
    with pushed(Clock(50), dead_letter_after=5) as (stand, receiver):
        receiver.answers = [503] * 9
        watch(stand)
        until(lambda: stand.gmail.pubsub.counts["dead_letters"] == 1)
        assert len(receiver.got) == 5


def test_one_token_serves_many_pushes_until_the_keys_rotate() -> None:
    clock = StillClock()
    with pushed(clock) as (stand, receiver):
        watch(stand)
        old = certs(stand)
        for count in (2, 3):
            clock.advance(2)
            stand.gmail.deliver(ADDRESS, plain("x"))
            until(lambda count=count: len(receiver.got) == count)  # type: ignore[misc]
        kid = stand.gmail.rotate_keys()
        assert kid not in old
        assert certs(stand).keys() == {*old, kid}
        clock.advance(2)
        stand.gmail.deliver(ADDRESS, plain("x"))
        until(lambda: len(receiver.got) == 4)
        tokens = [headers["authorization"] for headers, _ in receiver.got]
        assert tokens[0] == tokens[1] == tokens[2] != tokens[3]
        assert jwt.decode_header(tokens[3].removeprefix("Bearer "))["kid"] == kid
        claims(stand, receiver.got[3][0])
        keys = stand.http.get("/oauth2/v3/certs").json()["keys"]
        assert {key["kid"] for key in keys} == certs(stand).keys()
        stand.gmail.rotate_keys(keep_old=False)
        assert len(certs(stand)) == 1


@pytest.mark.parametrize("forge", [each for each in FORGERIES if each != "no_token"])
def test_a_forged_token_is_forged_in_just_one_way(forge: str) -> None:
    with standing() as stand:
        made = stand.gmail.subscribe(TOPIC, "http://127.0.0.1:9/", forge=forge)
        token = stand.gmail.pubsub._token(made)
        try:
            verified = jwt.decode(token, certs=certs(stand), audience=made.endpoint, clock_skew_in_seconds=10)
        except (ValueError, GoogleAuthError):
            verified = None
        by_claim = {"wrong_email", "email_unverified", "wrong_iss", "skew"}
        assert (verified is not None) is (forge in by_claim)
        if verified is not None and forge != "skew":
            right = {"iss": "https://accounts.google.com", "email": ACCOUNT, "email_verified": True}
            assert len([name for name in right if verified[name] != right[name]]) == 1


def test_pushes_are_unwrapped_doubled_dropped_and_delayed_on_order() -> None:
    clock = StillClock()
    with pushed(clock, wrapped=False, write_metadata=True, history_id_as="string", duplicate=1.0) as (stand, receiver):
        watch(stand)
        until(lambda: len(receiver.got) == 2)
        (headers, body), (again, _) = receiver.got
        assert body == {"emailAddress": ADDRESS, "historyId": str(stand.gmail.history_id(ADDRESS))}
        assert headers["x-goog-pubsub-message-id"] == again["x-goog-pubsub-message-id"]
        stand.gmail.subscribe(TOPIC, receiver.url, drop=1.0)
        watch(stand)
        assert stand.gmail.pubsub.counts["dropped"] == 1
        stand.gmail.subscribe(TOPIC, receiver.url, delay_s=30.0, urlsafe=True)
        watch(stand)
        time.sleep(0.05)
        assert len(receiver.got) == 2
        clock.advance(31)
        until(lambda: len(receiver.got) == 3)


def test_a_slow_endpoint_is_a_nack() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, standing(Clock(20)) as stand:
        endpoint = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        stand.gmail.subscribe(TOPIC, endpoint, ack_deadline_s=0.05, dead_letter_after=5)
        watch(stand)
        until(lambda: stand.gmail.pubsub.counts["nacked"] >= 1)
        assert stand.gmail.pubsub.answers[0][1] == 0
