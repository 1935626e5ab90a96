"""Connecting a mailbox in a browser: what works, and everything that is refused with nothing changed."""

import re
import time
from collections.abc import Iterator, Sequence
from html import unescape
from typing import Any, cast
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest

from infra.emulators.graph.emulator import GraphEmulator
from infra.emulators.graph.grants import CLIENT_ID, CLIENT_SECRET
from infra.emulators.server import Server
from shared.adapters.clock import SystemClock
from shared.adapters.consents import Consents
from shared.adapters.redis_client import RedisClient
from shared.adapters.sealing import Sealer
from tests.conftest import RedisRest
from tests.functions.stand import assert_problem
from tests.push_world import PushWorld
from tests.world import ADDRESS

APP = "https://app.example"


class Browser:
    """Follows what it is told to, one step at a time; keeps cookies by name, as one browser does."""

    def __init__(self, accept: str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8") -> None:
        self.accept = accept
        self.cookies: dict[str, str] = {}
        self.cookie_headers: list[str] = []

    def go(self, url: str, form: Sequence[tuple[str, str]] | None = None) -> httpx.Response:
        headers = {
            "accept": self.accept,
            "cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
        }
        if form is None:
            answer = httpx.get(url, headers=headers, timeout=30)
        else:
            body = urlencode(form).encode()
            kind = {"content-type": "application/x-www-form-urlencoded"}
            answer = httpx.post(url, headers=headers | kind, content=body, timeout=30)
        for header in answer.headers.get_list("set-cookie"):
            self.cookie_headers.append(header)
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def google(self, link: str, *, allow: bool = True) -> str:
        """Through Google's consent page; the URL that it sends the browser to."""
        page = self.go(self.go(link).headers["location"])
        fields = [
            (unescape(name), unescape(value))
            for name, value in re.findall(
                r'<input type="(?:hidden|checkbox)" name="([^"]+)" value="([^"]*)"', page.text
            )
        ]
        decided = [*fields, ("email", ADDRESS), ("decision", "approve" if allow else "deny")]
        base = urlsplit(str(page.url))
        return str(self.go(f"{base.scheme}://{base.netloc}{base.path}", decided).headers["location"])

    def microsoft(self, link: str, scopes: tuple[str, ...], *, allow: bool = True) -> str:
        url = self.go(link).headers["location"]
        self.go(url)
        decided = [("account", ADDRESS), ("decision", "approve" if allow else "deny"), ("scopes_shown", "1")]
        return str(self.go(url, [*decided, *(("scope", scope) for scope in scopes)]).headers["location"])


@pytest.fixture(scope="module")
def graph() -> Iterator[tuple[GraphEmulator, str]]:
    with GraphEmulator() as emulator:
        emulator.add_mailbox(ADDRESS)
        with Server(emulator.app) as server:
            yield emulator, server.url


@pytest.fixture(scope="module")
def world_of(redis_rest: RedisRest, graph: tuple[GraphEmulator, str]) -> Iterator[PushWorld]:
    settings: dict[str, Any] = {
        "RETURN_TO_ORIGINS": f"{APP},https://other.example:8443",
        "MICROSOFT_CLIENT_ID": CLIENT_ID,
        "MICROSOFT_CLIENT_SECRET": CLIENT_SECRET,
        "GRAPH_API_URL": graph[1],
        "MICROSOFT_AUTHORITY_URL": graph[1],
    }
    with PushWorld(redis_rest, **settings) as made:
        yield made


@pytest.fixture
def world(world_of: PushWorld, redis: RedisRest) -> PushWorld:
    return world_of


@pytest.fixture
def browser() -> Browser:
    return Browser()


def link(world: PushWorld, provider: str = "gmail", **more: str) -> str:
    asked = {"provider": provider, "user_id": "user-1", **more}
    url: str = world.functions.http.post("/accounts/connect", json=asked).raise_for_status().json()["url"]
    return url


def accounts(world: PushWorld) -> list[dict[str, Any]]:
    return list(world.functions.http.get("/accounts").json()["accounts"])


def refused(world: PushWorld, answer: httpx.Response, known: int = 0) -> str:
    """A page, and nothing has changed."""
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert len(accounts(world)) == known
    return answer.text


def test_a_person_connects_gmail_and_comes_back_to_the_application(world: PushWorld, browser: Browser) -> None:
    answer = browser.go(browser.google(link(world, return_to=f"{APP}/done?tab=mail")))
    (account,) = accounts(world)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"{APP}/done?tab=mail&account_id={account['account_id']}",
    )
    assert (account["provider"], account["user_id"], account["state"]) == ("gmail", "user-1", "active")
    assert account["watch_expires_at"] is not None


