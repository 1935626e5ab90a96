"""Handlers of the profile, labels, drafts, history and watch."""

from typing import Any

from infra.emulators.gmail import errors, listing
from infra.emulators.gmail.call import Answer, Call, raw_message
from infra.emulators.gmail.history import KINDS, Record, render
from infra.emulators.gmail.mailbox import SYSTEM_LABELS, Mailbox
from infra.emulators.gmail.message import FORMATS


def get_profile(call: Call) -> Answer:
    mailbox = call.mailbox
    return {
        "emailAddress": mailbox.address,
        "messagesTotal": len(mailbox.messages),
        "threadsTotal": len(mailbox.threads),
        "historyId": str(mailbox.history.visible_id()),
    }


def list_history(call: Call) -> Answer:
    mailbox, history = call.mailbox, call.mailbox.history
    start = _start(call)
    kinds = call.params.get("historyTypes", [])
    for kind in kinds:
        if kind not in KINDS:
            raise errors.invalid_value("history_types", "type.googleapis.com/google.apps.gmail.v1.HistoryType", kind)
    label = call.param("labelId")
    size = listing.page_size(call.params)
    if (label and label not in mailbox.labels) or history.expired(start):
        raise errors.not_found()
    current = history.visible_id()
    if start > current and mailbox.settings.history_future == "missing":
        raise errors.not_found()
    bound_to = ("history", mailbox.address, mailbox.tokens, start, sorted(kinds), label)
    token = call.param("pageToken")
    position, upto, blank = listing.read_token(token, bound_to, 3) if token else (start, current, 0)
    if mailbox.settings.history_pages == "live":
        upto = current
    answer: dict[str, Any] = {"historyId": str(current)}
    promises_empty = mailbox.settings.history_empty_page_probability
    if not blank and promises_empty and mailbox.rng.random() < promises_empty:
        return answer | {"nextPageToken": listing.make_token(bound_to, position, upto, 1)}
    records, after = history.page(start, position, upto, size)
    shown = _shown(mailbox, records, frozenset(kinds or KINDS), label)
    if shown:
        answer["history"] = shown
    if after is not None:
        answer["nextPageToken"] = listing.make_token(bound_to, after, upto, 0)
    return answer


def _start(call: Call) -> int:
    text = call.param("startHistoryId")
    if not text:
        raise errors.invalid_argument("Missing required parameter: startHistoryId")
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise errors.invalid_value("start_history_id", "TYPE_UINT64", text)
    start = int(text)
    if start == 0:
        raise errors.ApiError(400, "Bad Request", "badRequest")
    return start


def _shown(mailbox: Mailbox, records: list[Record], kinds: frozenset[str], label: str) -> list[dict[str, Any]]:
    """The records' changes that were asked for; a page of others is left without `history`."""
    mode = mailbox.settings.history_labels
    now = None
    if mode == "now":
        ids = {change.message_id for record in records for change in record.changes}
        now = {each: tuple(sorted(mailbox.messages[each].labels)) for each in ids if each in mailbox.messages}
    shown = []
    for record in records:
        changes = tuple(
            change
            for change in record.changes
            if change.kind in kinds and (not label or label in change.labels or label in change.changed)
        )
        if changes:
            shown.append(render(Record(record.id, record.at_s, changes), now, mode != "absent"))
    return shown


def list_labels(call: Call) -> Answer:
    return {"labels": [_label(call.mailbox, each) for each in call.mailbox.labels]}


def get_label(call: Call) -> Answer:
    label_id = _known_label(call)
    members = [each for each in call.mailbox.messages.values() if label_id in each.labels]
    unread = [each for each in members if "UNREAD" in each.labels]
    return _label(call.mailbox, label_id) | {
        "messagesTotal": len(members),
        "messagesUnread": len(unread),
        "threadsTotal": len({each.thread_id for each in members}),
        "threadsUnread": len({each.thread_id for each in unread}),
    }


