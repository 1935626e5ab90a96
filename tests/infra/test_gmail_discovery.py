"""Judges nobody here wrote: Google's own client works against the stand-in, its discovery document fits the answers."""

import base64
import functools
import json
import warnings
from collections.abc import Iterator
from importlib import resources
from typing import Any

import jsonschema
import pytest
from google.oauth2 import credentials as typed_in_part

from infra.emulators import mail
from tests.infra.gmail_client import ADDRESS, ME, Stand, standing

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from googleapiclient.discovery import build_from_document
    from googleapiclient.errors import HttpError

google_credentials: Any = typed_in_part
TOPIC = "projects/tidemark-local/topics/gmail"


def document() -> dict[str, Any]:
    files = resources.files("googleapiclient") / "discovery_cache" / "documents" / "gmail.v1.json"
    return dict(json.loads(files.read_text("utf-8")))


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with standing(quota_enforced=False) as made:
        made.gmail.load(ADDRESS, mail.load(None))
        made.gmail.add_label(ADDRESS, "Trip")
        yield made


@pytest.fixture(scope="module")
def service(stand: Stand) -> Iterator[Any]:
    described = document() | {"rootUrl": f"{stand.url}/", "baseUrl": f"{stand.url}/"}
    described.pop("mtlsRootUrl", None)
    made = build_from_document(described, credentials=google_credentials.Credentials(stand.token))
    yield made
    made.close()


# -- the official client


def test_it_lists_pages_and_gets(service: Any, stand: Stand) -> None:
    request, ids = service.users().messages().list(userId="me", maxResults=50), []
    while request is not None:
        answer = request.execute()
        ids += [each["id"] for each in answer["messages"]]
        request = service.users().messages().list_next(request, answer)
    assert set(ids) == set(stand.gmail.truth(ADDRESS))
    message = (
        service.users().messages().get(userId="me", id=ids[0], format="metadata", metadataHeaders=["From"]).execute()
    )
    assert {header["name"] for header in message["payload"]["headers"]} <= {"From"}


def test_its_batch_gets_every_message_and_each_error_apart(service: Any, stand: Stand) -> None:
    ids = list(stand.gmail.truth(ADDRESS))[:20]
    got: dict[str, Any] = {}

    def keep(request_id: str, response: Any, exception: Any) -> None:
        got[request_id] = exception if exception is not None else response["id"]

    batch = service.new_batch_http_request(callback=keep)
    for each in [*ids, "18c0ffee12345678", "not-an-id"]:
        batch.add(service.users().messages().get(userId="me", id=each, format="minimal"), request_id=each)
    batch.execute()
    assert [got[each] for each in ids] == ids
    assert (got["18c0ffee12345678"].status_code, got["not-an-id"].status_code) == (404, 400)


def test_its_batch_sees_parts_refused_for_concurrency(service: Any, stand: Stand) -> None:
    ids = list(stand.gmail.truth(ADDRESS))[:30]
    failed: list[HttpError] = []
    batch = service.new_batch_http_request(callback=lambda _, response, fault: failed.append(fault) if fault else None)
    for each in ids:
        batch.add(service.users().messages().get(userId="me", id=each, format="minimal"))
    batch.execute()
    stand.gmail.engine.gates.clear()
    assert [fault.status_code for fault in failed] == [429] * 5
    assert "Too many concurrent requests for user." in str(failed[0])


def test_history_labels_drafts_and_watch_work_through_it(service: Any, stand: Stand) -> None:
    users = service.users()
    start = users.getProfile(userId="me").execute()["historyId"]
    raw = base64.urlsafe_b64encode(b"Subject: draft\r\n\r\nhello\r\n").decode()
    draft = users.drafts().create(userId="me", body={"message": {"raw": raw}}).execute()
    again = users.drafts().update(userId="me", id=draft["id"], body={"message": {"raw": raw}}).execute()
    assert again["id"] == draft["id"]
    assert again["message"]["id"] != draft["message"]["id"]
    sent = users.drafts().send(userId="me", body={"id": draft["id"]}).execute()
    users.messages().modify(userId="me", id=sent["id"], body={"addLabelIds": ["STARRED"]}).execute()
    users.messages().trash(userId="me", id=sent["id"]).execute()
    users.messages().untrash(userId="me", id=sent["id"]).execute()
    users.messages().delete(userId="me", id=sent["id"]).execute()
    records = (
        users.history().list(userId="me", startHistoryId=start, historyTypes=["messageAdded"]).execute()["history"]
    )
    assert [record["messagesAdded"][0]["message"]["id"] for record in records] == [
        draft["message"]["id"],
        again["message"]["id"],
        sent["id"],
    ]
    assert users.watch(userId="me", body={"topicName": TOPIC}).execute()["expiration"].isdigit()
    users.stop(userId="me").execute()
    with pytest.raises(HttpError) as refused:
        users.history().list(userId="me", startHistoryId=start, labelId="Label_99").execute()
    assert refused.value.status_code == 404


# -- the discovery document as a schema


@functools.cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    definitions = {key: translated(value) for key, value in document()["schemas"].items()}
    schema = {"$ref": f"#/$defs/{name}", "$defs": definitions}
    return jsonschema.Draft202012Validator(schema, format_checker=CHECKER)


def translated(node: dict[str, Any]) -> dict[str, Any]:
    """One discovery schema as JSON schema: what it does not name is an error."""
    if "$ref" in node:
        return {"$ref": f"#/$defs/{node['$ref']}"}
    made: dict[str, Any] = {key: node[key] for key in ("type", "enum", "format") if key in node}
    if "items" in node:
        made["items"] = translated(node["items"])
    if "properties" in node:
        made["properties"] = {key: translated(value) for key, value in node["properties"].items()}
    if node.get("type") == "object":
        extra = node.get("additionalProperties")
        made["additionalProperties"] = translated(extra) if isinstance(extra, dict) else False
    return made