def test_a_person_connects_outlook(world: PushWorld, browser: Browser) -> None:
    answer = browser.go(browser.microsoft(link(world, "outlook"), ("Mail.Read", "User.Read")))
    assert answer.status_code == 200
    assert "is connected" in answer.text
    assert ADDRESS not in answer.text
    (account,) = accounts(world)
    assert (account["provider"], account["state"]) == ("outlook", "active")
    assert world.functions.http.post("/outlook-sync", json={"account_id": account["account_id"]}).status_code == 200


def test_a_mailbox_that_is_connected_again_is_the_same_account_and_goes_on(world: PushWorld, browser: Browser) -> None:
    browser.go(browser.google(link(world)))
    (account,) = accounts(world)
    time.sleep(1.1)  # Gmail's own notification of the new watch is a second's only one
    first = world.deliver()
    world.until(lambda: first in world.created(account["account_id"]))
    world.gmail.revoke(ADDRESS)
    result = world.functions.http.post("/gmail-sync", json={"account_id": account["account_id"]}).json()
    assert result["status"] in ("reauth_required", "lease_held")
    world.until(lambda: accounts(world)[0]["state"] == "reauth_required")
    second = world.deliver()
    assert browser.go(browser.google(link(world))).status_code == 200
    (again,) = accounts(world)
    assert (again["account_id"], again["state"]) == (account["account_id"], "active")
    world.functions.http.post("/gmail-sync", json={"account_id": account["account_id"]})
    world.until(lambda: {first, second} <= world.created(account["account_id"]))


def test_the_link_asks_for_what_is_needed_and_tells_nothing(world: PushWorld, browser: Browser) -> None:
    url = link(world, return_to=APP)
    assert "user-1" not in url
    assert "app.example" not in url
    asked = parse_qs(urlsplit(browser.go(url).headers["location"]).query)
    assert asked["access_type"] == ["offline"]
    assert asked["prompt"] == ["consent"]
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["code_challenge"][0]) == 43
    (cookie,) = browser.cookie_headers
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    stored = world.redis.valkey.call("KEYS", "td:consent:*")
    assert isinstance(stored, list)
    assert len(stored) == 1
    assert asked["state"][0] not in str(stored)
    value = str(world.redis.valkey.call("GET", bytes(stored[0])))  # type: ignore[arg-type]
    assert "user-1" not in value
    assert asked["state"][0] not in value
    assert 590 <= int(str(world.redis.valkey.call("TTL", bytes(stored[0])))) <= 600  # type: ignore[arg-type]


def test_who_says_no_is_told_so(world: PushWorld, browser: Browser) -> None:
    text = refused(world, browser.go(browser.google(link(world, return_to=APP), allow=False)))
    assert "was not given" in text
    assert f'href="{APP}"' in text


@pytest.mark.parametrize(("given", "missing"), [(("User.Read",), "Mail.Read"), (("Mail.Read",), "User.Read")])
def test_a_permission_that_was_left_out_is_named(
    world: PushWorld, browser: Browser, given: tuple[str, ...], missing: str
) -> None:
    text = refused(world, browser.go(browser.microsoft(link(world, "outlook"), given)))
    assert f"<code>{missing}</code>" in text


@pytest.mark.parametrize("accept", ["application/json", "application/problem+json, application/json;q=0.9", "*/*", ""])
def test_who_does_not_ask_for_a_page_is_told_what_is_wrong_as_a_problem(world: PushWorld, accept: str) -> None:
    program = Browser(accept)
    asked = {
        "connect?link=x": (400, "link_expired"),
        "callback/google?state=a&code=b": (400, "callback_refused"),
        "callback/microsoft": (400, "callback_refused"),
    }
    for path, (status, slug) in asked.items():
        assert_problem(program.go(f"{world.functions.url}/accounts/{path}"), status, slug)
    assert_problem(program.go(program.google(link(world), allow=False)), 400, "consent_refused")
    callback = program.google(link(world))
    world.gmail.identity.fail_next(1, "unauthorized_client")
    assert_problem(program.go(callback), 502, "app_misconfigured")
    url = link(world)
    world.redis.bridge.inject("refuse", times=20)
    answer = program.go(url)
    world.redis.bridge.reset()
    assert_problem(answer, 503, "store_down")
    assert int(answer.headers["retry-after"]) > 0
    form = [("state", "x" * 70_000)]
    assert_problem(program.go(f"{world.functions.url}/accounts/callback/google", form), 413, "body_too_large")


