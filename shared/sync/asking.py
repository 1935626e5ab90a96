"""What a read asks of its provider: messages by id, a thread, a plan of several requests."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from shared.core.errors import TidemarkError
from shared.protocol.step import NOT_TRIED, Failed, Fetched, Gone, Members, Want
from shared.protocol.wire import Request, Response
from shared.sync.calls import Calls
from shared.sync.hydrate import Hydrator, Read
from shared.sync.ports import ReadingStream

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Asking:
    """What a provider is asked with; `stream` may differ from the mailbox's: it knows whether a sync is running."""

    stream: ReadingStream
    calls: Calls
    hydrator: Hydrator

    async def read(self, wants: Sequence[Want]) -> Read:
        """Parts that were not tried, since one before them failed, are asked for again: there are fewer each time."""
        read = Read()
        while wants:
            some = await self.hydrator.read(wants)
            read.results |= some.results
            read.error = some.error
            again = [want for want in wants if some.results.get(want.message_id) == NOT_TRIED]
            wants = again if len(again) < len(wants) and some.error is None else ()
        return read

    async def thread(self, thread_id: str) -> tuple[Members | None, Read]:
        """A message of it that can't be read there is read alone."""
        try:
            members = await self._members(thread_id)
        except TidemarkError as error:
            return None, Read(error=error)
        found = members.found if members else {}
        read = await self.read([Want(each) for each, fetched in found.items() if fetched is None])
        whole: dict[str, Fetched | Gone | Failed] = {}
        for each, fetched in found.items():
            result = fetched or read.results.get(each)
            if result is not None:
                whole[each] = result
        return members, Read(whole, read.error)

    async def _members(self, thread_id: str) -> Members | None:
        plan = self.stream.thread(thread_id)
        try:
            request = next(plan)
        except StopIteration:  # what is no id names no thread
            return None
        return await self.carried_out(plan, request)

    async def carried_out(self, plan: Generator[Request, Response, Told], request: Request) -> Told:
        """What a begun plan comes to, whose first request is given."""
        try:
            while True:
                request = plan.send(await self.calls.ask(request))
        except StopIteration as ended:
            told: Told = ended.value
            return told
