"""The browser of `make run`: forms as the providers' pages write them, cookies, and how a refusal is told."""

from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from infra.emulators.graph import consent
from infra.emulators.server import Server
from infra.local.browser import Browser, Form

ADDRESS = "ada@outlook.example"


def test_a_form_is_filled_in_with_the_persons_choice_and_what_is_ticked() -> None:
    page = consent.consent_page("/agree?a=1&b=2", "app", ["twin@outlook.example", ADDRESS], ["Mail.Read", "x"], None)
    form = Form(page)
    assert (form.method, form.action) == ("POST", "/agree?a=1&b=2")
    assert form.filled(ADDRESS) == {
        "account": [ADDRESS],
        "scope": ["Mail.Read", "x"],
        "scopes_shown": ["1"],
        "decision": ["approve"],
    }


def test_a_list_of_accounts_and_an_unticked_box() -> None:
    form = Form(
        '<form><select name="email"><option>twin@example.com</option><option selected>a@example.com</option></select>'
        '<input type="checkbox" name="scope" value="no"><button>Continue</button></form>'
    )
    assert (form.method, form.filled("a@example.com")) == ("GET", {"email": ["a@example.com"]})


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """An app and a provider in one: the answer is posted by the provider's page, and needs the app's cookie."""

    async def start(_: Request) -> Response:
        return RedirectResponse("/consent", headers={"set-cookie": "bound=yes; Path=/; HttpOnly"})

    async def agree(_: Request) -> Response:
        return HTMLResponse(consent.form_post_page("/callback", {"code": 'a"b&c', "state": "s"}))

    async def callback(request: Request) -> Response:
        sent = parse_qs((await request.body()).decode())
        right = sent == {"code": ['a"b&c'], "state": ["s"]} and request.cookies == {"bound": "yes"}
        return HTMLResponse("connected" if right else "refused", 200 if right else 400)

    routes = [Route("/start", start), Route("/consent", agree), Route("/callback", callback, methods=["POST"])]
    routes.append(Route("/again", lambda _: HTMLResponse("<form></form>")))
    with Server(Starlette(routes=routes)) as server:
        yield server.url


def test_an_answer_that_the_providers_page_posts_comes_with_the_apps_cookie(site: str) -> None:
    with Browser() as browser:
        browser.agree(f"{site}/start", ADDRESS)


@pytest.mark.parametrize("path", ["/consent", "/again", "/nowhere"])
def test_a_refusal_is_told_without_the_urls_secrets(site: str, path: str) -> None:
    with Browser() as browser, pytest.raises(ValueError, match=r"^the consent ended with \d+$"):
        browser.agree(f"{site}{path}", ADDRESS)