@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
def test_what_the_application_calls_answers_with_problems_whatever_it_accepts(world: PushWorld, accept: str) -> None:
    call, path = world.functions.http, "/accounts/connect"
    wanted = {"provider": "gmail", "user_id": "user-1"}
    for answer, status, slug in (
        (call.post(path, content=b"{", headers={"accept": accept}), 400, "malformed"),
        (
            call.post(path, json=wanted | {"return_to": "https://x"}, headers={"accept": accept}),
            400,
            "return_to_refused",
        ),
        (call.post(path, json=wanted, headers={"accept": accept, "authorization": ""}), 401, "unauthorized"),
        (call.put(path, json=wanted, headers={"accept": accept}), 405, "method_not_allowed"),
    ):
        assert_problem(answer, status, slug)


def test_a_state_works_once(world: PushWorld, browser: Browser) -> None:
    callback = browser.google(link(world))
    assert browser.go(callback).status_code == 200
    refused(world, browser.go(callback), known=1)


def test_a_callback_without_the_cookie_is_refused_and_uses_nothing_up(world: PushWorld, browser: Browser) -> None:
    callback = browser.google(link(world))
    refused(world, Browser().go(callback))
    assert browser.go(callback).status_code == 200


def test_a_callback_in_another_browser_is_refused(world: PushWorld, browser: Browser) -> None:
    callback = browser.google(link(world))
    other = Browser()
    other.go(link(world))
    refused(world, other.go(callback))


def test_an_answer_of_one_provider_is_no_answer_of_the_other(world: PushWorld, browser: Browser) -> None:
    callback = browser.google(link(world))
    refused(world, browser.go(callback.replace("/callback/google", "/callback/microsoft")))


@pytest.mark.parametrize(
    "query",
    [
        "",
        "state=x",
        "state=&code=1",
        "code=abc",
        "state=%00%ff&code=<script>",
        f"state={'x' * 5000}",
        "state=a&state=b",
    ],
)
def test_a_made_up_callback_is_refused(world: PushWorld, browser: Browser, query: str) -> None:
    browser.go(link(world))
    for provider in ("google", "microsoft"):
        text = refused(world, browser.go(f"{world.functions.url}/accounts/callback/{provider}?{query}"))
        assert "<script>" not in text
        posted = browser.go(f"{world.functions.url}/accounts/callback/{provider}", parse_qsl(query))
        refused(world, posted)


def test_a_code_that_does_not_work_is_refused(world: PushWorld, browser: Browser) -> None:
    callback = browser.google(link(world))
    forged = re.sub(r"code=[^&]+", "code=4/0Aforged", callback)
    assert "start again" in refused(world, browser.go(forged))


@pytest.mark.parametrize(
    "return_to",
    [
        "https://evil.example/",
        "https://app.example.evil.example/",
        "https://app.example@evil.example/",
        "https://user@app.example/",
        "//app.example/",
        "/relative",
        "javascript:alert(1)",
        "http://app.example/",
        "https://app.example:444/",
        "https://other.example/",
        "https://app.example\\@evil.example/",
        "https://app.example/\r\nset-cookie: a=b",
        "https://app.example/ä",
        "https://[app.example/",
        "https:///app.example/",
        "https:app.example/",
        "https:/app.example/",
        "https://app.example./",
        "https://app.example%2eevil.example/",
        "https://app.example:0/",
        "https://app.example:99999/",
        "https://app.example:443@evil.example/",
        "https://APP.EXAMPLE.evil.example/",
        "https://evil.example#@app.example/",
        "https://evil.example?https://app.example/",
        "https://evil.example/https://app.example",
        "https://app.example;evil.example/",
        "\\\\evil.example/",
        "/\\evil.example/",
        "https://app.example\t.evil.example/",
        " https://app.example/",
        "data:text/html,x",
        "HTTP://APP.EXAMPLE/",
    ],
)
def test_nobody_is_sent_to_an_origin_that_is_not_allowed(world: PushWorld, return_to: str) -> None:
    asked = {"provider": "gmail", "user_id": "user-1", "return_to": return_to}
    answer = world.functions.http.post("/accounts/connect", json=asked)
    assert (answer.status_code, answer.json()["slug"]) == (400, "return_to_refused")


