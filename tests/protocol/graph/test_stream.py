"""The stream's decisions by themselves: what a row asks for, what a read changes, what a strange answer does."""

from typing import Any

import orjson
import pytest

from shared.core.errors import ContractBroken, ProviderDown, Throttled
from shared.protocol.graph import known, rounds
from shared.protocol.graph.chains import Mailbox
from shared.protocol.graph.cursor import BACKFILL, LIVE_EVERY, NAMING, RESYNC, STARTING, Chain, Cursor, Job, first
from shared.protocol.graph.debts import Debts
from shared.protocol.graph.delta import Asking
from shared.protocol.graph.folders import WELL_KNOWN, FolderTable
from shared.protocol.graph.known import Prefixes
from shared.protocol.graph.message import Reading, parse
from shared.protocol.graph.stream import GraphStream
from shared.protocol.status import Kind, Status
from shared.protocol.step import Call, Compare, Fact, Failed, Fetched, Gone, Note, Patch, Walk, Walked, Want
from shared.protocol.wire import Request, Response
from tests.protocol.graph.test_message import ROW

ORIGIN = "https://graph.microsoft.com"
LINK = ORIGIN + "/v1.0/me/mailfolders('{}')/messages/delta?$deltatoken=x"
ID = "AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0A" + "x" * 40


def stream(*folders: str, body: str = "text") -> GraphStream:
    table = FolderTable(None, None)
    for folder in folders or ("F", "G"):
        table.shown({"id": folder, "displayName": folder, "isHidden": False, "totalItemCount": 1})
    return GraphStream(Mailbox(Asking(ORIGIN, 50, Reading(body, 1000)), table, Prefixes(), Debts()))


def resting(name: str, **fields: Any) -> Chain:
    return Chain(name, LINK.format(name), resting=True, floor_s=0.0, **fields)


def cursor(*chains: Chain, **fields: Any) -> Cursor:
    return Cursor(Chain("", ORIGIN + "/v1.0/me/mailfolders/delta?$deltatoken=y", resting=True), chains, **fields)


def row(**fields: Any) -> dict[str, Any]:
    return {**ROW, "id": ID, **fields}


def shown(said: dict[str, Any], folder: str = "F", emit: bool = True) -> Fact:
    from shared.protocol.graph.delta import facts

    return facts([(folder, said, emit)])[0]


def entry(at: GraphStream, **fields: Any) -> str:
    at.named[at.pack_id(ID)] = fields.get("parentFolderId", "F")
    return at.created(parse(row(**fields), at.box.asking.reading))


def json(value: Any, status: int = 200) -> Response:
    return Response(status, {}, orjson.dumps(value))


def error(status: int, code: str) -> dict[str, Any]:
    return {"status": status, "headers": {}, "body": {"error": {"code": code}}}


# --- judging


def test_a_whole_row_of_an_unknown_message_is_the_message() -> None:
    at = stream()
    found = at.judge(shown(row()), None)
    assert isinstance(found, Fetched)
    assert found.message["subject"] == "Hello"
    assert at.judge(shown(row(), emit=False), None) is None


def test_a_row_without_its_body_or_sparse_is_read() -> None:
    at = stream()
    light = {name: value for name, value in row().items() if name != "body"}
    assert at.judge(shown(light), None) == Want(ID, version="1795514402000")
    assert at.judge(shown({"id": ID, "isRead": True}), None) == Want(ID)
    assert isinstance(stream(body="none").judge(shown(light), None), Fetched)


def test_an_unknown_message_that_left_is_nothing() -> None:
    at = stream()
    at.box.debts.owe(at.pack_id(ID))
    assert at.judge(Fact(ID, gone=True), None) is None
    assert not at.box.debts.any()


def test_a_parked_message_is_read_whole_or_as_it_is_known() -> None:
    at = stream()
    assert at.judge(Fact(ID, content=True), None) == Want(ID)
    assert at.judge(Fact(ID, content=True), entry(at)) == Want(ID, content=False)
    assert at.judge(Fact(ID, content=True), entry(at, isDraft=True)) == Want(ID, content=True)


def test_a_row_that_says_nothing_new_is_nothing_however_old_or_new() -> None:
    at = stream()
    value = entry(at)
    for modified in ("2026-11-24T09:00:00Z", ROW["lastModifiedDateTime"], "2026-11-24T11:00:00Z"):
        assert at.judge(shown(row(lastModifiedDateTime=modified)), value) is None


