"""/status: whether the process lives, without a key; how things stand, with it or in a session; and who gets one."""

import base64
import hashlib
import re
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.status.metrics import exposition
from tests.functions.stand import API_KEY, Stand, assert_problem


def test_health_needs_no_key_and_says_nothing_more(stand: Stand) -> None:
    for client in (stand.anonymous, stand.client):
        answer = client.get("/status/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_health_does_not_ask_the_store(stand: Stand) -> None:
    stand.redis.bridge.inject("refuse", times=10)
    assert stand.anonymous.get("/status/health").status_code == 200


def test_status_json_tells_how_every_mailbox_stands(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox(2))
    stand.sync(account_id)
    found = stand.client.get("/status/status.json").json()
    assert (found["status"], found["accounts"]) == ("ok", {"total": 1, "active": 1})
    assert found["breakers"]["gmail"] == "closed"
    assert [(each["account_id"], each["state"], each["messages"]) for each in found["mailboxes"]] == [
        (account_id, "active", 2)
    ]


def test_many_mailboxes_cost_few_requests(stand: Stand) -> None:
    for _ in range(4):
        stand.connect(stand.mailbox())
    stand.redis.bridge.reset()
    assert stand.client.get("/status/status.json").json()["accounts"]["total"] == 4
    assert stand.redis.bridge.stats.requests <= 8


@pytest.mark.parametrize("path", ["/status/status.json", "/status/nothing"])
def test_without_the_key_nothing_else_is_told(stand: Stand, path: str) -> None:
    assert_problem(stand.anonymous.get(path), 401, "unauthorized")


def test_what_stands_at_no_path_is_404_and_another_method_405(stand: Stand) -> None:
    assert_problem(stand.client.get("/status/nothing"), 404, "not_found")
    assert_problem(stand.client.get("/status/health/deep"), 404, "not_found")
    for path in ("/status/health", "/status/status.json"):
        assert_problem(stand.client.delete(path), 405, "method_not_allowed")


def browser(stand: Stand, **headers: str) -> httpx.Client:
    accept = {"accept": "text/html,application/xhtml+xml", "sec-fetch-site": "same-origin"}
    return httpx.Client(base_url=stand.server.url, headers={**accept, **headers}, trust_env=False)


def log_in(client: httpx.Client, key: str = API_KEY, **headers: str) -> httpx.Response:
    return client.post("/status/login", data={"key": key}, headers=headers)


def test_a_browser_without_a_session_gets_the_form_and_still_a_401(stand: Stand) -> None:
    with browser(stand) as client:
        answer = client.get("/status")
        assert answer.status_code == 401
        assert '<form class="box login" method="post" action="/status/login">' in answer.text
    assert_problem(stand.anonymous.get("/status"), 401, "unauthorized")


def test_the_key_is_swapped_for_a_strict_cookie_that_opens_the_status_and_nothing_else(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox())
    with browser(stand) as client:
        answer = log_in(client)
        assert (answer.status_code, answer.headers["location"]) == (303, "/status")
        name, _, rest = answer.headers["set-cookie"].partition("=")
        assert (name, rest.partition("; ")[2]) == (
            "tidemark-status",
            "Path=/; Max-Age=3600; HttpOnly; SameSite=Strict",
        )
        assert API_KEY not in answer.headers["set-cookie"]
        for path in ("/status", "/status/status.json", "/status/metrics", "/status/openapi.json"):
            assert client.get(path).status_code == 200
        for method, path in (
            ("GET", "/accounts"),
            ("DELETE", f"/accounts/{account_id}"),
            ("POST", "/gmail-sync"),
            ("GET", f"/mailbox/changes?account_id={account_id}"),
        ):
            assert client.request(method, path).status_code == 401
        assert_problem(client.get("/status/status.json", headers={"authorization": "Bearer no"}), 401, "unauthorized")


def test_elsewhere_than_on_this_machine_the_cookie_is_host_only_and_secure(stand: Stand) -> None:
    with browser(stand, host="status.example.com") as client:
        cookie = log_in(client).headers["set-cookie"]
        assert cookie.startswith("__Host-tidemark-status=")
        assert cookie.endswith("; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict; Secure")
        taken = cookie.partition(";")[0]
        assert client.get("/status/status.json", headers={"cookie": taken}).status_code == 200
        insecure = taken.removeprefix("__Host-")
        assert client.get("/status/status.json", headers={"cookie": insecure}).status_code == 401


def test_a_wrong_key_gets_no_cookie(stand: Stand) -> None:
    with browser(stand) as client:
        for key in ("", "wrong", API_KEY + "x"):
            answer = log_in(client, key)
            assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
            assert key == "" or key not in answer.text


def test_a_session_that_is_logged_out_is_over_wherever_its_cookie_has_got_to(stand: Stand) -> None:
    with browser(stand) as client:
        log_in(client)
        kept = client.cookies["tidemark-status"]
        assert client.post("/status/logout").headers["set-cookie"].startswith("tidemark-status=; Path=/; Max-Age=0;")
    answer = stand.anonymous.get("/status/status.json", headers={"cookie": f"tidemark-status={kept}"})
    assert_problem(answer, 401, "unauthorized")


def test_what_redis_holds_of_a_session_opens_nothing_and_ends_within_the_hour(stand: Stand) -> None:
    with browser(stand) as client:
        log_in(client)
        cookie = client.cookies["tidemark-status"]
    (name,) = (each for each in stand.stored() if each.startswith("td:session:"))
    assert 0 < int(str(stand.redis.valkey.call("TTL", name))) <= 3600
    assert not set(cookie.split(".")) & set(name.split(":"))
    for forged in (name.rpartition(":")[2], f"{cookie.partition('.')[0]}.{name.rpartition(':')[2]}", cookie[:-1]):
        answer = stand.anonymous.get("/status", headers={"cookie": f"tidemark-status={forged}"})
        assert answer.status_code == 401


def test_a_cookie_that_was_not_made_here_costs_no_command(stand: Stand) -> None:
    stand.redis.bridge.reset()
    for cookie in ("", "x", "x.y", "é.é", "a" * 5000):
        headers = {b"cookie": f"tidemark-status={cookie}".encode()}
        assert stand.anonymous.get("/status", headers=headers).status_code == 401
    assert stand.redis.bridge.stats.requests == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "http://["}, 403),
        ({"content-type": "text/plain"}, 415),
        ({}, 303),
    ],
)
def test_another_site_can_log_nobody_in_or_out(stand: Stand, headers: dict[str, str], status: int) -> None:
    for path in ("/status/login", "/status/logout"):
        given = {"content-type": "application/x-www-form-urlencoded", **headers}
        answer = stand.anonymous.post(path, content=f"key={API_KEY}", headers=given)
        assert answer.status_code == status
    stand.anonymous.cookies.clear()


