"""Handlers of `messages`, `messages.attachments` and `threads`."""

from typing import Any

from infra.emulators.gmail import errors, listing, payload
from infra.emulators.gmail.call import Answer, Call, raw_message
from infra.emulators.gmail.mailbox import FIXED_LABELS
from infra.emulators.gmail.message import FORMATS, parsed

BATCH_IDS_MAX = 1000  # batchModify, batchDelete


def list_messages(call: Call) -> Answer:
    _refuse_search(call)
    return listing.message_page(call.mailbox, call.params)


def list_threads(call: Call) -> Answer:
    _refuse_search(call)
    return listing.thread_page(call.mailbox, call.params)


def _refuse_search(call: Call) -> None:
    call.flag("includeSpamTrash")
    if call.param("q") and not call.sees_content():
        raise errors.metadata_scope("does not support 'q' parameter")


def get_message(call: Call) -> Answer:
    form, wanted = _format(call, FORMATS)
    return call.mailbox.get(call.ids[0]).resource(form, wanted)


def get_thread(call: Call) -> Answer:
    form, wanted = _format(call, FORMATS[:3])
    members = call.mailbox.thread(call.ids[0])
    return {
        "id": call.ids[0],
        "historyId": str(max(each.history_id for each in members)),
        "messages": [each.resource(form, wanted) for each in members],
    }


def _format(call: Call, known: tuple[str, ...]) -> tuple[str, frozenset[str] | None]:
    form = call.param("format", "full" if call.sees_content() else "metadata")
    if form not in known:
        raise errors.invalid_value("format", "type.googleapis.com/google.apps.gmail.v1.Format", form)
    if form in ("full", "raw") and not call.sees_content():
        raise errors.metadata_scope(f"doesn't allow format {form.upper()}")
    wanted = frozenset(name.lower() for name in call.params.get("metadataHeaders", []))
    return form, wanted if wanted and form == "metadata" else None


def get_attachment(call: Call) -> Answer:
    stored = call.mailbox.get(call.ids[0])
    part_id = payload.part_of_attachment(stored.id, call.ids[1])
    parts = parsed(stored.raw).root.walk() if part_id is not None else iter(())
    found = next((part for part in parts if part.part_id == part_id), None)
    if found is None:
        raise errors.invalid_argument("Invalid attachment token")
    return {"size": len(found.body), "data": payload.base64url(found.body)}


def modify_message(call: Call) -> Answer:
    stored = call.mailbox.get(call.ids[0])
    _relabel(call, [stored.id], call.body("addLabelIds", "removeLabelIds"))
    return _stub(call, stored.id)


def modify_thread(call: Call) -> Answer:
    members = [each.id for each in call.mailbox.thread(call.ids[0])]
    _relabel(call, members, call.body("addLabelIds", "removeLabelIds"))
    return get_bare_thread(call)


def batch_modify(call: Call) -> Answer:
    body = call.body("ids", "addLabelIds", "removeLabelIds")
    _relabel(call, _ids(call, body), body)
    return None


def _ids(call: Call, body: dict[str, Any]) -> list[str]:
    """Unknown ids are passed over without a word, as Gmail does."""
    ids = call.strings(body, "ids")
    if not ids:
        raise errors.invalid_argument("No message ids specified")
    if len(ids) > BATCH_IDS_MAX:
        raise errors.invalid_argument("Too many message ids specified")
    return [each for each in dict.fromkeys(ids) if each in call.mailbox.messages]


def _relabel(call: Call, ids: list[str], body: dict[str, Any]) -> None:
    add, remove = call.strings(body, "addLabelIds"), call.strings(body, "removeLabelIds")
    for label in (*add, *remove):
        if label in FIXED_LABELS or label not in call.mailbox.labels:
            raise errors.invalid_argument(f"Invalid label: {label}")
    if not add and not remove:
        raise errors.invalid_argument("No label add or removes specified")
    call.mailbox.relabel(ids, add, remove)


def _stub(call: Call, message_id: str) -> dict[str, Any]:
    stored = call.mailbox.messages[message_id]
    answer: dict[str, Any] = {"id": stored.id, "threadId": stored.thread_id}
    if stored.labels:
        answer["labelIds"] = sorted(stored.labels)
    return answer


def trash_message(call: Call) -> Answer:
    call.mailbox.relabel([call.mailbox.get(call.ids[0]).id], add=["TRASH"])
    return _stub(call, call.ids[0])


def untrash_message(call: Call) -> Answer:
    call.mailbox.relabel([call.mailbox.get(call.ids[0]).id], remove=["TRASH"])
    return _stub(call, call.ids[0])


def delete_message(call: Call) -> Answer:
    call.mailbox.remove([call.mailbox.get(call.ids[0]).id])
    return None


def batch_delete(call: Call) -> Answer:
    call.mailbox.remove(_ids(call, call.body("ids")))
    return None


def get_bare_thread(call: Call) -> dict[str, Any]:
    members = call.mailbox.thread(call.ids[0])
    return {
        "id": call.ids[0],
        "historyId": str(max(each.history_id for each in members)),
        "messages": [_stub(call, each.id) for each in members],
    }


def trash_thread(call: Call) -> Answer:
    call.mailbox.relabel([each.id for each in call.mailbox.thread(call.ids[0])], add=["TRASH"])
    return get_bare_thread(call)


def untrash_thread(call: Call) -> Answer:
    call.mailbox.relabel([each.id for each in call.mailbox.thread(call.ids[0])], remove=["TRASH"])
    return get_bare_thread(call)


def delete_thread(call: Call) -> Answer:
    call.mailbox.remove([each.id for each in call.mailbox.thread(call.ids[0])])
    return None


def insert_message(call: Call) -> Answer:
    """`insert` and `import`: the date is the message's own if it has one, unless `receivedTime` is asked for."""
    body = call.body("raw", "labelIds", "threadId")
    raw, thread_id = raw_message(body)
    source = call.param("internalDateSource", "dateHeader")
    if source not in ("dateHeader", "receivedTime"):
        raise errors.invalid_value("internal_date_source", "TYPE_ENUM", source)
    labels = call.strings(body, "labelIds")
    for label in labels:
        if label not in call.mailbox.labels:
            raise errors.invalid_argument(f"Invalid label: {label}")
    date_s = parsed(raw).date_s if source == "dateHeader" else None
    stored = call.mailbox.add(raw, labels, internal_s=date_s, thread_id=thread_id)
    return _stub(call, stored.id)


def send_message(call: Call) -> Answer:
    raw, thread_id = raw_message(call.body("raw", "threadId", "labelIds"))
    stored = call.mailbox.add(raw, call.mailbox.sent_labels(raw), thread_id=thread_id)
    return _stub(call, stored.id)