def test_only_a_newer_row_is_believed() -> None:
    at = stream()
    value = entry(at)
    newer = at.judge(shown(row(isRead=True, lastModifiedDateTime="2026-11-24T11:00:00Z")), value)
    assert isinstance(newer, Patch)
    assert newer.fields == {"unread": False}
    for modified in ("2026-11-24T09:00:00Z", ROW["lastModifiedDateTime"]):
        fact = shown(row(isRead=True, lastModifiedDateTime=modified))
        assert at.judge(fact, value) == Want(ID, content=False)
    assert at.judge(shown({"id": ID, "isRead": True}), value) == Want(ID, content=False)


def test_a_draft_that_is_newer_is_read_where_the_row_has_no_body() -> None:
    at = stream()
    value = entry(at, isDraft=True)
    newer = row(isDraft=True, lastModifiedDateTime="2026-11-24T11:00:00Z")
    assert at.judge(shown(newer), value) is None
    assert isinstance(at.judge(shown({**newer, "subject": "x"}), value), Patch)
    del newer["body"]
    assert at.judge(shown(newer), value) == Want(ID, content=True)


def test_a_departure_is_a_debt_only_of_the_folder_where_the_message_is() -> None:
    at = stream()
    value = entry(at)
    left = Fact(ID, gone=True, row={"left": ("G",)})
    assert at.judge(left, value) is None
    assert not at.box.debts.any()
    assert at.judge(Fact(ID, gone=True, row={"left": ("G", "F")}), value) is None
    assert at.box.debts.any()
    assert at.judge(shown(row()), value) is None
    assert not at.box.debts.any()


# --- comparing


def fetched(at: GraphStream, **fields: Any) -> Fetched:
    return parse(row(**fields), at.box.asking.reading)


def test_a_read_elsewhere_is_a_patch_and_owes_a_proof() -> None:
    at = stream()
    value = entry(at)
    at.named.clear()
    patch = at.compare(value, fetched(at, parentFolderId="G"))
    assert patch is not None
    assert patch.fields == {"folder_id": "G"}
    assert at.box.debts.any()
    assert at.compare(value, fetched(at)) is None


def test_a_read_that_agrees_with_the_row_owes_nothing() -> None:
    at = stream()
    value = entry(at)
    at.box.debts.owe(at.pack_id(ID))
    at.named = {at.pack_id(ID): "G"}
    assert at.compare(value, fetched(at, parentFolderId="G")) is not None
    assert not at.box.debts.any()
    at.named = {at.pack_id(ID): "G"}
    at.compare(value, fetched(at))
    assert at.box.debts.any()


def test_a_message_that_leaves_the_tracked_folders_is_told_once_and_forgotten() -> None:
    at = stream()
    at.box.folders.named("recoverableitemsdeletions", {"id": "dumpster", "displayName": "Deletions"})
    value = entry(at)
    at.box.debts.owe(at.pack_id(ID))
    assert at.compare(value, fetched(at, parentFolderId="dumpster")) == Patch({"folder_id": "dumpster"}, None)
    assert not at.box.debts.any()


def test_a_folder_that_nothing_has_shown_is_looked_at_twice() -> None:
    at = stream()
    value = entry(at)
    for _ in range(2):
        assert at.compare(value, fetched(at, parentFolderId="new")) is None
        at.box.debts.collect()
    assert at.compare(value, fetched(at, parentFolderId="new")) == Patch({"folder_id": "new"}, None)


def test_a_read_without_a_folder_says_nothing_of_one() -> None:
    at = stream()
    patch = at.compare(entry(at), fetched(at, parentFolderId=None, subject="x"))
    assert patch is not None
    assert patch.fields == {"subject": "x"}


def test_a_cached_message_serves_only_while_its_text_is_the_one_that_is_known() -> None:
    at = stream()
    held = fetched(at)
    value = entry(at, isRead=True, parentFolderId="G")
    current = at.current(value, held)
    assert current is not None
    assert (current.message["unread"], current.message["folder_id"]) == (False, "G")
    assert at.current(entry(at, categories=[]), held) is None
    assert at.newer(value, held) is held
    assert at.serves(held, Want(ID, version="1"))
    assert not at.serves(held, Want(ID, version="9999999999999"))
    assert not at.serves(held, Want(ID))


