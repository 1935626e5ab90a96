"""Messages read by id: the whole request of a part, and what each answer says with its status."""

from typing import Any

import orjson
import pytest

from shared.protocol.graph import message
from shared.protocol.graph.chains import Mailbox
from shared.protocol.graph.debts import Debts
from shared.protocol.graph.delta import Asking
from shared.protocol.graph.folders import FolderTable
from shared.protocol.graph.known import Prefixes
from shared.protocol.graph.message import Reading
from shared.protocol.graph.reads import part, parts
from shared.protocol.status import Kind, Status
from shared.protocol.step import NOT_TRIED, Failed, Fetched, Gone, Want
from shared.protocol.wire import Request, Response
from tests.protocol.graph.answers import ORIGIN, refused
from tests.protocol.graph.test_message import ROW

LIGHT = message.select(with_body=False)


def box(reading: Reading) -> Mailbox:
    return Mailbox(Asking(ORIGIN, 50, reading), FolderTable(None, None), Prefixes(), Debts())


@pytest.mark.parametrize(
    ("reading", "whole", "attached"),
    [
        (Reading("text", 9), f"{LIGHT},body", ()),
        (Reading("none", 9), LIGHT, ()),
        (
            Reading("none", 9, for_readers=True),
            f"{LIGHT},body",
            (("$expand", "attachments($select=id,name,contentType,size,isInline)"),),
        ),
    ],
)
def test_a_part_asks_for_what_is_wanted_and_no_more(reading: Reading, whole: str, attached: Any) -> None:
    at = box(reading)
    wants = Want("a/b="), Want("c", content=False)
    headers = {"prefer": at.asking.prefer}
    assert parts(at, wants) == {
        "m-~a/b=": (
            (wants[0],),
            Request("GET", "/v1.0/me/messages/a%2Fb=", (("$select", whole), *attached), headers),
        ),
        "c-~c": ((wants[1],), Request("GET", "/v1.0/me/messages/c", (("$select", LIGHT), *attached), headers)),
    }


def said(response: Response, key: str = "m-~AAk=", at: Mailbox | None = None) -> Any:
    status, found = part(at or box(Reading("text", 20)), key, "AAk=", response, 0.0)
    ((identity, outcome),) = found.items()
    assert identity == "AAk="
    return status, outcome


def answer(row: Any) -> Response:
    return Response(200, {}, orjson.dumps(row))


def test_a_whole_read_is_the_message_and_a_confirmation_what_it_tells() -> None:
    ok = Status(Kind.OK, 200)
    assert said(answer(ROW)) == (ok, message.parse(ROW, Reading("text", 20)))
    assert said(answer({"id": "AAk=", "isRead": True})) == (
        ok,
        message.parse({"id": "AAk=", "isRead": True}, Reading("text", 20)),
    )
    sparse = {"id": "AAk=", "isRead": True, "lastModifiedDateTime": ROW["lastModifiedDateTime"]}
    told: Any = {"id": "AAk=", "unread": False}
    assert said(answer(sparse), "c-~AAk=") == (ok, Fetched(told, "1795514402000"))
    none = box(Reading("none", 20))
    assert said(answer(sparse), "c-~AAk=", none)[1].message == {"id": "AAk=", "unread": False, "body": None}


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"id": "other"}'])
def test_what_is_no_such_message_is_unreadable_and_counts(body: bytes) -> None:
    assert said(Response(200, {}, body)) == (Status(Kind.OK, 200), Failed("unreadable", counts=True))


def test_only_a_404_of_graph_s_own_says_that_a_message_is_gone() -> None:
    at = box(Reading("text", 20))
    at.debts.owe("~AAk=")
    dead = said(refused(410, "SyncStateInvalid"), at=at)
    assert dead == (Status(Kind.NOT_FOUND, 410, "SyncStateInvalid"), Failed("SyncStateInvalid", counts=True))
    proxy = said(Response(404, {}, b"<html>"), at=at)
    assert proxy == (Status(Kind.DOWN, 404), Failed("404", counts=True))
    assert at.debts.any()
    gone = said(refused(404, "ErrorItemNotFound"), at=at)
    assert gone == (Status(Kind.NOT_FOUND, 404, "ErrorItemNotFound"), Gone())
    assert not at.debts.any()


def test_a_part_that_waited_for_another_was_not_tried() -> None:
    assert said(refused(424, "FailedDependency")) == (Status(Kind.REFUSED, 424, "FailedDependency"), NOT_TRIED)


def test_a_denied_part_is_asked_for_alone_before_it_is_believed() -> None:
    at, denied = box(Reading("text", 20)), refused(403, "ErrorAccessDenied")
    wants = Want("AAk="), Want("b")
    assert said(denied, at=at)[0].kind is Kind.THROTTLED
    assert list(parts(at, wants)) == ["m-~b"]
    assert list(parts(at, (wants[0], wants[0]))) == ["m-~AAk="]
    again = said(denied, at=at)
    assert again == (Status(Kind.REFUSED, 403, "ErrorAccessDenied"), Failed("ErrorAccessDenied", counts=True))


@pytest.mark.parametrize("code", ["NotFound", "Request_ResourceNotFound", "ErrorInvalidIdMalformed"])
def test_a_404_of_graph_s_own_is_believed_whatever_its_code(code: str) -> None:
    assert said(refused(404, code))[1] == Gone()


@pytest.mark.parametrize(
    "code", ["ErrorNonExistentMailbox", "MailboxNotEnabledForRESTAPI", "ErrorMailboxMoveInProgress"]
)
def test_a_mailbox_that_is_not_found_deletes_no_mail(code: str) -> None:
    assert said(refused(404, code))[1] == Failed(code, counts=True)


def test_a_refused_part_is_a_failure_with_its_reason_and_its_wait() -> None:
    burst = refused(403, "ErrorAccessDenied")
    at_s = Response(403, {"retry-after": "Thu, 01 Jan 1970 00:00:07 GMT"}, burst.body)
    status = Status(Kind.THROTTLED, 403, "ErrorAccessDenied", 7.0)
    assert said(at_s) == (status, Failed("ErrorAccessDenied", counts=True))