def test_a_form_from_our_own_origin_is_taken_where_the_browser_tells_no_more(stand: Stand) -> None:
    answer = stand.anonymous.post("/status/login", data={"key": API_KEY}, headers={"origin": stand.server.url})
    assert answer.status_code == 303
    stand.anonymous.cookies.clear()


def test_a_form_that_is_no_form_is_malformed_or_too_large(stand: Stand) -> None:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    answer = stand.anonymous.post("/status/login", content="a=1&" * 50, headers=kind)
    assert_problem(answer, 400, "malformed")
    answer = stand.anonymous.post("/status/login", content="a" * 20_000, headers=kind)
    assert_problem(answer, 413, "body_too_large")


def test_the_page_shows_every_mailbox_and_runs_loads_and_frames_nothing(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox(2), user_id="<script>alert(1)</script>@example.com")
    stand.sync(account_id)
    answer = stand.client.get("/status")
    policy = answer.headers["content-security-policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert account_id in answer.text
    assert re.findall(r"<script|\son\w+=|style=|@example\.com|src=", answer.text) == []


def test_what_the_page_shows_is_escaped(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox())
    bad = "<img/src=x>"
    stand.redis.valkey.call("HSET", f"td:{account_id}:account", "state", "paused", "reason", bad)
    stand.redis.valkey.call("HSET", f"td:{account_id}:account", "alerts", f'["{bad}"]')
    assert "<img" not in stand.client.get("/status").text


def test_what_needs_somebody_comes_first(stand: Stand) -> None:
    ids = [stand.connect(stand.mailbox(), account_id=name) for name in ("aa", "bb", "cc")]
    stand.redis.valkey.call("HSET", f"td:{ids[2]}:account", "alerts", '["slow_sync"]')
    text = stand.client.get("/status").text
    assert text.index(">cc<") < text.index(">aa<") < text.index(">bb<")
    assert "slow sync" in text


def test_the_page_names_only_so_many_mailboxes_and_says_how_many_more(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.status.page.MAILBOXES_MAX", 1)
    for name in ("aa", "bb", "cc"):
        stand.connect(stand.mailbox(), account_id=name)
    text = stand.client.get("/status").text
    assert ">aa<" in text
    assert ">bb<" not in text
    assert "2 more" in text


def test_the_page_of_nothing_says_what_to_do(stand: Stand) -> None:
    assert "POST /accounts/connect" in stand.client.get("/status").text


def test_the_figures_of_the_last_syncs_are_told(stand: Stand) -> None:
    account_id = stand.connect(stand.mailbox(3))
    first, second = stand.sync(account_id), stand.sync(account_id)
    found = stand.client.get("/status/status.json").json()
    figures = found["performance"]["gmail"]
    assert (figures["syncs"], figures["messages"]) == (2, 3)
    assert figures["api_calls"] == first["api_calls"] + second["api_calls"]
    assert 0 < figures["duration_s"]["p50"] <= figures["duration_s"]["p95"] <= figures["duration_s"]["max"]
    totals = found["mailboxes"][0]["totals"]
    assert (totals["syncs"], totals["messages"], totals["api_calls"]) == (2, 3, figures["api_calls"])
    assert totals["quota_units"] == first["quota_units"] + second["quota_units"]


def test_prometheus_reads_the_metrics_and_no_label_names_a_person(stand: Stand) -> None:
    address = stand.mailbox(2)
    account_id = stand.connect(address, user_id=address)
    stand.sync(account_id)
    stand.redis.valkey.call("HSET", f"td:{account_id}:account", "alerts", '["stale"]')
    answer = stand.client.get("/status/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    labels = {name for family in families.values() for sample in family.samples for name in sample.labels}
    assert labels == {"provider", "account_id", "state", "alert", "quantile"}
    assert address not in answer.text
    of = {"provider": "gmail", "account_id": account_id}
    assert families["tidemark_messages_synced"].samples[0][1:3] == (of, 2.0)
    assert families["tidemark_provider_calls"].samples[0].value == stand_total(stand, "api_calls")
    assert families["tidemark_alert"].samples[0].labels == {**of, "alert": "stale"}
    breakers = {(s.labels["provider"], s.labels["state"]): s.value for s in families["tidemark_breaker_state"].samples}
    assert (breakers["gmail", "closed"], breakers["gmail", "open"], len(breakers)) == (1.0, 0.0, 6)
    assert families["tidemark_cursor_age_seconds_max"].samples[0].value >= 0


def stand_total(stand: Stand, name: str) -> float:
    return float(stand.client.get("/status/status.json").json()["mailboxes"][0]["totals"][name])


def test_a_label_is_escaped() -> None:
    told: dict[str, Any] = {"mailboxes": [], "breakers": {'a"\\\n': "open"}, "performance": {}, "webhook": None}
    (family,) = text_string_to_metric_families(exposition(told))
    assert {sample.labels["provider"] for sample in family.samples} == {'a"\\\n'}