# --- reads


def test_a_part_says_what_the_provider_says_and_no_more() -> None:
    at = stream()
    want = (Want(ID),)
    parts = at.parts([Want(ID), Want(ID + "y", content=False)])
    whole, confirmed = parts
    assert (whole[:2], confirmed[:2]) == ("m-", "c-")
    assert "body(" not in dict(parts[whole][1].query)["$select"]
    assert dict(parts[whole][1].query)["$select"].endswith(",body")
    assert not dict(parts[confirmed][1].query)["$select"].endswith(",body")

    def said(key: str, response: Response) -> Any:
        return at.part(key, want, response, 0.0)[1][ID]

    assert isinstance(said(whole, json(row())), Fetched)
    assert said(whole, json(row(id="other"))) == Failed("unreadable", counts=True)
    assert said(whole, Response(200, {}, b"<html>")) == Failed("unreadable", counts=True)
    assert said(whole, json([])) == Failed("unreadable", counts=True)
    assert said(whole, json({"error": {"code": "ErrorItemNotFound"}}, 404)) == Gone()
    assert said(whole, Response(404, {}, b"<html>")) == Failed("404", counts=True)
    assert said(whole, json({"error": {"code": "SyncStateInvalid"}}, 410)) == Failed("SyncStateInvalid", counts=True)
    told = said(confirmed, json({"id": ID, "isRead": True}))
    assert told.message == {"id": ID, "unread": False}
    request = at.batch([(whole, parts[whole][1])], "boundary")
    assert request.path == "/v1.0/$batch"
    assert at.split(json({"responses": [{"id": "a", "status": 200, "body": {}}]}))["a"].status == 200
    late = Response(429, {"retry-after": "Thu, 01 Jan 1970 00:00:07 GMT"}, b"{}")
    assert at.status(late, 3.0) == Status(Kind.THROTTLED, 429, "", 4.0)
    assert at.part(whole, want, late, 3.0)[0] == Status(Kind.THROTTLED, 429, "", 4.0)


# --- tasks and answers


def test_names_come_first_then_folders_then_walks() -> None:
    at = stream("F", "G", "H")
    start = first(None, 0.0)
    task = at.next_task(start, confirmed=False)
    assert isinstance(task, Call)
    asked = orjson.loads(task.requests[0].body or b"")["requests"]
    assert [part["id"] for part in asked] == [*WELL_KNOWN, "folders"]
    assert len(asked) <= 20
    after = Cursor(Chain("", origin=BACKFILL))
    assert at.next_task(after, confirmed=True) == Call((Request("GET", *_folders_request(at, after)),))
    walking = cursor(Chain("F", origin=BACKFILL), Chain("G", origin=BACKFILL), Chain("H", origin=BACKFILL))
    task = at.next_task(walking, confirmed=True)
    assert isinstance(task, Call)
    assert [part["id"] for part in orjson.loads(task.requests[0].body or b"")["requests"]] == ["0", "1", "2"]


def test_large_folders_are_walked_two_side_by_side_and_small_ones_begin_together() -> None:
    at = stream()
    for name, total in (("F", 500), ("G", 500), ("H", 50), ("I", 40), ("J", 11), ("K", 10)):
        at.box.folders.shown({"id": name, "displayName": name, "isHidden": False, "totalItemCount": total})
    chains = [Chain(name, origin=BACKFILL) for name in "FGHIJK"]
    task = at.next_task(cursor(*chains), confirmed=True)
    assert isinstance(task, Call)
    parts = orjson.loads(task.requests[0].body or b"")["requests"]
    assert [at.box.folders.id_of(int(part["id"])) for part in parts] == ["H", "I", "K"]
    deltas = [
        {"id": part["id"], "status": 200, "body": {"value": [], "@odata.deltaLink": f"{ORIGIN}/v1.0/me/{part['id']}"}}
        for part in parts[:2]
    ]
    step = at.receive(cursor(*chains), task.requests[0], json({"responses": deltas}), confirmed=True)
    assert step.origin == BACKFILL
    assert [chain.folder for chain in step.cursor.walking()] == ["F", "G", "J", "K"]
    task = at.next_task(step.cursor, confirmed=True)
    assert isinstance(task, Call)
    assert [request.path.split("/")[-3] for request in task.requests] == ["F", "G"]
    mixed = cursor(Chain("J", origin=BACKFILL), Chain("K", origin=RESYNC))
    task = at.next_task(mixed, confirmed=True)
    assert isinstance(task, Call)
    assert len(task.requests) == 2


