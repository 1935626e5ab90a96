"""The Graph stand-in's limits, ordered faults and batches: what really refuses, breaks, and is counted."""

import asyncio
import time
from collections import Counter
from typing import Any

import httpx
import pytest

from tests.infra.graph_client import ADDRESS, ME, TLS, StillClock, standing

INBOX = "mailFolders/inbox/messages"
MESSAGES = f"{ME}/messages?$top=1"


def at_once(url: str, headers: dict[str, str], paths: list[str]) -> list[httpx.Response]:
    """Every request on a connection of its own."""

    async def run() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=10, verify=TLS) as client:
            return list(await asyncio.gather(*(client.get(path) for path in paths)))

    return asyncio.run(run())


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def test_the_fifth_request_in_flight_of_a_mailbox_is_refused_across_connections() -> None:
    with standing(messages=1, latency_ms=150) as stand:
        answers = at_once(stand.url, stand.bearer(), [MESSAGES] * 7)
        assert statuses(answers) == {200: 4, 429: 3}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["Retry-After"] == "1"
        error = refused.json()["error"]
        assert (error["code"], error["message"]) == (
            "ApplicationThrottled",
            "Application is over its MailboxConcurrency limit.",
        )
        assert stand.graph.counters()["max_in_flight"] == {ADDRESS: 5}
        assert stand.graph.counters()["refused_by_limits"] == 3
        stand.graph.set_knobs(latency_ms=0.0)
        assert stand.ask("GET", "messages").status_code == 200


def test_each_mailbox_and_each_app_has_a_limit_of_its_own() -> None:
    with standing(messages=1, latency_ms=150) as stand:
        stand.graph.add_mailbox("eve@example.com")
        paths = [f"/v1.0/users/{who}/messages" for who in (ADDRESS, "eve@example.com") for _ in range(4)]
        assert statuses(at_once(stand.url, stand.bearer(None), paths)) == {200: 8}
        stand.graph.set_knobs(concurrency_scope="app")
        assert statuses(at_once(stand.url, stand.bearer(None), paths)) == {200: 4, 429: 4}


def test_retry_after_may_be_missing() -> None:
    with standing(latency_ms=100, concurrency_max=1, concurrency_retry_after_s=None) as stand:
        answers = at_once(stand.url, stand.bearer(), [MESSAGES] * 2)
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert "Retry-After" not in refused.headers


def test_a_burst_may_be_answered_with_403() -> None:
    with standing(latency_ms=100, burst_403_above=2) as stand:
        answers = at_once(stand.url, stand.bearer(), [MESSAGES] * 6)
        assert statuses(answers) == {200: 2, 403: 4}
        refused = next(answer for answer in answers if answer.status_code == 403).json()["error"]
        assert refused["code"] == "ErrorAccessDenied"
        assert refused["message"].endswith("The store ID provided isn't an ID of an item.")


def test_ten_thousand_requests_in_ten_minutes_refused_ones_included() -> None:
    clock = StillClock()
    with standing(clock, requests_max=5) as stand:
        answers = [stand.ask("GET", "messages") for _ in range(7)]
        assert statuses(answers) == {200: 5, 429: 2}
        assert answers[-1].json()["error"]["code"] == "TooManyRequests"
        assert 0 < int(answers[-1].headers["Retry-After"]) <= 600
        clock.advance(599)
        assert stand.ask("GET", "messages").status_code == 429
        clock.advance(2)
        assert stand.ask("GET", "messages").status_code == 200


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("throttled", 429, "ApplicationThrottled"),
        ("too_many_requests", 429, "TooManyRequests"),
        ("throttled_old", 429, "UnknownError"),
        ("unavailable", 503, "serviceNotAvailable"),
        ("bad_gateway", 502, "UnknownError"),
        ("gateway_timeout", 504, "UnknownError"),
        ("server_error", 500, "generalException"),
        ("bandwidth", 509, "BandwidthLimitExceeded"),
        ("unauthorized", 401, "InvalidAuthenticationToken"),
        ("forbidden", 403, "ErrorAccessDenied"),
        ("not_found", 404, "ErrorItemNotFound"),
        ("quota_exceeded", 403, "ErrorQuotaExceeded"),
    ],
)
def test_every_refusal_can_be_ordered(kind: str, status: int, code: str) -> None:
    with standing() as stand:
        stand.graph.set_fault(kind, endpoint="messages.list", retry_after_s=7)
        answer = stand.ask("GET", "messages")
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.headers.get("Retry-After") == ("7" if status in (429, 503) else None)
        assert stand.ask("GET", "messages").status_code == 200


def test_a_fault_strikes_where_and_as_often_as_ordered() -> None:
    with standing() as stand:
        first, second = stand.deliver("a", "b")
        stand.graph.set_fault("server_error", message=first, times=None)
        assert [stand.ask("GET", f"messages/{id_}").status_code for id_ in (first, second, first)] == [500, 200, 500]
        stand.graph.clear_faults()
        stand.graph.set_fault("server_error", folder="drafts", times=2)
        paths = ("inbox", "drafts", "Drafts", "drafts")
        answers = [stand.ask("GET", f"mailFolders/{name}/messages").status_code for name in paths]
        assert answers == [200, 500, 500, 200]
        stand.graph.set_fault("server_error", endpoint="messages.list", nth=3)
        assert [stand.ask("GET", "messages").status_code for _ in range(4)] == [200, 200, 500, 200]
        stand.graph.set_fault("server_error", probability=0.5, times=None)
        seen = statuses([stand.ask("GET", "messages") for _ in range(40)])
        assert 8 < seen[500] < 32


