"""Mailboxes: connect with a refresh token or in a browser, list, show, resync, redeliver, delete (CONTRACT §3).

What a browser opens (the link, the callbacks) needs no key, and is answered with a page or a redirect. Errors too are
pages there for who accepts `text/html`, as every browser does where it opens something; for others they are problems.

functions-framework --source functions/accounts.py --target accounts --asgi
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import parse_qsl

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from shared.bodies import Connect, Import, Redeliver, Resync, parsed
from shared.consent import CALLBACKS, Consent, ConsentRefused, returned
from shared.core.errors import BadRequest, ContractBroken, RetryLater, StoreDown
from shared.edge import (
    STORE_RETRY_AFTER_S,
    MethodNotAllowed,
    guarded,
    json_answer,
    json_object,
    read_body,
    require_key,
    require_method,
    segments,
)
from shared.log import log
from shared.pages import page
from shared.wiring import Wiring, settings_or_exit

SETTINGS = settings_or_exit()
PROVIDERS = {callback: provider for provider, callback in CALLBACKS.items()}
LOOPBACK = ("127.0.0.1", "localhost", "::1")
FORM_BYTES_MAX, FORM_FIELDS_MAX = 64 * 1024, 50


@functions_framework.aio.http
@guarded
async def accounts(request: Request) -> Response:
    path = segments(request, "accounts")
    wiring = Wiring.current()
    if path == ("connect",) and request.method in ("GET", "HEAD"):
        return await _in_a_browser(_begin, request, wiring)
    if len(path) == 2 and path[0] == "callback" and path[1] in PROVIDERS:
        return await _in_a_browser(_finish, request, wiring)
    require_key(request, SETTINGS)
    match path:
        case ():
            require_method(request, "GET", "POST")
            if request.method != "POST":
                return json_answer({"accounts": await wiring.overview.accounts()})
            return await _import(request, wiring)
        case ("connect",):
            require_method(request, "GET", "POST")
            wanted = parsed(Connect, json_object(await read_body(request)))
            consent = wiring.consent(_public_url(request))
            return json_answer({"url": consent.link(wanted.provider, wanted.user_id, wanted.return_to or "")})
        case (account_id,):
            require_method(request, "GET", "DELETE")
            if request.method == "DELETE":
                await wiring.delete_account(account_id)
                return Response(status_code=204)
            return json_answer(await wiring.show_account(account_id))
        case (account_id, "resync"):
            require_method(request, "POST")
            asked = parsed(Resync, json_object(await read_body(request)))
            await wiring.ask_resync(account_id, content=asked.content)
            return json_answer({"account_id": account_id, "status": "accepted"}, status=202)
        case (account_id, "redeliver"):
            require_method(request, "POST")
            again = parsed(Redeliver, json_object(await read_body(request)))
            await wiring.redeliver(account_id, again.from_)
            return json_answer({"account_id": account_id, "status": "accepted"}, status=202)
    raise BadRequest(404, "not_found", "there is nothing at this path")


async def _import(request: Request, wiring: Wiring) -> Response:
    asked = parsed(Import, json_object(await read_body(request)))
    connected = await wiring.import_account(
        asked.provider, asked.email, asked.user_id, asked.refresh_token, asked.account_id
    )
    answer = {"account_id": connected.account_id, "provider": asked.provider, "state": "active"}
    return json_answer(answer, status=201 if connected.created else 200)


def _public_url(request: Request) -> str:
    """PUBLIC_URL; where it is not set, a browser on this machine is the only one that could come back."""
    if SETTINGS.public_url is not None:
        return SETTINGS.public_url
    if request.url.hostname in LOOPBACK:
        return f"http://{request.url.netloc}"
    raise BadRequest(400, "public_url_unset", "PUBLIC_URL is not set, so no provider could come back here")


async def _in_a_browser(
    answer: Callable[[Request, Wiring, Consent], Awaitable[Response]], request: Request, wiring: Wiring
) -> Response:
    """Errors as pages, where a person reads them."""
    if "text/html" not in request.headers.get("accept", "").lower():
        return await answer(request, wiring, wiring.consent(_public_url(request)))
    refused: BadRequest
    try:
        return await answer(request, wiring, wiring.consent(_public_url(request)))
    except MethodNotAllowed:
        raise
    except BadRequest as error:
        refused = error
    except (RetryLater, ContractBroken) as error:
        log("consent_failed", level="error" if isinstance(error, ContractBroken) else "warning", error=error)
        text = "The provider, or our store, did not answer as it should. Please try again."
        refused = BadRequest(503 if isinstance(error, StoreDown) else 502, error.slug, text)
    title = "This mailbox was not connected"
    back, missing = (refused.back, refused.missing) if isinstance(refused, ConsentRefused) else ("", ())
    shown = page(title, str(refused), items=missing, back=back, status=refused.status)
    if refused.status == HTTPStatus.SERVICE_UNAVAILABLE:
        shown.headers["retry-after"] = str(STORE_RETRY_AFTER_S)
    return shown


async def _begin(request: Request, wiring: Wiring, consent: Consent) -> Response:
    require_method(request, "GET")
    if request.method == "HEAD":
        return Response(status_code=200)
    to, cookie = await consent.begin(request.query_params.get("link", ""), request.cookies)
    return RedirectResponse(to, 302, {"set-cookie": cookie, "referrer-policy": "no-referrer"})


async def _finish(request: Request, wiring: Wiring, consent: Consent) -> Response:
    require_method(request, "GET", "POST")
    provider = PROVIDERS[segments(request, "accounts")[1]]
    if request.method == "HEAD":
        return Response(status_code=200)
    answer = dict(request.query_params)
    if request.method == "POST":
        sent = (await read_body(request, FORM_BYTES_MAX)).decode("utf-8", "replace")
        answer = dict(parse_qsl(sent, keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX))
    link, tokens = await consent.finish(provider, answer, request.cookies)
    try:
        connected = await wiring.connect_consented(provider, link.user_id, tokens)
    except BadRequest as error:
        raise ConsentRefused(error, link.return_to) from error
    if link.return_to:
        to = returned(link.return_to, connected.account_id)
        return RedirectResponse(to, 303, {"referrer-policy": "no-referrer"})
    return page("Your mailbox is connected", "New mail appears by itself from now on. You can close this page.")