def _folders_request(at: GraphStream, of: Cursor) -> tuple[Any, ...]:
    from shared.protocol.graph.delta import request

    made = request(at.box.asking, of.folders)
    return made.path, made.query, made.headers


def test_what_waits_for_live_changes_has_an_order() -> None:
    at = stream()
    quiet = cursor(resting("F"), walked=0)
    assert at.next_task(quiet, confirmed=True) is None
    sweeping = cursor(resting("F"), walked=0, sweeps=("F",), job=Job("asked_for"))
    assert at.next_task(sweeping, confirmed=True) == Compare()
    assert at.next_task(cursor(resting("F"), job=Job("asked_for")), confirmed=True) == Note()
    naming = cursor(resting("F"), job=Job("x", True, "s", NAMING, 2, 3))
    assert at.next_task(naming, confirmed=True) == Walk("known", 2, 3, unknown=False)
    put_off = cursor(Chain("F", origin=RESYNC, read=True), job=Job("asked_for"))
    assert at.next_task(put_off, confirmed=True) is None


def test_a_mailbox_of_which_nothing_is_live_has_no_round() -> None:
    at = stream()
    nothing = Cursor(Chain("", origin=BACKFILL, read=True), (Chain("F", origin=BACKFILL),))
    task = at.next_task(nothing, confirmed=False)
    assert isinstance(task, Call)
    missing = Cursor(Chain("", origin=BACKFILL, read=True), (resting("F", missing=True),))
    assert at.next_task(missing, confirmed=False) is None


def test_more_chains_than_a_batch_holds_are_read_in_several() -> None:
    names = [f"F{n}" for n in range(25)]
    at = stream(*names)
    many = cursor(*(resting(name) for name in names))
    task = at.next_task(many, confirmed=False)
    assert isinstance(task, Call)
    parts = orjson.loads(task.requests[0].body or b"")["requests"]
    assert len(parts) == 20
    answers = [
        {"id": part["id"], "status": 200, "body": {"value": [], "@odata.deltaLink": f"{ORIGIN}/v1.0/me/x?t={n}"}}
        for n, part in enumerate(parts)
    ]
    step = at.receive(many, task.requests[0], json({"responses": answers}), confirmed=False)
    assert not step.round_ended
    again = at.next_task(step.cursor, confirmed=False)
    assert isinstance(again, Call)
    assert len(orjson.loads(again.requests[0].body or b"")["requests"]) == 6


def live_answer(at: GraphStream, of: Cursor, *parts: dict[str, Any]) -> Cursor:
    task = at.next_task(of, confirmed=False)
    assert isinstance(task, Call)
    step = at.receive(of, task.requests[0], json({"responses": list(parts)}), confirmed=False)
    found: Cursor = step.cursor
    return found


def test_a_failed_or_missing_part_is_asked_for_by_itself() -> None:
    at = stream("F", "G")
    after = live_answer(at, cursor(resting("F"), resting("G")), {"id": "0", **error(429, "ApplicationThrottled")})
    assert [chain.alone for chain in (after.folders, *after.chains)] == [True, True, True]
    task = at.next_task(after, confirmed=False)
    assert isinstance(task, Call)
    assert [request.method for request in task.requests] == ["GET", "GET"]
    assert after.walked == LIVE_EVERY


def test_a_folder_that_goes_in_the_same_batch_takes_its_answer_with_it() -> None:
    at = stream("F", "G")
    folders = {
        "id": "folders",
        "status": 200,
        "body": {"value": [{"id": "F", "@removed": {}}], "@odata.deltaLink": f"{ORIGIN}/v1.0/me/x"},
    }
    page = {"id": "1", "status": 200, "body": {"value": [], "@odata.deltaLink": f"{ORIGIN}/v1.0/me/y"}}
    after = live_answer(
        at, cursor(resting("F"), resting("G")), page, {"id": "0", **error(404, "ErrorSyncFolderNotFound")}, folders
    )
    assert [chain.folder for chain in after.chains] == ["G"]
    assert after.sweeps == ("F",)


