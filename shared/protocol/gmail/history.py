"""Gmail's change stream: history.list pages reduced to facts.

    record              fact about the message
    messagesAdded       may be new: content
    labelsAdded         label present as of this record (content too, where the message is unknown)
    labelsRemoved       label absent as of this record
    messagesDeleted     gone, to be confirmed by a read; moving to TRASH is a label, not a deletion

Records of a page are reduced in their order: per message and label the last record wins, and an added message that the
same page deletes is only gone. `labelIds` inside messagesAdded are no authority (nobody says if they are of then or of
now), so added messages are read. A round's history id is taken over only where there is no nextPageToken, and it is
the one of the round's first page: later pages report a newer one, but need not show the records in between.

A page token that is refused is dropped: the round begins anew, from the same history id. A record that can't be read is
passed over, and what it may have said is found by a comparison: one odd record must not hold up all that follows.

Source: https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.history/list
"""

from dataclasses import replace
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from shared.core.errors import ProviderDown
from shared.core.quota import Prices
from shared.protocol.gmail.cursor import Pinning, Reading
from shared.protocol.step import Fact
from shared.protocol.wire import Request, Response

PAGE_SIZE_MAX = 500  # https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.history/list
HISTORY_ID_MAX = 2**64 - 1
LATE_S = 3.0  # facts/gmail.md §3: history was seen empty for 1 to 3 s after a change
HIDING = frozenset({"SPAM", "TRASH"})  # not listed unless asked for

HistoryId = Annotated[int, Field(ge=0, le=HISTORY_ID_MAX)]
Id = Annotated[str, Field(min_length=1, max_length=256)]


Model = TypeVar("Model", bound=BaseModel)


class _Named(BaseModel):
    id: Id
    threadId: Id | None = None


class _Item(BaseModel):
    message: _Named
    labelIds: list[Id] | None = None


class _Record(BaseModel):
    id: HistoryId
    messages: list[_Named] | None = None
    messagesAdded: list[_Item] | None = None
    messagesDeleted: list[_Item] | None = None
    labelsAdded: list[_Item] | None = None
    labelsRemoved: list[_Item] | None = None


class _Page(BaseModel):
    history: list[Any] | None = None
    nextPageToken: Annotated[str, Field(max_length=4096)] | None = None
    historyId: HistoryId


class _Profile(BaseModel):
    emailAddress: Annotated[str, Field(min_length=3, max_length=320)]
    historyId: Annotated[int, Field(ge=1, le=HISTORY_ID_MAX)]


def profile_request(prices: Prices) -> Request:
    return Request("GET", "/gmail/v1/users/me/profile", units=prices.profile)


def receive_profile(response: Response) -> tuple[str, int]:
    """The mailbox's address and its current history id."""
    profile = parsed(_Profile, response)
    return profile.emailAddress, profile.historyId


def request(reading: Reading, prices: Prices) -> Request:
    query = [("startHistoryId", str(reading.since)), ("maxResults", str(PAGE_SIZE_MAX))]
    if reading.page_token:
        query.append(("pageToken", reading.page_token))
    perishable = reading.page_token is not None
    return Request("GET", "/gmail/v1/users/me/history", tuple(query), units=prices.history_list, perishable=perishable)


def receive(reading: Reading, response: Response) -> tuple[tuple[Fact, ...], Reading | Pinning, bool]:
    """Facts of one page, the live cursor after it, and whether the round ended. 404: history has expired.

    Raises ProviderDown for an answer that can't be read: nothing advances.
    """
    if response.status == 404:
        return (), Pinning(), False
    if response.status >= 400:
        return (), replace(reading, page_token=None, upto=None), False
    page = parsed(_Page, response)
    said = page.history or []
    records = [record for each in said if (record := _record(each)) is not None]
    removals = reading.removals or any(_removes(record) for record in records)
    unreadable = len(records) < len(said)
    upto = page.historyId if reading.upto is None else min(reading.upto, page.historyId)
    if page.nextPageToken:
        another(page.nextPageToken, reading.page_token)
        paging = Reading(reading.since, page.nextPageToken, upto, removals=removals, unreadable=unreadable)
        return reduced(records), paging, False
    after = Reading(max(reading.since, upto), removals=removals, unreadable=unreadable)
    return reduced(records), after, True


def another(token: str, before: str | None) -> None:
    """Raises ProviderDown for a page that names itself as the next: it would be read for ever."""
    if token == before:
        raise ProviderDown("the page is its own next page")


def _record(said: object) -> _Record | None:
    try:
        return _Record.model_validate(said)
    except ValidationError:
        return None


def _removes(record: _Record) -> bool:
    """Whether a message may have left a listing: a label is enough, and so are the two that hide it from most."""
    hidden = any(HIDING.intersection(item.labelIds or ()) for item in record.labelsAdded or ())
    return bool(record.messagesDeleted or record.labelsRemoved or hidden)


def reduced(records: list[_Record]) -> tuple[Fact, ...]:
    """One fact a message, in the order of their last record: what a page says, with its order taken into account."""
    facts: dict[str, Fact] = {}
    for record in records:
        for named in record.messages or ():
            _note(facts, named, record.id)
        for item in record.messagesAdded or ():
            _note(facts, item.message, record.id, gone=False, content=True)
        for item in record.labelsAdded or ():
            _note(facts, item.message, record.id, labels=dict.fromkeys(item.labelIds or (), (True, record.id)))
        for item in record.labelsRemoved or ():
            _note(facts, item.message, record.id, labels=dict.fromkeys(item.labelIds or (), (False, record.id)))
        for item in record.messagesDeleted or ():
            _note(facts, item.message, record.id, gone=True)
    return tuple(facts.values())


def _note(
    facts: dict[str, Fact],
    named: _Named,
    version: int,
    labels: dict[str, tuple[bool, int]] | None = None,
    gone: bool | None = None,
    content: bool = False,
) -> None:
    before = facts.pop(named.id, None) or Fact(named.id)
    facts[named.id] = replace(
        before,
        thread_id=named.threadId or before.thread_id,
        version=str(version),
        labels={**(before.labels or {}), **(labels or {})},
        gone=before.gone if gone is None else gone,
        content=before.content or content,
    )


def parsed(model: type[Model], response: Response) -> Model:
    """The answer as `model`; ProviderDown for anything else, so that nothing advances over what was not read."""
    try:
        return model.model_validate_json(response.body)
    except ValidationError as error:
        raise ProviderDown(f"the answer is not a {model.__name__.strip('_').lower()}") from error
