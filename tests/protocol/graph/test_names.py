"""The well-known names of folders: asked for at first, in one batch with the folder chain's first page."""

from dataclasses import replace

import orjson
import pytest

from shared.core.errors import ContractBroken, ProviderDown, Throttled
from shared.protocol.graph import batch, delta, rounds
from shared.protocol.graph.chains import Answered, Mailbox
from shared.protocol.graph.cursor import (
    BACKFILL,
    Chain,
    Cursor,
)
from shared.protocol.graph.folders import SELECT
from shared.protocol.wire import Request, Response
from tests.protocol.graph.answers import NEXT, OLD, ORIGIN, answers, box, folder, page, refused

GONE = refused(404, "ErrorItemNotFound")
RETRY_LATE = "Fri, 01 Jan 1971 00:00:00 GMT"


NAMED = Cursor(Chain("", origin=BACKFILL), names=("inbox", "drafts"))


def asked_names(at: Mailbox, of: Cursor) -> Request:
    (request,) = rounds.task(at, of, confirmed=True).requests  # type: ignore[union-attr]
    found: Request = request
    return found


def test_names_are_asked_for_in_one_batch_with_the_folder_chain_s_first_page() -> None:
    at = box()
    names = [
        (name, Request("GET", f"/v1.0/me/mailFolders/{name}", (("$select", SELECT),), {"prefer": at.asking.prefer}))
        for name in NAMED.names
    ]
    folders = ("folders", delta.request(at.asking, NAMED.folders))
    assert asked_names(at, NAMED) == batch.build([*names, folders], ORIGIN)
    for without in ({"alone": True}, {"read": True}, {"origin": "", "link": OLD, "resting": True}):
        of = NAMED.put(replace(NAMED.folders, **without))
        assert asked_names(at, of) == batch.build(names, ORIGIN)


def test_names_that_are_there_or_are_not_are_known_and_the_folder_chain_goes_on() -> None:
    at = box("F")
    inbox = Response(200, {}, orjson.dumps(folder("I", displayName="Inbox")))
    response = answers(inbox=inbox, drafts=GONE, folders=page(folder("G"), ended=False))
    found, origin = rounds.received(at, NAMED, asked_names(at, NAMED), response)
    assert (found, origin) == (Answered(Cursor(Chain("", NEXT, origin=BACKFILL), shown=(2,))), BACKFILL)
    named = at.folders.get("I")
    assert named is not None
    assert (named.well_known, named.name) == ("inbox", "Inbox")


def test_names_are_asked_for_again_while_others_come_through() -> None:
    at = box("F")
    request = asked_names(at, NAMED)
    for failed in ({}, {"drafts": refused(403, "ErrorAccessDenied")}, {"drafts": refused(503, "x")}):
        found, _ = rounds.received(at, NAMED, request, answers(inbox=GONE, **failed))
        assert found == Answered(Cursor(Chain("", origin=BACKFILL, alone=True), names=("drafts",)))
    of = NAMED.put(replace(NAMED.folders, alone=True))
    found, _ = rounds.received(at, of, request, answers(inbox=GONE, folders=page()))
    assert found == Answered(replace(of, names=("drafts",)))


def test_names_that_all_fail_are_the_failure_of_the_first() -> None:
    at = box("F")
    request = asked_names(at, NAMED)
    with pytest.raises(ProviderDown, match=r"^the provider answered 0 missing$"):
        rounds.received(at, NAMED, request, answers(drafts=refused(429, "x")))
    for asked, wait_s in (("7", 7.0), (RETRY_LATE, None)):  # nobody here knows how far off a date is
        late = Response(429, {"retry-after": asked}, b"{}")
        with pytest.raises(Throttled) as caught:
            rounds.received(at, NAMED, request, answers(inbox=late))
        assert caught.value.after_s == wait_s
    with pytest.raises(Throttled):
        rounds.received(at, NAMED, request, answers(inbox=refused(403, "ErrorAccessDenied")))


@pytest.mark.parametrize("body", [[], {"displayName": "x"}, {"id": 7}])
def test_a_name_s_folder_has_an_id(body: object) -> None:
    at = box("F")
    response = answers(inbox=Response(200, {}, orjson.dumps(body)))
    with pytest.raises(ContractBroken, match=r"^a folder can't be read$"):
        rounds.received(at, NAMED, asked_names(at, NAMED), response)