def test_an_answer_to_nothing_that_was_asked_breaks_the_contract() -> None:
    with pytest.raises(ContractBroken):
        stream().receive(cursor(resting("F")), Request("GET", "/v1.0/me/other"), json({}), confirmed=False)


def test_the_folder_chain_is_never_missing_and_a_first_request_never_expired() -> None:
    at = stream()
    of = Cursor(Chain("", origin=BACKFILL))
    request = Request("GET", *_folders_request(at, of))
    for status, code in ((404, "ErrorItemNotFound"), (410, "SyncStateNotFound")):
        at.box.put_off.clear()
        after = at.receive(of, request, json({"error": {"code": code}}, status), confirmed=False).cursor
        assert (after.folders, at.box.put_off) == (Chain("", origin=BACKFILL, read=True), {""})


def test_names_that_fail_are_asked_again_while_others_come_through() -> None:
    at = stream()
    start = first(None, 0.0)
    task = at.next_task(start, confirmed=False)
    assert isinstance(task, Call)
    inbox = {"id": "inbox", "status": 200, "body": {"id": "I", "displayName": "Inbox", "isHidden": False}}
    some = [inbox, {"id": "drafts", **error(404, "ErrorItemNotFound")}, {"id": "archive", **error(503, "x")}]
    step = at.receive(start, task.requests[0], json({"responses": some}), confirmed=False)
    assert "inbox" not in step.cursor.names
    assert "drafts" not in step.cursor.names
    assert "archive" in step.cursor.names
    assert step.cursor.folders.alone
    with pytest.raises(Throttled):
        at.receive(
            step.cursor,
            task.requests[0],
            json({"responses": [{"id": name, **error(429, "x")} for name in step.cursor.names]}),
            confirmed=False,
        )
    with pytest.raises(ProviderDown):
        at.receive(step.cursor, task.requests[0], json({"responses": []}), confirmed=False)
    bad = {"id": step.cursor.names[0], "status": 200, "body": {"displayName": "x"}}
    with pytest.raises(ContractBroken):
        at.receive(step.cursor, task.requests[0], json({"responses": [bad]}), confirmed=False)


def test_a_list_that_is_refused_too_is_put_off() -> None:
    at = stream("F")
    of = cursor(resting("F", listing="first"), over_quota=True)
    request = rounds._requests(at.box, of, [of.chains[0]])[0]
    step = at.receive(of, request, json({"error": {"code": "ErrorQuotaExceeded"}}, 403), confirmed=False)
    assert (step.cursor.chains[0].listing, step.cursor.chains[0].read) == ("", True)
    assert (step.reason, step.events) == ("mailbox_over_quota", ())


def test_asking_for_a_plain_resync_does_not_end_a_snapshot() -> None:
    at = stream("F")
    running = at.restarted(cursor(resting("F")), "asked_for", content=True, snapshot_id="s1")
    again = at.restarted(running, "asked_for")
    assert again.job is not None
    assert (again.job.content, again.job.snapshot_id) == (True, "s1")
    assert at.reconciled(first(None, 0.0)) == first(None, 0.0)


def test_entries_are_stored_with_the_tables_that_they_point_into() -> None:
    at = stream("F")
    assert at.tables() == {"folders": at.box.folders.dump()}
    at.compare(entry(at), fetched(at, parentFolderId="elsewhere"))
    packed = at.pack_id(ID)
    tables = {"folders": at.box.folders.dump(), "ids": f'["{ID[:-24]}"]', "debts": f'{{"{packed}":0}}'}
    assert at.tables() == tables
    folders, ids = FolderTable(tables["folders"], None), Prefixes([ID[:-24]])
    assert GraphStream(Mailbox(at.box.asking, folders, ids, Debts(tables["debts"]))).tables() == {}
    assert at.unpack_id(at.pack_id(ID)) == ID
    assert known.unpack(entry(at)).folder == 0
    assert at.aged(first(None, 0.0), first(0, 0.0), 1.0) == first(0, 0.0)
    assert at.reached(first(None, 0.0)) == 0


def test_a_snapshot_whose_known_ids_are_lost_begins_again() -> None:
    naming = Job("asked_for", True, "s1", NAMING, page=2, offset=3)
    step = stream().walked(cursor(resting("F"), job=naming), Walked((), 2, 3, ended=False, lost=True))
    assert (step.facts, step.cursor.job) == ((), Job("asked_for", True, "s1", STARTING))
