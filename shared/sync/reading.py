"""Messages for an app: through the cache, the rest from the provider, in batches.

    look      cached texts and index entries of all that is asked for                        1 Redis request
    serve     what is cached, with what the log has said since; that is all of a warm read
    admit     account, cool-down, breaker, and of an Outlook mailbox the readers' permit     1 Redis request
    read      as a sync reads: batches of 20, failed parts alone, a 404 in the provider's    ⌈n/20⌉ provider calls
              own words is proof that a message is gone
    keep      what was read, what it cost, a cool-down, the permit back                      1 Redis request

A read needs no lease, and moves no cursor. What can't be read now (cool-down, breaker, quota, a part that fails for
good) is `unavailable`, with the reason; what was cached is answered all the same. A mailbox whose grant is dead is not
read at all, cached or not: its owner has taken the permission back.

A message that the index does not know is older than the floor: it is kept, and named by the next sync as `created`,
because it was read. Only a sync writes the index.

A mailbox in Graph takes 4 requests at a time, and a sync has two, or a batch of them: all readers together have one
permit. With it they send one batch at a time, its parts in turn while a sync runs. Where a sync begins meanwhile, or
has a batch in flight, a part may be refused; it is asked for again.
"""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from shared.core import errors
from shared.core.errors import RetryLater, Throttled, TidemarkError
from shared.core.message import Folder, Message
from shared.protocol import cached
from shared.protocol.step import Failed, Fetched, Gone, Want
from shared.protocol.wire import Request, Response
from shared.sync.asking import Asking
from shared.sync.hydrate import Read
from shared.sync.ports import Admitted, Clock, Keeping, Kept, ReadingStream, ReadStore

