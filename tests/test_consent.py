"""A consent where the functions are reached over https: the cookies, and the answer that Microsoft's page posts."""

from collections.abc import AsyncIterator, Iterator
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest

from infra.emulators.gmail import GmailEmulator
from infra.emulators.graph.emulator import GraphEmulator
from infra.emulators.graph.grants import CLIENT_ID, CLIENT_SECRET
from infra.emulators.server import Server
from infra.local.browser import Form
from shared.consent import Consent
from shared.core.errors import BadRequest
from shared.wiring import Wiring
from tests.conftest import RedisRest
from tests.world import ADDRESS, settings

PUBLIC = "https://tidemark.example"


@pytest.fixture(scope="module")
def providers() -> Iterator[dict[str, str]]:
    gmail = GmailEmulator()
    gmail.add_mailbox(ADDRESS)
    with GraphEmulator() as graph:
        graph.add_mailbox(ADDRESS)
        with Server(gmail.app) as google, Server(graph.app) as microsoft:
            yield {
                "GOOGLE_CLIENT_ID": gmail.settings.client_id,
                "GOOGLE_CLIENT_SECRET": gmail.settings.client_secret,
                "GOOGLE_AUTH_URL": f"{google.url}/o/oauth2/v2/auth",
                "GOOGLE_TOKEN_URL": f"{google.url}/token",
                "MICROSOFT_CLIENT_ID": CLIENT_ID,
                "MICROSOFT_CLIENT_SECRET": CLIENT_SECRET,
                "MICROSOFT_AUTHORITY_URL": microsoft.url,
            }
    gmail.close()


@pytest.fixture
async def wiring(redis: RedisRest, providers: dict[str, str]) -> AsyncIterator[Wiring]:
    store = {"UPSTASH_REDIS_REST_URL": redis.url, "UPSTASH_REDIS_REST_TOKEN": redis.token}
    made = Wiring(settings(**store, **providers))
    yield made
    await made.close()


@pytest.fixture
def consent(wiring: Wiring) -> Consent:
    return wiring.consent(PUBLIC)


def link(consent: Consent, provider: str) -> str:
    return parse_qs(urlsplit(consent.link(provider, "user-1", "")).query)["link"][0]


def pairs(cookie: str) -> dict[str, str]:
    return {name: morsel.value for name, morsel in SimpleCookie(cookie).items()}


async def agreed(url: str) -> httpx.Response:
    """What the provider's page answers to a person who agrees."""
    async with httpx.AsyncClient(trust_env=False) as client:
        page = await client.get(url)
        form = Form(page.text)
        return await client.post(page.url.join(form.action), data=form.filled(ADDRESS))


@pytest.mark.parametrize(("provider", "same_site"), [("gmail", "Lax"), ("outlook", "None")])
async def test_the_cookie_is_kept_by_this_host_over_https_alone(
    consent: Consent, provider: str, same_site: str
) -> None:
    _, cookie = await consent.begin(link(consent, provider), {})
    head, *attributes = cookie.split("; ")
    assert head.startswith(f"__Host-tidemark-consent-{provider}=")
    assert len(head.partition("=")[2]) == 43
    assert {*attributes} == {"Path=/", "Max-Age=600", "HttpOnly", "Secure", f"SameSite={same_site}"}


async def test_microsofts_page_posts_its_answer_to_us(consent: Consent) -> None:
    to, cookie = await consent.begin(link(consent, "outlook"), {})
    assert parse_qs(urlsplit(to).query)["response_mode"] == ["form_post"]
    posted = Form((await agreed(to)).text)
    assert (posted.method, posted.action) == ("POST", f"{PUBLIC}/accounts/callback/microsoft")
    answer = {name: values[-1] for name, values in posted.filled("").items()}
    begun, tokens = await consent.finish("outlook", answer, pairs(cookie))
    assert (begun.provider, begun.user_id) == ("outlook", "user-1")
    assert tokens.access_token
    with pytest.raises(BadRequest, match="Start again"):
        await consent.finish("outlook", answer, pairs(cookie))


async def test_googles_answer_comes_in_the_query(consent: Consent) -> None:
    to, cookie = await consent.begin(link(consent, "gmail"), {})
    back = urlsplit((await agreed(to)).headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == f"{PUBLIC}/accounts/callback/google"
    answer = dict(parse_qsl(back.query))
    for cookies in ({}, {"tidemark-consent-gmail": pairs(cookie).popitem()[1]}):
        with pytest.raises(BadRequest, match="Start again"):  # a cookie without the prefix could be another host's
            await consent.finish("gmail", answer, cookies)
    begun, tokens = await consent.finish("gmail", answer, pairs(cookie))
    assert (begun.provider, bool(tokens.refresh_token)) == ("gmail", True)


async def test_a_browsers_cookie_is_kept_so_that_two_tabs_can_be_at_the_same_provider(consent: Consent) -> None:
    _, first = await consent.begin(link(consent, "gmail"), {})
    _, second = await consent.begin(link(consent, "gmail"), pairs(first))
    assert first == second
    _, other = await consent.begin(link(consent, "gmail"), {"__Host-tidemark-consent-gmail": "made up"})
    assert pairs(other) != pairs(first)


@pytest.mark.parametrize("provider", ["gmail", "outlook"])
async def test_a_provider_whose_client_is_not_configured_gives_no_link(provider: str) -> None:
    with pytest.raises(BadRequest) as refused:
        Wiring(settings()).consent(PUBLIC).link(provider, "user-1", "")
    assert refused.value.slug == "provider_off"
