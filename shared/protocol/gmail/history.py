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

Source: https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.history/list
"""

from dataclasses import replace
from typing import Annotated, TypeVar

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
    labelIds: list[Id] = []


class _Record(BaseModel):
    id: HistoryId
    messages: list[_Named] = []
    messagesAdded: list[_Item] = []
    messagesDeleted: list[_Item] = []
    labelsAdded: list[_Item] = []
    labelsRemoved: list[_Item] = []


class _Page(BaseModel):
    history: list[_Record] = []
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
    return Request("GET", "/gmail/v1/users/me/history", tuple(query), units=prices.history_list)


def receive(reading: Reading, response: Response) -> tuple[tuple[Fact, ...], Reading | Pinning, bool]:
    """Facts of one page, the live cursor after it, and whether the round ended. 404: history has expired.

    Raises ProviderDown for an answer that can't be read: nothing advances.
    """
    if response.status == 404:
        return (), Pinning(), False
    page = parsed(_Page, response)
    removals = reading.removals or any(_removes(record) for record in page.history)
    facts = reduced(page.history)
    upto = page.historyId if reading.upto is None else min(reading.upto, page.historyId)
    if page.nextPageToken:
        paging = replace(reading, page_token=page.nextPageToken, upto=upto, removals=removals, untouched=False)
        return facts, paging, False
    return facts, Reading(since=max(reading.since, upto), removals=removals), True


def _removes(record: _Record) -> bool:
    """Whether a message may have left a listing: a label is enough, and so are the two that hide it from most."""
    hidden = any(HIDING.intersection(item.labelIds) for item in record.labelsAdded)
    return bool(record.messagesDeleted or record.labelsRemoved or hidden)


def reduced(records: list[_Record]) -> tuple[Fact, ...]:
    """One fact a message, in the order of their last record: what a page says, with its order taken into account."""
    facts: dict[str, Fact] = {}
    for record in records:
        for named in record.messages:
            _note(facts, named, record.id)
        for item in record.messagesAdded:
            _note(facts, item.message, record.id, gone=False, content=True)
        for item in record.labelsAdded:
            _note(facts, item.message, record.id, labels=dict.fromkeys(item.labelIds, (True, record.id)))
        for item in record.labelsRemoved:
            _note(facts, item.message, record.id, labels=dict.fromkeys(item.labelIds, (False, record.id)))
        for item in record.messagesDeleted:
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