@pytest.mark.parametrize(
    "return_to", [APP, f"{APP}:443/x", "HTTPS://APP.example/x?y=1#z", "https://other.example:8443/"]
)
def test_an_allowed_origin_is_one_however_it_is_written(world: PushWorld, return_to: str) -> None:
    assert link(world, return_to=return_to)


@pytest.mark.parametrize(("age_s", "good"), [(595, True), (605, False)])
def test_a_link_is_good_for_ten_minutes(world: PushWorld, browser: Browser, age_s: float, good: bool) -> None:
    class Earlier(SystemClock):
        def now_s(self) -> float:
            return super().now_s() - age_s

    made = Consents(cast(RedisClient, None), Sealer([b"k" * 32]), Earlier()).link("gmail", "user-1", "")
    answer = browser.go(f"{world.functions.url}/accounts/connect?link={made}")
    assert answer.status_code == (302 if good else 400)
    if not good:
        assert "not good any more" in refused(world, answer)
        assert world.redis.valkey.call("KEYS", "td:consent:*") == []


def test_an_answer_that_comes_after_ten_minutes_is_refused(world: PushWorld, browser: Browser) -> None:
    callback = browser.google(link(world))
    (state,) = cast(list[bytes], world.redis.valkey.call("KEYS", "td:consent:*"))
    world.redis.valkey.call("DEL", state)  # as its TTL does
    refused(world, browser.go(callback))


def test_a_begun_consent_whose_key_is_gone_is_refused(world: PushWorld, browser: Browser) -> None:
    callback = browser.google(link(world))
    (state,) = cast(list[bytes], world.redis.valkey.call("KEYS", "td:consent:*"))
    world.redis.valkey.call("SET", state, "v1.00000000.AAAA")
    refused(world, browser.go(callback))


def test_two_tabs_connect_a_mailbox_of_each_provider(world: PushWorld, browser: Browser) -> None:
    microsoft = browser.microsoft(link(world, "outlook"), ("Mail.Read", "User.Read"))
    google = browser.google(link(world))
    assert browser.go(microsoft).status_code == 200
    assert browser.go(google).status_code == 200
    assert {each["provider"] for each in accounts(world)} == {"gmail", "outlook"}


def test_an_app_that_the_provider_refuses_is_told_with_a_page(world: PushWorld, browser: Browser) -> None:
    callback = browser.google(link(world))
    world.gmail.identity.fail_next(1, "unauthorized_client")
    answer = browser.go(callback)
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert accounts(world) == []


def test_without_a_store_a_person_is_told_to_try_again(world: PushWorld, browser: Browser) -> None:
    url, callback = link(world), browser.google(link(world))
    for opened in (url, callback):
        world.redis.bridge.inject("refuse", times=20)
        answer = browser.go(opened)
        world.redis.bridge.reset()
        assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert int(answer.headers["retry-after"]) > 0
    assert browser.go(url).status_code == 302
    assert browser.go(callback).status_code == 200


@pytest.mark.parametrize("text", ["", "x", "v1.5e318f8c.AAAA", "v1.00000000." + "A" * 80])
def test_a_forged_link_leads_nowhere(world: PushWorld, browser: Browser, text: str) -> None:
    refused(world, browser.go(f"{world.functions.url}/accounts/connect?link={text}"))


def test_the_link_needs_the_key_and_the_consent_does_not(world: PushWorld) -> None:
    asked = {"provider": "gmail", "user_id": "user-1"}
    assert httpx.post(f"{world.functions.url}/accounts/connect", json=asked).status_code == 401
    assert httpx.get(f"{world.functions.url}/accounts/connect").status_code == 400
    assert httpx.get(f"{world.functions.url}/accounts/callback/google").status_code == 400
    assert httpx.get(f"{world.functions.url}/accounts/callback/elsewhere").status_code == 401


@pytest.mark.parametrize("changes", [{"provider": "imap"}, {"user_id": ""}, {"more": 1}, {"return_to": ""}])
def test_what_cannot_be_meant_is_refused(world: PushWorld, changes: dict[str, Any]) -> None:
    asked = {"provider": "gmail", "user_id": "user-1"} | changes
    assert world.functions.http.post("/accounts/connect", json=asked).json()["slug"] == "malformed"


def test_a_body_that_is_too_long_is_not_read(world: PushWorld, browser: Browser) -> None:
    answer = browser.go(f"{world.functions.url}/accounts/callback/google", [("state", "x" * 70_000)])
    assert answer.status_code == 413
