"""Mailboxes: connect with a refresh token, list, show, resync, delete (CONTRACT §3).

functions-framework --source functions/accounts.py --target accounts --asgi
"""

from typing import Annotated, Literal, TypeVar

import functions_framework.aio
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from shared.core.errors import BadRequest
from shared.edge import guarded, json_answer, json_object, read_body, require_key, require_method, segments
from shared.wiring import Wiring, settings_or_exit

SETTINGS = settings_or_exit()
Model = TypeVar("Model", bound=BaseModel)


class Import(BaseModel):
    """Bring your own token."""

    model_config = ConfigDict(strict=True, extra="forbid")

    provider: Literal["gmail", "outlook"]
    email: Annotated[str, Field(min_length=3, max_length=320, pattern=r"^[^\s@]+@[^\s@]+$")]
    user_id: Annotated[str, Field(min_length=1, max_length=256)]
    refresh_token: Annotated[str, Field(min_length=1, max_length=16_384)]
    account_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None


class Resync(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    content: bool = False


@functions_framework.aio.http
@guarded
async def accounts(request: Request) -> Response:
    path = segments(request, "accounts")
    require_key(request, SETTINGS)
    wiring = Wiring.current()
    match path:
        case ():
            require_method(request, "GET", "POST")
            if request.method != "POST":
                return json_answer({"accounts": await wiring.list_accounts()})
            return await _import(request, wiring)
        case (account_id,):
            require_method(request, "GET", "DELETE")
            if request.method == "DELETE":
                await wiring.delete_account(account_id)
                return Response(status_code=204)
            return json_answer(await wiring.show_account(account_id))
        case (account_id, "resync"):
            require_method(request, "POST")
            asked = _parsed(Resync, json_object(await read_body(request)))
            await wiring.ask_resync(account_id, content=asked.content)
            return json_answer({"account_id": account_id, "status": "accepted"}, status=202)
    raise BadRequest(404, "not_found", "there is nothing at this path")


async def _import(request: Request, wiring: Wiring) -> Response:
    asked = _parsed(Import, json_object(await read_body(request)))
    connected = await wiring.import_account(
        asked.provider, asked.email, asked.user_id, asked.refresh_token, asked.account_id
    )
    answer = {"account_id": connected.account_id, "provider": asked.provider, "state": "active"}
    return json_answer(answer, status=201 if connected.created else 200)


def _parsed(model: type[Model], body: dict[str, object]) -> Model:
    """400 that names the fields at fault, never their values."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        faults = sorted({".".join(map(str, fault["loc"])) or "body" for fault in error.errors(include_input=False)})
        raise BadRequest(400, "malformed", f"missing or wrong: {', '.join(faults)[:200]}") from None
