"""JSON bodies against pydantic models. Apart from edge.py, which push-webhook loads without pydantic."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from shared.core.errors import BadRequest

Model = TypeVar("Model", bound=BaseModel)


def parsed(model: type[Model], body: dict[str, object]) -> Model:
    """400 that names the fields at fault, never their values."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        faults = sorted({".".join(map(str, fault["loc"])) or "body" for fault in error.errors(include_input=False)})
        raise BadRequest(400, "malformed", f"missing or wrong: {', '.join(faults)[:200]}") from None
