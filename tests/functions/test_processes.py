"""Each function as the process it is deployed as: alone, with and without its name, started right or not."""

from collections.abc import Iterator

import pytest

from infra.emulators.gmail import GmailEmulator
from tests.conftest import RedisRest
from tests.functions.process import Process, function, of_session
from tests.functions.stand import Stand, assert_problem, environment

NAMES = ("accounts", "gmail_sync", "mailbox", "status")


@pytest.fixture(scope="module")
def alone(redis_rest: RedisRest, gmail_session: tuple[GmailEmulator, str]) -> Iterator[dict[str, Process]]:
    """All four at once: they start side by side."""
    variables = environment(redis_rest, *gmail_session)
    processes = {name: function(variables, name) for name in NAMES}
    try:
        for process in processes.values():
            process.until_it_answers()
        yield processes
    finally:
        for process in processes.values():
            process.stop()


def test_each_function_alone_answers_with_and_without_its_name(stand: Stand, alone: dict[str, Process]) -> None:
    address = stand.mailbox(2)
    made = alone["accounts"].client.post("/", json=stand.asked(address))
    assert made.status_code == 201, made.text
    account_id = made.json()["account_id"]
    for path in (f"/{account_id}", f"/accounts/{account_id}"):
        assert alone["accounts"].client.get(path).json()["account_id"] == account_id
    for path in ("/", "/gmail-sync"):
        done = alone["gmail_sync"].client.post(path, json={"account_id": account_id})
        assert done.status_code == 200, done.text
    assert alone["gmail_sync"].client.post("/").json()["status"] == "swept"
    for path in ("/changes", "/mailbox/changes"):
        page = alone["mailbox"].client.get(path, params={"account_id": account_id}).json()
        assert len(page["changes"]) == 3
    for path in ("/health", "/status/health"):
        assert alone["status"].client.get(path, headers={"authorization": ""}).json() == {"status": "ok"}
    for path in ("/status.json", "/status/status.json"):
        assert alone["status"].client.get(path).json()["accounts"]["total"] == 1
    for path in ("/", "/status", "/metrics", "/status/metrics", "/openapi.json", "/login"):
        assert alone["status"].client.get(path).status_code == 200
    assert alone["accounts"].client.delete(f"/accounts/{account_id}").status_code == 204


@pytest.mark.parametrize("name", NAMES)
def test_each_function_alone_wants_the_key_and_refuses_what_is_not_its_own(
    alone: dict[str, Process], name: str
) -> None:
    client = alone[name].client
    assert_problem(client.request("GET", "/x/y/z"), 405 if name == "gmail_sync" else 404, _not_here(name))
    answer = client.post("/gmail-sync" if name == "gmail_sync" else "/", headers={"authorization": "Bearer wrong"})
    assert answer.status_code in (401, 405)
    assert answer.headers["content-type"] == "application/problem+json"


def _not_here(name: str) -> str:
    return "method_not_allowed" if name == "gmail_sync" else "not_found"


def test_each_function_alone_tells_who_sends_too_much(alone: dict[str, Process]) -> None:
    asked = (
        ("accounts", "POST", "/accounts"),
        ("gmail_sync", "POST", "/gmail-sync"),
        ("mailbox", "PUT", "/mailbox/preferences?user_id=u"),
        ("status", "POST", "/status/login"),
    )
    for name, method, path in asked:
        headers = {"content-type": "application/x-www-form-urlencoded"} if name == "status" else {}
        for size in (1024 * 1024 + 1, 5 * 1024 * 1024):
            for _ in range(3):
                answer = alone[name].client.request(method, path, content=b" " * size, headers=headers)
                assert_problem(answer, 413, "body_too_large")
                unasked = alone[name].client.request(
                    method, "/x/y/z", content=b" " * size, headers={"authorization": ""}
                )
                assert unasked.status_code in (401, 404, 405), unasked.text


def test_a_function_tells_nothing_but_json_lines(alone: dict[str, Process]) -> None:
    for process in alone.values():
        assert [line for line in process.told().splitlines() if not line.startswith('{"time":')] == []


def test_a_function_stops_on_sigterm_and_leaves_no_process(
    redis_rest: RedisRest, gmail_session: tuple[GmailEmulator, str]
) -> None:
    variables = environment(redis_rest, *gmail_session)
    with function(variables, "gmail_sync") as process:
        process.until_it_answers()
        assert process.end() == 0
        assert of_session(process.process.pid) == []


def test_the_app_stops_on_sigterm_and_leaves_no_process(
    redis_rest: RedisRest, gmail_session: tuple[GmailEmulator, str]
) -> None:
    variables = environment(redis_rest, *gmail_session)
    with Process(variables, "-m", "functions.app", "--port", "{port}") as process:
        process.until_it_answers()
        assert process.client.get("/status/health").json() == {"status": "ok"}
        assert process.client.get("/accounts").status_code == 200
        assert process.end() == 0
        assert of_session(process.process.pid) == []
        assert process.told() == ""


@pytest.mark.parametrize(
    ("name", "variable", "value"),
    [
        ("app", "TIDEMARK_API_KEY", ""),
        ("app", "TOKEN_ENCRYPTION_KEYS", "a2V5"),
        ("gmail_sync", "GMAIL_BATCH_SIZE", "none"),
    ],
)
def test_a_bad_setting_stops_the_function_at_start_with_one_line(
    redis_rest: RedisRest, gmail_session: tuple[GmailEmulator, str], name: str, variable: str, value: str
) -> None:
    variables = {**environment(redis_rest, *gmail_session), variable: value}
    started = (
        Process(variables, "-m", "functions.app", "--port", "{port}") if name == "app" else function(variables, name)
    )
    with started as process:
        assert process.process.wait(30) not in (0, None)
        assert len(process.told().splitlines()) == 1, process.told()
        assert process.told().startswith(f"{variable} ")
        assert "accepted" in process.told()
        assert "a2V5" not in process.told()
