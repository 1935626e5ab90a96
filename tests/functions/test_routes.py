"""The table of routes and the functions say the same: paths, methods, keys, query parameters, answers."""

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shared.status.openapi import VERSION, description
from shared.status.routes import ROUTES, Route
from tests.functions.stand import ROOT, Stand, assert_problem

FUNCTIONS = {path.stem: path for path in (ROOT / "functions").glob("*.py") if path.stem not in ("__init__", "app")}
UNDER_A_NAME = {"path", "segments"}  # what functions call the path that they match
QUERIES = {"query", "query_params"}
Paths = set[tuple[str, tuple[str, ...]]]
WHOLE: Paths = {("gmail_sync", ()), ("outlook_sync", ())}  # wiring.answer_sync refuses whatever is below
CALLBACKS: Paths = {("accounts", ("callback", name)) for name in ("google", "microsoft")}  # matched by a table


def test_every_path_that_a_function_matches_is_in_the_table_and_no_other() -> None:
    matched = WHOLE | CALLBACKS
    for name, source in FUNCTIONS.items():
        matched |= {(name, path) for path in _matched(ast.parse(source.read_text()))}
    told = {(route.function.replace("-", "_"), _shape(route.path)) for route in ROUTES}
    assert matched == told


def _shape(path: str) -> tuple[str, ...]:
    return tuple("*" if part.startswith("{") else part for part in path.split("/")[2:])


def _matched(tree: ast.Module) -> Iterator[tuple[str, ...]]:
    """Paths in `case (…)` patterns, and in comparisons of the path with tuples."""
    for node in ast.walk(tree):
        match node:
            case ast.match_case():
                patterns = node.pattern.patterns if isinstance(node.pattern, ast.MatchOr) else [node.pattern]
                yield from (_pattern(each) for each in patterns if isinstance(each, ast.MatchSequence))
            case ast.Compare(left=ast.Name(id=name), comparators=[found]) if name in UNDER_A_NAME:
                of = ast.literal_eval(found)
                yield from of if of and isinstance(of[0], tuple) else [of]


def _pattern(sequence: ast.MatchSequence) -> tuple[str, ...]:
    return tuple(
        str(each.value.value) if isinstance(each, ast.MatchValue) and isinstance(each.value, ast.Constant) else "*"
        for each in sequence.patterns
    )


def test_every_query_parameter_that_a_function_reads_is_in_the_table_and_no_other() -> None:
    for name, source in FUNCTIONS.items():
        read = {
            str(call.args[0].value)
            for call in ast.walk(ast.parse(source.read_text()))
            if isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr == "get"
            and ast.unparse(call.func.value).rpartition(".")[2] in QUERIES
            and isinstance(call.args[0], ast.Constant)
        }
        told = {of.name for route in ROUTES if route.function.replace("-", "_") == name for of in route.query}
        assert read == told - {"state", "code"}, name  # a provider's answer is handed on whole


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
def test_a_path_answers_to_exactly_the_methods_of_the_table(stand: Stand, path: str) -> None:
    allowed = {route.method for route in ROUTES if route.path == path}
    answer = stand.client.request("PATCH", _filled(path))
    assert_problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == allowed


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_key_is_wanted_where_the_table_says_so(stand: Stand, route: Route) -> None:
    answer = stand.anonymous.request(route.method, _filled(route.path))
    if route.key == "none":
        assert answer.status_code != 401 or route.path.startswith("/push-webhook/") or "401" in _responses(route)
    else:
        assert_problem(answer, 401, "unauthorized")
    assert str(answer.status_code) in _responses(route)


def _filled(path: str) -> str:
    return path.replace("{account_id}", "nobody").replace("{thread_id}", "none")


def _responses(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = description()["paths"][route.path][route.method.lower()]["responses"]
    return found


def test_the_description_is_openapi_and_every_reference_leads_somewhere(stand: Stand) -> None:
    told = stand.client.get("/status/openapi.json").json()
    assert told == description()
    assert told["openapi"].startswith("3.1.")
    for schema in told["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    names: dict[str, int] = defaultdict(int)
    _count_references(told, names)
    assert names.keys() <= told["components"]["schemas"].keys()
    ids = [operation["operationId"] for path in told["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids)) == len(ROUTES)


def _count_references(value: object, names: dict[str, int]) -> None:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            names[reference.rpartition("/")[2]] += 1
        for each in value.values():
            _count_references(each, names)
    elif isinstance(value, list):
        for each in value:
            _count_references(each, names)


def test_the_version_is_the_projects() -> None:
    assert tomllib.loads(Path(ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_real_answers_have_every_field_of_their_model_and_no_other(stand: Stand) -> None:
    address = stand.mailbox(2)
    account_id = stand.connect(address)
    ids = list(stand.gmail.truth(address))
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/gmail-sync", {"json": {"account_id": account_id}}),
        ("POST", "/gmail-sync", {}),
        ("POST", "/outlook-sync", {}),
        ("GET", "/accounts", {}),
        ("GET", "/accounts/{account_id}", {}),
        ("POST", "/accounts/{account_id}/resync", {"json": {"content": True}}),
        ("POST", "/accounts/connect", {"json": {"provider": "gmail", "user_id": "u"}}),
        ("GET", "/mailbox/changes", {"params": {"account_id": account_id}}),
        ("GET", "/mailbox/messages", {"params": {"account_id": account_id, "ids": ",".join(ids)}}),
        ("GET", f"/mailbox/threads/{ids[0]}", {"params": {"account_id": account_id}}),
        ("GET", "/mailbox/folders", {"params": {"account_id": account_id}}),
        ("GET", "/mailbox/preferences", {"params": {"user_id": "u"}}),
        ("GET", "/status/status.json", {}),
        ("GET", "/status/health", {}),
        ("GET", "/accounts/nobody", {}),
    ]
    for method, path, more in asked:
        answer = stand.client.request(method, path.format(account_id=account_id), **more)
        of = path.replace("nobody", "{account_id}").replace(ids[0], "{thread_id}")
        route = next(route for route in ROUTES if (route.method, route.path) == (method, of))
        told = _responses(route)[str(answer.status_code)]
        ((media_type, content),) = told["content"].items()
        assert answer.headers["content-type"] == media_type, answer.text
        schema = _closed({**content["schema"], "components": description()["components"]})
        jsonschema.Draft202012Validator(schema).validate(answer.json())


def _closed(schema: Any) -> Any:
    """The schema with nothing allowed that it does not name."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _closed(value) for name, value in schema.items()}
    return {"additionalProperties": False, **found} if "properties" in schema and "type" in schema else found
