"""OpenAPI 3.1 of what the functions answer to, made from the table of routes and the models when it is asked for.

Source: https://spec.openapis.org/oas/v3.1.0
"""

import re
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from shared.status.answers import Problem
from shared.status.routes import HTML, ONE_OF, ROUTES, Answer, Parameter, Route

VERSION = "0.1.0"
REF = "#/components/schemas/{model}"
PROBLEM = "application/problem+json"
PATH_PARAMETER = re.compile(r"\{(\w+)\}")
SECURITY: dict[str, list[dict[str, list[str]]]] = {
    "bearer": [{"key": []}],
    "session": [{"key": []}, {"session": []}],
    "none": [],
}
ERRORS = {
    400: "Malformed.",
    401: "The key, or the proof, is wrong or missing.",
    403: "Sent by another site.",
    404: "Unknown.",
    409: "It does not fit what is there, or the account waits for a person.",
    410: "`cursor_expired`: the way back is a resync with content.",
    413: "The body is over 1 MiB; it was not read.",
    415: "Another media type.",
    429: "Cooling down, or the quota is used up; with Retry-After.",
    502: "The provider does not answer now.",
    503: "Redis is out of reach; with Retry-After.",
}
ALWAYS = (400, 413, 503)


@lru_cache(maxsize=1)
def description(public_url: str | None = None) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tidemark", "version": VERSION, "license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": public_url or "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-tidemark-status"},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    errors = {*route.errors, *ALWAYS, *(() if route.key == "none" else (401,))}
    operation: dict[str, Any] = {
        "operationId": "_".join((route.method.lower(), *re.findall(r"\w+", route.path))),
        "summary": route.said,
        "tags": [route.function],
        "security": SECURITY[route.key],
        "parameters": [*map(_in_path, PATH_PARAMETER.findall(route.path)), *map(_in_query, route.query)],
        "responses": {
            **{str(answer.status): _answer(route, answer) for answer in route.answers},
            **{str(status): _problem(route, ERRORS[status]) for status in sorted(errors)},
            "default": _problem(route, "Any other error: 404, 405, 408, 414, 431, 500, 504."),
        },
    }
    if route.body is not None:
        schema = {"schema": _ref(route.body)}
        operation["requestBody"] = {"required": route.body_required, "content": {route.body_type: schema}}
    return operation


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _in_query(of: Parameter) -> dict[str, Any]:
    return {"name": of.name, "in": "query", "required": of.required, "description": of.said, "schema": of.schema}


def _answer(route: Route, answer: Answer) -> dict[str, Any]:
    said: dict[str, Any] = {"description": answer.said}
    if answer.media_type is not None:
        models = ONE_OF.get(route.path, ())
        schema = _ref(answer.model) if answer.model else {"anyOf": [_ref(each) for each in models]} if models else {}
        said["content"] = {answer.media_type: {"schema": schema}}
    return said


def _problem(route: Route, said: str) -> dict[str, Any]:
    page: dict[str, Any] = {HTML: {"schema": {}}} if route.for_browsers else {}
    return {"description": said, "content": {PROBLEM: {"schema": _ref(Problem)}, **page}}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}


def _schemas() -> dict[str, Any]:
    """As one validates, also of answers: what has a default may be left out."""
    models = {answer.model for route in ROUTES for answer in route.answers if answer.model}
    models |= {Problem, *(model for models in ONE_OF.values() for model in models)}
    models |= {route.body for route in ROUTES if route.body}
    modes: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in models]
    ordered = sorted(modes, key=lambda each: each[0].__name__)
    _, made = models_json_schema(ordered, ref_template=REF)
    found: dict[str, Any] = made["$defs"]
    return found