FOLDERS_TTL_S = 300.0  # no log tells that a label was renamed
PERMIT_WAIT_S = 8.0  # for other readers of the mailbox
PERMIT_POLL_S = 0.1
PLAIN = re.compile(r"[A-Za-z0-9_=+/.~-]{1,1024}")  # an id that lists and cached texts can hold
MALFORMED = frozenset({"ErrorInvalidIdMalformed", "ErrorInvalidId"})  # what is no id names no message


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox, as its fields describe it. `alone`: readers need the permit."""

    provider: str
    stream: ReadingStream
    tag: str
    alone: bool
    ask: Callable[[Admitted], Asking]
    folders: Callable[[], Generator[Request, Response, list[Folder]]]


@dataclass(slots=True)
class Answer:
    """`found` and `missing` (the provider says so) by what was asked for; `error`: why the rest is unavailable."""

    found: dict[str, Message] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)
    error: TidemarkError | None = None
    provider_calls: int = 0
    whole: bool = True

    @property
    def empty(self) -> bool:
        return not self.found and not self.missing

    def refuse(self, message_ids: Sequence[str], error: TidemarkError) -> None:
        self.unavailable += message_ids
        self.error = error


class Reader:
    """One per request. `open_mailbox` makes its mailbox from the account's fields."""

    def __init__(
        self, store: ReadStore, clock: Clock, open_mailbox: Callable[[Mapping[str, str]], Mailbox], account_id: str
    ) -> None:
        self._store = store
        self._clock = clock
        self._open = open_mailbox
        self._account_id = account_id

    async def messages(self, message_ids: Sequence[str], thread_id: str | None = None) -> Answer:
        """`thread_id`: of all of them; Gmail reads a thread at once where that is cheaper."""
        looked = await self._store.look(self._account_id, message_ids)
        box = self._open(looked.fields)
        answer = Answer()
        wants = []
        for message_id, text, entry in zip(message_ids, looked.texts, looked.entries, strict=True):
            held = cached.unpack(text, box.tag)
            if held is not None and entry is not None:
                held = box.stream.followed(entry, held)
            if held is not None:
                answer.found[message_id] = held.message
            elif box.stream.could_exist(message_id):
                wants.append(Want(message_id, thread_id))
            else:
                answer.missing.append(message_id)
        if wants:
            await self._fetch(box, wants, answer)
        return answer

    async def thread(self, thread_id: str) -> Answer | None:
        """All of a thread, by the time of arrival; None: the provider knows no such thread."""
        looked = await self._store.thread(self._account_id, thread_id)
        if looked.thread is not None:
            answer = await self.messages(looked.thread, thread_id)
            if not answer.missing:
                return _in_order(answer)
        box = self._open(looked.fields)
        admitted = await self._admitted(box)
        asking = box.ask(admitted)
        members, read = await asking.thread(thread_id)
        ids = list(members.found) if members else []
        answer = Answer()
        answer.whole = members is None or members.whole
        kept_as = thread_id if answer.whole else ""
        await self._keep(box, admitted, asking, read, answer, kept_as, noted=looked.thread is not None)
        _settle(read, ids, answer)
        return None if members is None and answer.error is None else _in_order(answer)

    async def folders(self) -> list[Folder]:
        """Gmail's labels or Outlook's folders. Raises what keeps them from being asked for."""
        looked, text = await self._store.labels(self._account_id)
        box = self._open(looked.fields)
        plan = box.folders()
        try:
            request = next(plan)
        except StopIteration as told:
            return list(told.value)
        if text is not None:
            return list(orjson.loads(text))
        admitted = await self._admitted(box)
        asking = box.ask(admitted)
        read = Read()
        found: list[Folder] = []
        try:
            found = await asking.carried_out(plan, request)
        except TidemarkError as error:
            read.error = error
        kept = Kept(admitted.version, (), asking.calls.saved_s(), _hold_s(read.error))
        await self._store.keep(self._account_id, kept)
        _settle(read, (), Answer())
        if read.error is not None:
            raise read.error
        await self._store.labels(self._account_id, orjson.dumps(found).decode(), FOLDERS_TTL_S)
        return found

    async def ahead(self, fields: Mapping[str, str], wants: Sequence[Want]) -> int:
        """For the warmer: how many messages were read into the cache. What can't be read now is left: nobody waits."""
        box = self._open(fields)
        admitted = await self._store.admit(self._account_id, box.provider, alone=box.alone)
        if not isinstance(admitted, Admitted):
            return 0
        asking = box.ask(admitted)
        read = await asking.hydrator.read(wants)
        await self._keep(box, admitted, asking, read, Answer())
        return sum(isinstance(result, Fetched) for result in read.results.values())

    async def _fetch(self, box: Mailbox, wants: Sequence[Want], answer: Answer) -> None:
        ids = [want.message_id for want in wants]
        try:
            admitted = await self._admitted(box)
        except RetryLater as error:
            answer.refuse(ids, error)
            return
        asking = box.ask(admitted)
        read = await asking.read(wants)
        await self._keep(box, admitted, asking, read, answer)
        _settle(read, ids, answer)

    async def _admitted(self, box: Mailbox) -> Admitted:
        """Raises Throttled, BreakerOpen."""
        ends_s = self._clock.now_s() + PERMIT_WAIT_S
        while True:
            found = await self._store.admit(self._account_id, box.provider, alone=box.alone)
            if isinstance(found, Admitted):
                return found
            if found.status == "breaker_open":
                raise errors.BreakerOpen("the provider failed too often", found.retry_after_s)
            if found.status == "cooling_down" or self._clock.now_s() >= ends_s:
                raise Throttled("the provider asks for a pause, or others read the mailbox", found.retry_after_s)
            await self._clock.sleep(PERMIT_POLL_S)

    async def _keep(
        self,
        box: Mailbox,
        admitted: Admitted,
        asking: Asking,
        read: Read,
        answer: Answer,
        thread_id: str = "",
        *,
        noted: bool = False,
    ) -> None:
        """What was read, whatever came after it. A thread is kept only whole."""
        keeping = []
        for message_id, result in read.results.items():
            if not PLAIN.fullmatch(message_id):
                continue
            packed = box.stream.known_id(message_id)
            if isinstance(result, Gone):
                keeping.append(Keeping(message_id, packed or "", None))
            elif isinstance(result, Fetched):
                text = "" if packed is None else cached.pack(result, box.tag, packed)
                keeping.append(Keeping(message_id, packed or "", text, unnamed=box.stream.tracks(result)))
        whole = read.error is None and all(each.text for each in keeping) and len(keeping) == len(read.results)
        thread = tuple(read.results) if thread_id and whole else ()
        kept = Kept(admitted.version, keeping, asking.calls.saved_s(), _hold_s(read.error), thread_id, thread, noted)
        await self._store.keep(self._account_id, kept)
        answer.provider_calls = asking.calls.api_calls


def _hold_s(error: TidemarkError | None) -> float:
    """For how long the provider is not to be asked."""
    return (error.after_s or 0.0) if isinstance(error, Throttled) else 0.0


def _settle(read: Read, message_ids: Sequence[str], answer: Answer) -> None:
    """Raises what ends the request: a dead grant, an account that is gone, a store that is down."""
    if isinstance(read.error, errors.LeaseLost):
        raise errors.BadRequest(404, "unknown_account", "There is no such account.")
    if isinstance(read.error, errors.NeedsUser | errors.StoreDown):
        raise read.error
    for message_id in message_ids:
        result = read.results.get(message_id)
        if isinstance(result, Fetched):
            answer.found[message_id] = result.message
        elif isinstance(result, Gone) or (isinstance(result, Failed) and result.reason in MALFORMED):
            answer.missing.append(message_id)
        else:
            failed = errors.ProviderDown("a message could not be read")
            answer.refuse([message_id], read.error or failed)
    answer.error = answer.error or read.error


def _in_order(answer: Answer) -> Answer:
    """Raises what keeps a part of it away: half a thread would look like a whole one."""
    if answer.error is not None:
        raise answer.error
    by_arrival = sorted(answer.found.items(), key=lambda each: (each[1]["received_at"] or "", each[0]))
    answer.found = dict(by_arrival)
    return answer