def test_a_reset_loses_the_answer_after_the_work_is_done() -> None:
    with standing() as stand:
        (message,) = stand.deliver("m")
        stand.graph.set_fault("reset", endpoint="messages.update")
        with pytest.raises(httpx.TransportError):
            stand.ask("PATCH", f"messages/{message}", json={"isRead": True})
        assert stand.graph.snapshot(ADDRESS)[message]["is_read"] is True


def test_a_truncated_answer_ends_in_the_middle() -> None:
    with standing(messages=10) as stand:
        stand.graph.set_fault("truncated", endpoint="messages.list")
        with pytest.raises(httpx.RemoteProtocolError):
            stand.ask("GET", INBOX)
        assert stand.ask("GET", INBOX).status_code == 200


def test_a_slow_first_byte_holds_its_slot() -> None:
    with standing(concurrency_max=1) as stand:
        stand.graph.set_fault("slow", delay_s=0.15)
        started = time.monotonic()
        answers = at_once(stand.url, stand.bearer(), [MESSAGES] * 2)
        assert time.monotonic() - started >= 0.15
        assert statuses(answers) == {200: 1, 429: 1}


def test_a_batch_answers_each_part_in_any_order() -> None:
    with standing(messages=20) as stand:
        ids = list(stand.graph.snapshot(ADDRESS))
        parts = [
            {"url": f"/me/messages/{id_}?$select=id", "headers": {"Prefer": 'IdType="ImmutableId"'}} for id_ in ids
        ]
        requests = [{"id": str(number), "method": "GET"} | part for number, part in enumerate(parts)]
        answers = stand.http.post("/v1.0/$batch", json={"requests": requests}).json()["responses"]
        assert [answer["id"] for answer in answers] != [request["id"] for request in requests]
        for answer in answers:
            assert answer["status"] == 200
            assert answer["body"]["id"] == ids[int(answer["id"])]
            assert answer["headers"]["Preference-Applied"] == "IdType=ImmutableId"


def test_a_failed_part_fails_alone() -> None:
    with standing(messages=1) as stand:
        (message,) = stand.graph.snapshot(ADDRESS)
        stand.graph.set_fault("throttled", endpoint="folders.get", in_batch=True, retry_after_s=3)
        good, missing, throttled, absolute, nested = stand.batch(
            {"url": f"/me/messages/{message}"},
            {"url": "me/messages/nonsense"},
            {"url": "/me/mailFolders/inbox"},
            {"url": f"{stand.url}/v1.0/me/messages"},
            {"url": "/$batch", "method": "POST"},
        ).values()
        by_status = sorted(part["status"] for part in (good, missing, throttled, absolute, nested))
        assert by_status == [200, 400, 400, 404, 429]


def test_a_throttled_part_has_its_own_retry_after() -> None:
    with standing() as stand:
        stand.graph.set_fault("throttled", in_batch=True, retry_after_s=3)
        assert stand.batch({"url": "/me/mailFolders/inbox"})["1"]["headers"]["Retry-After"] == "3"


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [{"id": str(number), "method": "GET", "url": "/me"} for number in range(21)],
        [{"id": "1", "method": "GET", "url": "/me"}] * 2,
        [{"method": "GET", "url": "/me"}],
        [{"id": "1", "url": "/me"}],
        [{"id": "1", "method": "GET", "url": "/me", "dependsOn": ["2"]}],
    ],
    ids=["empty", "too many", "double id", "no id", "no method", "unknown parent"],
)
def test_a_malformed_batch_is_refused_whole(requests: list[dict[str, Any]]) -> None:
    with standing() as stand:
        assert stand.http.post("/v1.0/$batch", json={"requests": requests}).status_code == 400


def test_dependent_parts_wait_and_fail_with_their_parent() -> None:
    with standing(messages=1) as stand:
        (message,) = stand.graph.snapshot(ADDRESS)
        answers = stand.batch(
            {
                "method": "PATCH",
                "url": f"/me/messages/{message}",
                "headers": {"Content-Type": "application/json"},
                "body": {"isRead": True},
            },
            {"url": f"/me/messages/{message}", "dependsOn": ["1"]},
            {"url": "/me/messages/nonsense", "dependsOn": ["2"]},
            {"url": "/me/messages", "dependsOn": ["3"]},
        )
        assert answers["2"]["body"]["isRead"] is True
        assert [answers[number]["status"] for number in "1234"] == [200, 200, 404, 424]


def test_a_batch_alone_keeps_the_limit_and_a_request_beside_it_does_not() -> None:
    with standing(messages=1, latency_ms=60, part_latency_share=1.0) as stand:
        requests = [{"id": str(number), "method": "GET", "url": "/me/messages"} for number in range(8)]

        async def beside(extra: int) -> list[int]:
            async with httpx.AsyncClient(
                base_url=stand.url, headers=stand.bearer(), trust_env=False, verify=TLS
            ) as client:
                batch = asyncio.create_task(client.post("/v1.0/$batch", json={"requests": requests}))
                await asyncio.sleep(0.09)
                others = await asyncio.gather(*(client.get(MESSAGES) for _ in range(extra)))
                parts = (await batch).json()["responses"]
                return [part["status"] for part in parts] + [other.status_code for other in others]

        assert set(asyncio.run(beside(0))) == {200}
        assert stand.graph.counters()["max_in_flight"] == {ADDRESS: 4}
        assert 429 in asyncio.run(beside(1))


def test_batch_parts_count_against_the_ten_minutes() -> None:
    with standing(StillClock(), requests_max=3) as stand:
        answers = stand.batch(*({"url": "/me/messages"} for _ in range(5)))
        assert Counter(answer["status"] for answer in answers.values()) == {200: 3, 429: 2}
        counters = stand.graph.counters()
        assert (counters["http_requests"], counters["batch_parts"]) == (1, 5)