CHECKER = jsonschema.FormatChecker(formats=())


@CHECKER.checks("uint64")
@CHECKER.checks("int64")
def is_number_in_a_string(value: object) -> bool:
    return isinstance(value, str) and value.isdigit() and int(value) < 2**64


@CHECKER.checks("int32")
@CHECKER.checks("uint32")
def is_small_number(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 2**32


@CHECKER.checks("byte")
def is_padded_base64url(value: object) -> bool:
    return isinstance(value, str) and base64.urlsafe_b64encode(base64.urlsafe_b64decode(value)).decode() == value


def methods(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By id without "gmail.users."."""
    found: dict[str, dict[str, Any]] = {}

    def gather(node: dict[str, Any]) -> None:
        for method in node.get("methods", {}).values():
            found[method["id"].removeprefix("gmail.users.")] = method
        for inner in node.get("resources", {}).values():
            gather(inner)

    gather(described)
    return found


class Asked:
    """Calls methods by name and holds each answer against its schema."""

    def __init__(self, stand: Stand) -> None:
        self.stand, self.known = stand, methods(document())
        self.names: set[str] = set()

    def __call__(self, name: str, body: Any = None, params: Any = None, **ids: str) -> dict[str, Any]:
        method = self.known[name]
        path = method["path"].replace("{userId}", "me")
        for key, value in ids.items():
            path = path.replace("{" + key + "}", value)
        assert not set(params or {}) - method["parameters"].keys()
        answer = self.stand.http.request(method["httpMethod"], f"/{path}", params=params, json=body)
        self.names.add(name)
        if "response" not in method:
            assert (answer.status_code, answer.content) == (204, b""), answer.text
            return {}
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json; charset=UTF-8"
        validator(method["response"]["$ref"]).validate(answer.json())
        return dict(answer.json())


def test_every_answer_of_every_method_fits_googles_discovery_document(stand: Stand) -> None:
    ask = Asked(stand)
    start = ask("getProfile")["historyId"]
    raw = base64.urlsafe_b64encode(b"Subject: s\r\nTo: robin@example.com\r\n\r\nx\r\n").decode()
    for each in ask("messages.list", params={"maxResults": 500})["messages"]:
        message = ask("messages.get", params={"format": "full"}, id=each["id"])
        for part in message["payload"].get("parts", []):
            if "attachmentId" in part["body"]:
                ask("messages.attachments.get", messageId=each["id"], id=part["body"]["attachmentId"])
    for form in ("minimal", "metadata", "raw"):
        ask("messages.get", params={"format": form}, id=each["id"])
    made = ask("messages.insert", {"raw": raw, "labelIds": ["INBOX"]})["id"]
    ask("messages.import", {"raw": raw})
    ask("messages.send", {"raw": raw})
    ask("messages.modify", {"addLabelIds": ["STARRED"], "removeLabelIds": ["INBOX"]}, id=made)
    ask("messages.trash", id=made)
    ask("messages.untrash", id=made)
    ask("messages.batchModify", {"ids": [made], "addLabelIds": ["Label_1"]})
    ask("threads.list", params={"maxResults": 3})
    thread = each["threadId"]
    ask("threads.get", params={"format": "full"}, id=thread)
    ask("threads.modify", {"addLabelIds": ["UNREAD"]}, id=thread)
    ask("threads.trash", id=thread)
    ask("threads.untrash", id=thread)
    ask("threads.delete", id=thread)
    label = ask("labels.create", {"name": "Made"})["id"]
    ask("labels.list")
    ask("labels.get", id=label)
    ask("labels.update", {"name": "Renamed"}, id=label)
    ask("labels.patch", {"name": "Patched"}, id=label)
    ask("labels.delete", id=label)
    draft = ask("drafts.create", {"message": {"raw": raw}})["id"]
    ask("drafts.update", {"message": {"raw": raw}}, id=draft)
    ask("drafts.list")
    ask("drafts.get", id=draft)
    ask("drafts.send", {"id": draft})
    ask("drafts.delete", id=ask("drafts.create", {"message": {"raw": raw}})["id"])
    ask("messages.delete", id=made)
    ask("messages.batchDelete", {"ids": [ask("messages.insert", {"raw": raw})["id"]]})
    ask("history.list", params={"startHistoryId": start})
    ask("history.list", params={"startHistoryId": start, "maxResults": 2})
    ask("watch", {"topicName": TOPIC, "labelIds": ["INBOX"], "labelFilterBehavior": "include"})
    ask("stop")
    left_out = {name for name in ask.known.keys() - ask.names if not name.startswith("settings.")}
    assert left_out == set()


def test_the_schema_would_notice_what_does_not_belong() -> None:
    for wrong in ({"invented": 1}, {"historyId": 5}, {"sizeEstimate": "5"}, {"raw": "a+b/"}, {"labelIds": "INBOX"}):
        with pytest.raises((jsonschema.ValidationError, ValueError)):
            validator("Message").validate(wrong)


def test_the_stand_in_knows_only_parameters_that_google_knows() -> None:
    from infra.emulators.gmail.routes import ROUTES

    known = {(method["httpMethod"], method["path"]): method for method in methods(document()).values()}
    paths = {(verb, path.split("{userId}/")[1]): method for (verb, path), method in known.items()}
    shapes = {
        (verb, "/".join("{}" if "{" in each else each for each in path.split("/"))): paths[verb, path]
        for verb, path in paths
    }
    for route in ROUTES:
        method = shapes[route.method, route.path]
        queries = {name for name, given in method["parameters"].items() if given["location"] == "query"}
        assert route.params <= queries, route.name
    assert ME == "/gmail/v1/users/me"
