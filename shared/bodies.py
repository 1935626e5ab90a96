"""What the functions take as bodies, as pydantic models; /status/openapi.json describes them from here.

Apart from edge.py, which push-webhook loads without pydantic.
"""

import re
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.core.errors import BadRequest

NAME = re.compile(r"[a-z_]{1,30}(\.[0-9]{1,4})?")  # a name that the caller made up may be a token or an address
Model = TypeVar("Model", bound=BaseModel)


class Sync(BaseModel):
    """Without an account: a cron ping over all that are due."""

    model_config = ConfigDict(strict=True, extra="forbid")

    account_id: str = ""


class Import(BaseModel):
    """Bring your own token."""

    model_config = ConfigDict(strict=True, extra="forbid")

    provider: Literal["gmail", "outlook"]
    email: Annotated[str, Field(min_length=3, max_length=320, pattern=r"^[^\s@]+@[^\s@]+$")]
    user_id: Annotated[str, Field(min_length=1, max_length=256)]
    refresh_token: Annotated[str, Field(min_length=1, max_length=16_384)]
    account_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None


class Connect(BaseModel):
    """A consent to be begun."""

    model_config = ConfigDict(strict=True, extra="forbid")

    provider: Literal["gmail", "outlook"]
    user_id: Annotated[str, Field(min_length=1, max_length=256)]
    return_to: Annotated[str, Field(min_length=1, max_length=2048)] | None = None


class Resync(BaseModel):
    """`content`: as a snapshot in the log, every message once."""

    model_config = ConfigDict(strict=True, extra="forbid")

    content: bool = False


class Redeliver(BaseModel):
    """`from`: a cursor of the change log. Without it: from the oldest dead letter on."""

    model_config = ConfigDict(strict=True, extra="forbid")

    from_: Annotated[str | None, Field(alias="from", min_length=1, max_length=128)] = None


class Login(BaseModel):
    """A form."""

    key: str


def parsed(model: type[Model], body: dict[str, object]) -> Model:
    """400 that names the fields at fault, never their values; nor a name that looks like one."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        faults = {".".join(map(str, fault["loc"])) or "body" for fault in error.errors(include_input=False)}
        told = {each if NAME.fullmatch(each) else "a field that is not known" for each in faults}
        raise BadRequest(400, "malformed", f"missing or wrong: {', '.join(sorted(told))[:200]}") from None
