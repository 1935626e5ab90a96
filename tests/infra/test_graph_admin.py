"""The Graph stand-in as an instrument: seed and clock, counters, the request log, the admin API, the command line."""

import atexit
import base64
import re
import subprocess
import sys
import time

import httpx
import pytest

from infra.emulators.clock import Clock
from infra.emulators.graph.emulator import GraphEmulator
from infra.emulators.graph.knobs import Knobs
from infra.emulators.graph.seed import fill
from tests.infra.graph_client import ADDRESS, IMMUTABLE, TLS, plain, standing

CLIENT = httpx.Client(trust_env=False, verify=TLS)
atexit.register(CLIENT.close)


def admin(url: str, method: str, status: int = 200, **arguments: object) -> object:
    answer = CLIENT.post(f"{url}/_admin/{method}", json=arguments)
    assert answer.status_code == status, answer.text
    return answer.json().get("result")


def test_the_log_has_the_prefer_header_and_request_id_of_every_request_and_part() -> None:
    with standing(messages=11) as stand:
        stand.walk()
        stand.batch({"url": "/me/mailFolders/inbox", "headers": {"Prefer": "odata.maxpagesize=3"}})
        lines = stand.graph.requests()
        assert [line["prefer"] for line in lines] == [IMMUTABLE, IMMUTABLE, None, "odata.maxpagesize=3"]
        assert [line["in_batch"] for line in lines] == [False, False, False, True]
        assert lines[0]["endpoint"] == "messages.delta"
        assert stand.graph.requests(since=lines[-1]["number"]) == []


def test_counters_count_by_endpoint_and_can_be_reset() -> None:
    with standing(messages=1) as stand:
        stand.walk()
        stand.error("messages/nonsense")
        counters = stand.graph.counters()
        assert counters["requests"] == {"messages.delta": 1, "messages.get": 1}
        assert counters["statuses"] == {"200": 1, "404": 1}
        assert counters["max_in_flight"] == {ADDRESS: 1}
        stand.graph.reset_counters()
        assert stand.graph.counters()["http_requests"] == 0


def test_the_same_seed_and_calls_give_the_same_mailbox() -> None:
    def ids(seed: int) -> list[str]:
        with GraphEmulator(Clock(start_s=1.8e9), seed=seed) as graph:
            return fill(graph, ADDRESS, [plain(f"n{number}") for number in range(20)], seed)

    assert ids(1) == ids(1) != ids(2)


def test_a_filled_mailbox_is_spread_over_nested_folders() -> None:
    with GraphEmulator() as graph:
        fill(graph, ADDRESS, [plain(f"n{number}") for number in range(200)])
        used = {truth["folder"] for truth in graph.snapshot(ADDRESS).values()}
        assert {"Inbox", "Sent Items", "Projects/2026"} <= used


def test_twenty_thousand_deliveries_take_seconds() -> None:
    with GraphEmulator() as graph:
        graph.add_mailbox(ADDRESS)
        raws = [plain(f"n{number}") for number in range(100)]
        started = time.monotonic()
        for number in range(20_000):
            graph.deliver(ADDRESS, raws[number % 100])
        assert time.monotonic() - started < 5


def test_everything_a_test_does_can_be_done_over_http() -> None:
    with standing() as stand:
        url, who = stand.url, ADDRESS
        raw = base64.b64encode(plain("over http")).decode()
        message = admin(url, "deliver", address=who, raw_base64=raw, folder="inbox")
        folder = admin(url, "add_folder", address=who, name="New", parent="archive")
        admin(url, "move", address=who, message_id=message, folder=folder)
        admin(url, "update", address=who, message_id=message, is_read=True, flag="flagged", categories=["Red"])
        admin(url, "rename_folder", address=who, folder=folder, name="Newer")
        answer = CLIENT.get(f"{url}/_admin/snapshot", params={"address": who}).json()["result"]
        assert answer[str(message)]["folder"] == "Archive/Newer"
        assert answer[str(message)]["subject"] == "over http"
        admin(url, "set_fault", kind="unavailable", endpoint="messages.list", retry_after_s=2)
        assert stand.ask("GET", "messages").status_code == 503
        token = admin(url, "mint_access_token", address=who, scopes=["Mail.Read"])
        bearer = {"Authorization": f"Bearer {token}"}
        assert CLIENT.get(f"{url}/v1.0/me/messages", headers=bearer).status_code == 200
        before = CLIENT.get(f"{url}/_admin/clock").json()["result"]["now_s"]
        assert admin(url, "clock", advance_s=3600)["now_s"] >= before + 3600  # type: ignore[index]
        admin(url, "hard_delete", address=who, message_id=message)
        admin(url, "delete_folder", address=who, folder=folder)
        assert CLIENT.get(f"{url}/_admin/snapshot", params={"address": who}).json()["result"] == {}
        assert CLIENT.get(f"{url}/_admin/counters").json()["result"]["requests"]["messages.list"] == 2


@pytest.mark.parametrize(
    ("method", "arguments", "status"),
    [
        ("nonsense", {}, 404),
        ("close", {}, 404),
        ("deliver", {"address": "nobody@example.com", "raw": "x"}, 400),
        ("deliver", {"address": ADDRESS, "raw": "x", "folder": "nowhere"}, 400),
        ("deliver", {"address": ADDRESS, "raw_base64": "!"}, 400),
        ("update", {"address": ADDRESS}, 400),
        ("set_fault", {"kind": "nonsense"}, 400),
        ("set_fault", {"kind": "reset", "place": "x"}, 400),
        ("set_knobs", {"nonsense": 1}, 400),
        ("set_knobs", {"latency_ms": "slow"}, 400),
        ("lifecycle", {"subscription_id": "x", "event": "nonsense"}, 400),
    ],
)
def test_an_admin_call_that_does_not_fit_says_why(method: str, arguments: dict[str, object], status: int) -> None:
    with standing() as stand:
        answer = CLIENT.post(f"{stand.url}/_admin/{method}", json=arguments)
        assert answer.status_code == status
        assert answer.json()["error"]


def test_admin_calls_are_not_counted() -> None:
    with standing() as stand:
        CLIENT.get(f"{stand.url}/_admin/counters")
        assert stand.graph.counters()["http_requests"] == 0


def test_nothing_random_is_on_unless_it_is_turned_on() -> None:
    values = Knobs().as_dict()
    assert all(value == 0 for name, value in values.items() if name.endswith("_probability"))
    assert (values["page_size_default"], values["concurrency_max"], values["latency_ms"]) == (10, 4, 0)


def test_the_command_line_serves_a_filled_mailbox() -> None:
    command = [sys.executable, "-m", "infra.emulators.graph", "--latency-ms", "0", "--mailbox", ADDRESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first, second = process.stdout.readline(), process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", first)
            assert found
            form = {
                "grant_type": "refresh_token",
                "refresh_token": second.split()[-1],
                "client_id": "6731de76-14a6-49ae-97bc-6eba6914391e",
                "client_secret": "emulator~secret",
            }
            token = CLIENT.post(f"{found[0]}/common/oauth2/v2.0/token", data=form).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            inbox = CLIENT.get(f"{found[0]}/v1.0/me/mailFolders/inbox", headers=headers).json()
            assert inbox["totalItemCount"] > 0
        finally:
            process.terminate()
            process.wait(10)


def test_the_command_line_says_in_one_line_what_is_wrong() -> None:
    command = [sys.executable, "-m", "infra.emulators.graph", "--mail", "/nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
