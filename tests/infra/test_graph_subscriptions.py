"""The Graph stand-in's change notifications: proof before a subscription, and hints that come late, twice or never."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.x509.oid import NameOID

from infra.emulators.graph.grants import CLIENT_ID, TENANT_ID
from infra.emulators.graph.knobs import Knobs
from infra.emulators.graph.rich import PUBLISHER_APP_ID
from tests.infra.graph_client import ADDRESS, IMMUTABLE, Stand, StillClock, Subscriber, standing, subscriber

SUBSCRIPTIONS = "/v1.0/subscriptions"


class Pushed:
    def __init__(self, stand: Stand, hook: Subscriber, url: str, clock: StillClock) -> None:
        self.stand, self.hook, self.url, self.clock = stand, hook, url, clock

    def request(self, minutes: float = 1000, **changes: Any) -> dict[str, Any]:
        expires = datetime.fromtimestamp(self.clock.now_s(), UTC) + timedelta(minutes=minutes)
        return {
            "changeType": "created,updated,deleted",
            "notificationUrl": f"{self.url}/push?k=1",
            "lifecycleNotificationUrl": f"{self.url}/push/lifecycle?k=1",
            "resource": "/me/messages",
            "expirationDateTime": expires.strftime("%Y-%m-%dT%H:%M:%S.0000000Z"),
            "clientState": "secret",
        } | changes

    def subscribe(self, prefer: str | None = IMMUTABLE, minutes: float = 1000, **changes: Any) -> httpx.Response:
        headers = {"Prefer": prefer} if prefer else {}
        return self.stand.http.post(SUBSCRIPTIONS, json=self.request(minutes, **changes), headers=headers)

    def subscribed(self, **given: Any) -> dict[str, Any]:
        answer = self.subscribe(**given)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def wait(self, seconds: float = 1.0) -> list[dict[str, Any]]:
        """The items that came within `seconds` of the emulated clock."""
        before = len(self.hook.items)
        self.clock.advance(seconds)
        assert self.stand.graph.settle()
        return self.hook.items[before:]


@contextmanager
def pushing(**knobs: Any) -> Iterator[Pushed]:
    clock = StillClock(start_s=1_800_000_000)
    with standing(clock, **knobs) as stand, subscriber() as (hook, url):
        stand.graph.identity.grants.access_ttl_s = 1e9
        stand.http.headers.update(stand.bearer())
        yield Pushed(stand, hook, url, clock)


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


def test_a_subscription_is_made_after_both_urls_have_echoed() -> None:
    with pushing() as push:
        made = push.subscribed()
        assert len(push.hook.validations) == 2
        assert made["clientState"] == "secret"
        assert made["resource"] == "/me/messages"
        assert made["applicationId"] == CLIENT_ID
        assert push.stand.http.get(f"{SUBSCRIPTIONS}/{made['id']}").json()["id"] == made["id"]


def test_the_validation_token_is_on_the_wire_as_the_service_writes_it() -> None:
    with pushing() as push:
        push.subscribed()
        first = push.hook.validations[0]
        words = "Validation%3a+Testing+client+application+reachability+for+subscription+Request-Id%3a+"
        assert first.startswith(f"k=1&validationToken={words}")
        assert push.hook.content_types[0] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ((500, "text/plain", "x"), "ValidationError"),
        ((202, "text/plain", "x"), "ValidationError"),
        ((200, "text/plain", "wrong"), "ValidationError"),
        ((200, "application/json", "x"), "ValidationError"),
    ],
)
def test_an_endpoint_that_does_not_prove_itself_gets_no_subscription(behaviour: Any, code: str) -> None:
    with pushing() as push:
        push.hook.behave = lambda query: behaviour
        status, said, message = error_of(push.subscribe())
        assert (status, said) == (400, code)
        assert message.startswith("Subscription validation request failed.")
        assert push.stand.http.get(SUBSCRIPTIONS).json()["value"] == []


def test_a_lifecycle_url_that_fails_is_enough_to_refuse() -> None:
    with pushing() as push:
        push.hook.behave = lambda query: (403, "text/plain", "") if len(push.hook.validations) == 2 else None
        assert "HTTP status code is 'Forbidden'." in error_of(push.subscribe())[2]


def test_a_slow_or_absent_endpoint_times_out() -> None:
    with pushing(validation_timeout_real_s=0.1) as push:
        push.hook.delay_s = 0.3
        assert error_of(push.subscribe()) == (400, "InvalidRequest", "Subscription validation request timed out.")
        assert error_of(push.subscribe(notificationUrl="http://127.0.0.1:9/x"))[1] == "ValidationError"


def test_a_proven_url_may_not_be_asked_again() -> None:
    with pushing(skip_validated_urls=True) as push:
        push.subscribed()
        push.subscribed()
        assert len(push.hook.validations) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"notificationUrl": "http://example.com/x"},
        {"notificationUrl": "nonsense"},
        {"lifecycleNotificationUrl": "ftp://example.com"},
        {"clientState": "x" * 129},
        {"changeType": "moved"},
        {"resource": "/me/events"},
        {"resource": "/me/mailFolders('nowhere')/messages"},
        {"expirationDateTime": "2020-01-01T00:00:00Z"},
        {"expirationDateTime": "tomorrow"},
        {"latestSupportedTlsVersion": "v9"},
        {"notificationUrl": None},
    ],
)
def test_a_wrong_subscription_is_refused_before_any_validation(changes: dict[str, Any]) -> None:
    with pushing() as push:
        assert push.subscribe(**changes).status_code in (400, 404)
        assert push.hook.validations == []


def test_the_longest_life_is_refused_not_clamped() -> None:
    with pushing() as push:
        words = "Subscription expiration can only be 10070 minutes in the future."
        assert error_of(push.subscribe(minutes=10_080)) == (400, "ExtensionError", words)
        made = push.subscribed(minutes=10_069)
        later = push.request(minutes=10_080)["expirationDateTime"]
        answer = push.stand.http.patch(f"{SUBSCRIPTIONS}/{made['id']}", json={"expirationDateTime": later})
        assert error_of(answer) == (400, "ErrorInvalidParameter", words)
        push.stand.graph.set_knobs(subscription_minutes_max=4230)
        assert "4230" in error_of(push.subscribe(minutes=4_231))[2]


def test_renew_reauthorize_delete_and_gone() -> None:
    with pushing() as push:
        made = push.subscribed()
        path = f"{SUBSCRIPTIONS}/{made['id']}"
        later = push.request(minutes=2000)["expirationDateTime"]
        renewed = push.stand.http.patch(path, json={"expirationDateTime": later})
        assert renewed.status_code == 200
        assert renewed.json()["expirationDateTime"] > made["expirationDateTime"]
        assert push.stand.http.post(f"{path}/reauthorize").status_code == 204
        assert push.stand.http.delete(path).status_code == 204
        for answer in (push.stand.http.delete(path), push.stand.http.patch(path, json={"expirationDateTime": later})):
            assert error_of(answer)[:2] == (404, "ResourceNotFound")


def test_an_expired_subscription_vanishes_silently() -> None:
    with pushing(reauthorize_before_s=0) as push:
        made = push.subscribed(minutes=10)
        push.wait(601)
        push.stand.deliver("m")
        assert push.wait() == []
        assert push.stand.http.get(f"{SUBSCRIPTIONS}/{made['id']}").status_code == 404


def test_subscriptions_are_listed_in_pages_and_may_hide_their_client_state() -> None:
    with pushing(skip_validated_urls=True, client_state_in_get=False) as push:
        for _ in range(21):
            push.subscribed()
        first = push.stand.http.get(SUBSCRIPTIONS).json()
        second = push.stand.http.get(first["@odata.nextLink"]).json()
        assert (len(first["value"]), len(second["value"])) == (20, 1)
        assert first["value"][0]["clientState"] is None


def test_a_notification_names_the_message_and_not_the_folder() -> None:
    with pushing() as push:
        made = push.subscribed()
        (message,) = push.stand.deliver("m")
        (item,) = push.wait()
        user = push.stand.graph.add_mailbox(ADDRESS)
        assert item["resource"] == item["resourceData"]["@odata.id"] == f"Users/{user}/Messages/{message}"
        assert item["resourceData"]["@odata.type"] == "#Microsoft.Graph.Message"
        assert item["resourceData"]["id"] == message
        assert (item["changeType"], item["clientState"], item["subscriptionId"]) == ("created", "secret", made["id"])
        assert item["tenantId"] == TENANT_ID
        assert push.hook.posts[0][:2] == ("/push", "k=1")
        assert push.stand.graph.counters()["notifications"]["delivered"] == 1


def test_ids_are_immutable_only_if_the_subscription_was_made_so() -> None:
    with pushing() as push:
        push.subscribed(prefer=None)
        (message,) = push.stand.deliver("m")
        assert push.wait()[0]["resourceData"]["id"] == push.stand.graph.mutable_id(ADDRESS, message)


def test_changes_become_events_and_a_move_is_two() -> None:
    with pushing() as push:
        push.subscribed()
        graph = push.stand.graph

        def kinds() -> list[str]:
            return [item["changeType"] for item in push.wait()]

        (message,) = push.stand.deliver("m")
        assert kinds() == ["created"]
        graph.update(ADDRESS, message, is_read=True)
        graph.update(ADDRESS, message, flag="flagged")
        assert kinds() == ["updated", "updated"]
        graph.move(ADDRESS, message, "archive")
        assert kinds() == ["deleted", "created"]
        graph.hard_delete(ADDRESS, message)
        assert kinds() == ["deleted"]
        draft = graph.save_draft(ADDRESS, b"Subject: d\r\n\r\n")
        graph.update(ADDRESS, draft, subject="d2")
        assert kinds() == ["created", "updated"]


def test_sent_mail_passes_through_an_outbox_id_that_is_gone() -> None:
    with pushing() as push:
        push.subscribed(changeType="created")
        sent = push.stand.graph.send(ADDRESS, push.stand.graph.save_draft(ADDRESS, b"Subject: d\r\n\r\n"))
        passing, last = [item["resourceData"]["id"] for item in push.wait()][-2:]
        assert push.stand.error(f"messages/{passing}")[1] == "ErrorItemNotFound"
        assert last == sent


def test_a_folder_a_kind_or_a_filter_narrows_what_is_told() -> None:
    with pushing() as push:
        push.subscribed(resource="/me/mailFolders('archive')/messages", changeType="created")
        push.subscribed(resource="/me/messages?$filter=isDraft eq false", changeType="updated")
        (message,) = push.stand.deliver("m")
        draft = push.stand.graph.save_draft(ADDRESS, b"Subject: d\r\n\r\n")
        push.stand.graph.update(ADDRESS, draft, subject="e")
        assert push.wait() == []
        push.stand.graph.update(ADDRESS, message, is_read=True)
        push.stand.graph.move(ADDRESS, message, "archive")
        assert sorted(item["changeType"] for item in push.wait()) == ["created", "updated"]


def test_one_post_mixes_several_notifications_of_several_subscriptions() -> None:
    with pushing(notification_group_max=10) as push:
        push.subscribed()
        push.subscribed()
        push.stand.deliver(*(f"n{number}" for number in range(10)))
        assert len(push.wait()) == 20
        assert len(push.hook.posts) == 2
        assert len({item["subscriptionId"] for item in orjson.loads(push.hook.posts[0][2])["value"]}) == 2


def test_notifications_come_twice_and_out_of_order() -> None:
    with pushing(notification_duplicate_probability=1.0, notification_jitter_s=60, notification_reorder=True) as push:
        push.subscribed()
        ids = push.stand.deliver(*(f"n{number}" for number in range(10)))
        seen = [item["resourceData"]["id"] for _ in range(12) for item in push.wait(6)]
        assert len(seen) == 20
        assert list(dict.fromkeys(seen)) != ids


def test_latency_is_on_the_emulated_clock() -> None:
    with pushing(notification_latency_s=120) as push:
        push.subscribed()
        push.stand.deliver("m")
        assert push.wait(119) == []
        assert len(push.wait(2)) == 1


def test_a_lost_notification_is_followed_by_missed() -> None:
    with pushing(notification_loss_probability=1.0) as push:
        push.subscribed()
        push.stand.deliver("m")
        (item,) = push.wait()
        assert item["lifecycleEvent"] == "missed"
        assert push.hook.posts[0][0] == "/push/lifecycle"
        push.stand.graph.set_knobs(missed_after_loss=False)
        push.stand.deliver("m")
        assert push.wait() == []


def test_what_is_not_acknowledged_is_tried_again_with_growing_pauses_for_four_hours() -> None:
    with pushing() as push:
        push.subscribed(minutes=10_000)
        push.hook.behave = lambda query: (503, "text/plain", "")
        push.stand.deliver("m")
        assert len(push.wait(1)) == 1
        assert push.wait(5) == []
        for pause in (11, 21, 41):
            assert len(push.wait(pause)) == 1
        for _ in range(60):
            push.wait(300)
        counts = push.stand.graph.counters()["notifications"]
        assert counts["given_up"] == 1
        assert 8 < counts["refused"] < 13
        push.hook.behave = None
        assert push.wait(86_400) == []


def test_an_answer_after_the_deadline_is_no_answer() -> None:
    with pushing(ack_timeout_real_s=0.05, slow_ack_real_s=0.05) as push:
        push.subscribed()
        push.hook.delay_s = 0.2
        push.stand.deliver("m")
        assert len(push.wait()) == 1
        push.hook.delay_s = 0.0
        assert len(push.wait(11)) == 1
        assert [entry["accepted"] for entry in push.stand.graph.deliveries()] == [False, True]


def test_a_slow_endpoint_is_first_delayed_and_then_dropped() -> None:
    with pushing(slow_ack_real_s=0.0, slow_sample_min=4, drop_share=1.0) as push:
        push.subscribed()
        for _ in range(4):
            push.stand.deliver("m")
            assert len(push.wait()) == 1
        push.stand.deliver("late")
        assert push.wait(5) == []
        assert len(push.wait(6)) == 1
        push.stand.graph.set_knobs(drop_share=0.15)
        push.stand.deliver("dropped")
        assert push.wait(30) == []
        push.wait(601)
        push.stand.deliver("back")
        assert len(push.wait()) == 1
        assert push.stand.graph.counters()["notifications"]["dropped_slow_endpoint"] == 1


def test_lifecycle_events_have_their_documented_and_their_actual_shape() -> None:
    with pushing() as push:
        made = push.subscribed()
        push.stand.graph.lifecycle(made["id"], "missed")
        (documented,) = push.wait()
        assert set(documented) == {
            "subscriptionId",
            "subscriptionExpirationDateTime",
            "tenantId",
            "clientState",
            "lifecycleEvent",
        }
        push.stand.graph.set_knobs(lifecycle_payload="actual")
        push.stand.graph.lifecycle(made["id"], "missed")
        (actual,) = push.wait()
        assert "tenantId" not in actual
        assert actual["organizationId"] == TENANT_ID
        assert actual["resource"] == f"Subscriptions/{made['id']}"


def test_reauthorization_is_asked_for_near_the_end_again_and_again() -> None:
    with pushing() as push:
        push.subscribed(minutes=120)
        assert push.wait(3500) == []
        for _ in range(2):
            push.wait(900)
            assert [item["lifecycleEvent"] for item in push.wait()] == ["reauthorizationRequired"]


def test_a_reauthorization_that_is_ignored_ends_in_lost_notifications() -> None:
    with pushing() as push:
        made = push.subscribed(minutes=1000)
        push.stand.graph.lifecycle(made["id"], "reauthorizationRequired")
        push.wait()
        push.stand.deliver("in time")
        assert len(push.wait()) == 1
        push.wait(901)
        push.stand.deliver("lost")
        assert push.wait() == []
        push.stand.http.post(f"{SUBSCRIPTIONS}/{made['id']}/reauthorize")
        push.stand.deliver("again")
        assert len(push.wait()) == 1


def test_a_password_reset_removes_the_subscriptions_and_says_so() -> None:
    with pushing() as push:
        made = push.subscribed()
        push.stand.graph.revoke(ADDRESS, remove_subscriptions=True)
        assert [item["lifecycleEvent"] for item in push.wait()] == ["subscriptionRemoved"]
        assert push.stand.http.get(f"{SUBSCRIPTIONS}/{made['id']}").status_code == 404


def test_a_notification_can_come_out_of_nowhere() -> None:
    with pushing() as push:
        made = push.subscribed()
        (message,) = push.stand.deliver("m")
        push.wait()
        push.stand.graph.notify(made["id"], message, "deleted")
        assert [item["changeType"] for item in push.wait()] == ["deleted"]


def test_resource_data_is_encrypted_signed_and_never_a_body() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    rich: dict[str, Any] = {
        "includeResourceData": True,
        "encryptionCertificate": base64.b64encode(certificate).decode(),
        "encryptionCertificateId": "c1",
    }
    with pushing() as push:
        assert push.subscribe(resource="/me/messages?$select=body", **rich).status_code == 400
        assert push.subscribe(resource="/me/messages", **rich).status_code == 400
        resource = "/me/messages?$select=subject,isRead"
        assert "1440" in error_of(push.subscribe(minutes=2000, resource=resource, **rich))[2]
        push.subscribed(resource=resource, **rich)
        push.stand.deliver("secret subject")
        (item,) = push.wait()
        content = item["encryptedContent"]
        sha1 = hashes.SHA1
        oaep = padding.OAEP(padding.MGF1(sha1()), sha1(), None)
        secret = key.decrypt(base64.b64decode(content["dataKey"]), oaep)
        data = base64.b64decode(content["data"])
        assert base64.b64encode(hmac.new(secret, data, hashlib.sha256).digest()).decode() == content["dataSignature"]
        decryptor = Cipher(algorithms.AES(secret), modes.CBC(secret[:16])).decryptor()
        plain = decryptor.update(data) + decryptor.finalize()
        assert orjson.loads(plain[: -plain[-1]])["subject"] == "secret subject"
        (token,) = orjson.loads(push.hook.posts[-1][2])["validationTokens"]
        keys = push.stand.http.get("/common/discovery/v2.0/keys").json()["keys"]
        public = jwt.PyJWK(keys[0])
        claims = jwt.decode(
            token,
            public,
            ["RS256"],
            audience=CLIENT_ID,
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
        assert claims["appid"] == PUBLISHER_APP_ID


def test_the_default_lifetimes_are_those_of_the_fact_sheet() -> None:
    knobs = Knobs()
    assert (knobs.subscription_minutes_max, knobs.rich_subscription_minutes_max) == (10_070, 1_440)
    assert (knobs.ack_timeout_real_s, knobs.retry_for_s) == (3.0, 4 * 3600)