def _known_label(call: Call) -> str:
    if call.ids[0] not in call.mailbox.labels:
        raise errors.not_found()
    return call.ids[0]


def _label(mailbox: Mailbox, label_id: str) -> dict[str, Any]:
    if label_id in SYSTEM_LABELS:
        return {"id": label_id, "name": label_id, "type": "system"}
    return {
        "id": label_id,
        "name": mailbox.labels[label_id],
        "type": "user",
        "messageListVisibility": "show",
        "labelListVisibility": "labelShow",
    }


def _label_name(call: Call) -> str:
    body = call.body("id", "name", "messageListVisibility", "labelListVisibility", "color", "type")
    name = body.get("name")
    if not isinstance(name, str) or not name.strip():
        raise errors.invalid_argument("Invalid label name")
    if name.lower() in {each.lower() for each in call.mailbox.labels.values()}:
        raise errors.ApiError(409, "Label name exists or conflicts", "aborted", status="ABORTED")
    return name


def create_label(call: Call) -> Answer:
    return _label(call.mailbox, call.mailbox.add_label(_label_name(call)))


def update_label(call: Call) -> Answer:
    label_id = _user_label(call)
    call.mailbox.labels[label_id] = _label_name(call)
    return _label(call.mailbox, label_id)


def delete_label(call: Call) -> Answer:
    call.mailbox.remove_label(_user_label(call))
    return None


def _user_label(call: Call) -> str:
    label_id = _known_label(call)
    if label_id in SYSTEM_LABELS:
        raise errors.invalid_argument("Cannot change system label")
    return label_id


def list_drafts(call: Call) -> Answer:
    call.flag("includeSpamTrash")
    return listing.draft_page(call.mailbox, call.params)


def get_draft(call: Call) -> Answer:
    form = call.param("format", "full")
    if form not in FORMATS:
        raise errors.invalid_value("format", "type.googleapis.com/google.apps.gmail.v1.Format", form)
    return {"id": call.ids[0], "message": call.mailbox.draft(call.ids[0]).resource(form)}


def create_draft(call: Call) -> Answer:
    raw, thread_id = raw_message(call.body("id", "message").get("message"))
    return _draft(*_saved(call, raw, None, thread_id))


def update_draft(call: Call) -> Answer:
    raw, thread_id = raw_message(call.body("id", "message").get("message"))
    return _draft(*_saved(call, raw, call.ids[0], thread_id))


def _saved(call: Call, raw: bytes, draft_id: str | None, thread_id: str | None) -> tuple[str, dict[str, Any]]:
    made, stored = call.mailbox.save_draft(raw, draft_id, thread_id)
    return made, {"id": stored.id, "threadId": stored.thread_id, "labelIds": sorted(stored.labels)}


def _draft(draft_id: str, message: dict[str, Any]) -> dict[str, Any]:
    return {"id": draft_id, "message": message}


def delete_draft(call: Call) -> Answer:
    call.mailbox.remove([call.mailbox.draft(call.ids[0]).id])
    return None


def send_draft(call: Call) -> Answer:
    """Sends the stored draft; with a `message` in the body that one, saved first."""
    body = call.body("id", "message")
    draft_id = body.get("id")
    if not isinstance(draft_id, str):
        raise errors.invalid_argument("Draft id required")
    if body.get("message"):
        raw, thread_id = raw_message(body["message"])
        call.mailbox.save_draft(raw, draft_id, thread_id)
    stored = call.mailbox.send_draft(draft_id)
    return {"id": stored.id, "threadId": stored.thread_id, "labelIds": sorted(stored.labels)}


def watch(call: Call) -> Answer:
    body = call.body("topicName", "labelIds", "labelFilterBehavior", "labelFilterAction")
    return call.watches.start(
        call.mailbox,
        str(body.get("topicName") or ""),
        call.strings(body, "labelIds"),
        str(body.get("labelFilterBehavior") or body.get("labelFilterAction") or "include").lower(),
    )


def stop(call: Call) -> Answer:
    call.watches.stop(call.mailbox)
    return None
