"""One sync of a Gmail mailbox over a store in memory, which keeps each append whole."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from shared.core import change
from shared.core.errors import LeaseLost
from shared.core.quota import Governor, Window
from shared.protocol.gmail.cursor import Cursor, Reading
from shared.protocol.gmail.known import Known, pack_id
from shared.protocol.wire import Response
from shared.sync.hydrate import Hydrator
from shared.sync.looks import Looks
from shared.sync.outcome import Objectives, Outcome
from shared.sync.ports import Append, Appended, Begun
from shared.sync.run import Run
from shared.sync.step import Patience, Steps
from tests.protocol.gmail.answers import answer, history, record, resource
from tests.sync.desk import START_S, Desk, batched

ENDLESS = 50  # no test here takes so many steps: what never ends fails at once
QUIET = history(history_id=90)


class Mailbox:
    """A mailbox that was read up to 77, or stands at `cursor`. `refused`: the numbers of the appends that find the log
    full; `hints` come while it is first let go; `limits`: how many ids each walk asked for."""

    def __init__(
        self,
        *answers: Any,
        cursor: Any = None,
        stream: Any = None,
        grant: bool = True,
        budget_s: float = 300.0,
        governor: Governor | None = None,
        **fields: str,
    ) -> None:
        self.desk = Desk(answers, budget_s=budget_s, governor=governor, fields=fields, of=stream)
        self.appended: list[Append] = []
        self.refused: set[int] = set()
        self.hints, self.grant = 0, grant
        self.lost: list[str] = []
        self.limits: list[int] = []
        self.index: dict[str, str] = {}
        self.pages: dict[str, list[str]] = {}
        d = self.desk
        hydrator = Hydrator(d.calls, d.stream, d.clock, Window(8, 60, 60))
        steps = Steps(fields, self, d.stream, hydrator, d.clock, Patience(3, 600), "tag")  # type: ignore[arg-type]
        looks = Looks.of(d.begun, self, d.calls, d.clock)  # type: ignore[arg-type]
        of = (d.begun, cursor or Cursor(Reading(77)), self, d.stream, d.calls, hydrator, steps, d.clock, START_S)
        self.run = Run(*of, Objectives(30.0, 300.0), looks)  # type: ignore[arg-type]
        self.run.take_up(fields)

    def know(self, *message_ids: str, labels: Sequence[str] = ("INBOX",)) -> None:
        value = self.desk.stream.labels.pack(Known(70, frozenset(labels)))
        self.index |= dict.fromkeys(map(pack_id, message_ids), value)

    def store(self, name: str, *message_ids: str) -> None:
        """A page of a stored listing."""
        self.pages[name] = list(map(pack_id, message_ids))

    async def renew(self, begun: Begun) -> None:
        await self.desk.lease.renew(begun)

    async def provider_failed(self, account_id: str) -> float:
        return await self.desk.lease.provider_failed(account_id)

    async def read(self, account_id: str, ids: Any) -> Any:
        assert account_id == "a1"
        assert ids
        return [self.index.get(packed) for packed, _ in ids], [None for _ in ids]

    async def walk(self, account_id: str, table: str, page: int, offset: int, *, unknown: bool, limit: int) -> Any:
        assert account_id == "a1"
        assert unknown is (table != "known")
        self.limits.append(limit)
        assert len(self.limits) < ENDLESS
        if f"{table}/0" not in self.pages:
            return [], page, offset, False, True
        ids = self.pages[f"{table}/{page}"]
        page, begin, offset = (page + 1, offset, 0) if len(ids) <= offset + limit else (page, offset, offset + limit)
        found = [packed for packed in ids[begin : begin + limit] if not (unknown and packed in self.index)]
        return found, page, offset, f"{table}/{page}" not in self.pages, False

    async def tables(self, account_id: str) -> Any:
        assert account_id == "a1"
        return self.pages, self.index

    async def lose_grant(self, begun: Begun, reason: str) -> bool:
        assert begun is self.desk.begun
        self.lost.append(reason)
        return self.grant

    async def append(self, begun: Begun, step: Append) -> Appended:
        assert begun is self.desk.begun
        self.appended.append(deepcopy(step))
        assert len(self.appended) < ENDLESS
        if self.desk.lease.taken:
            raise LeaseLost("another instance holds the mailbox")
        if len(self.appended) in self.refused:
            return Appended(False, log_full=True)
        self.pages = {} if step.clear else self.pages
        if step.note_known:
            self.pages["known/0"] = list(self.index)
        self.pages |= {name: list(ids) for name, ids in step.pages.items()}
        self.index = {packed: value for packed, value in (self.index | step.index).items() if value is not None}
        if step.release and self.hints:
            begun.hints, self.hints = begun.hints + self.hints, 0
            return Appended(False)
        return Appended(step.release or step.let_go)

    async def sync(self) -> Outcome:
        return await self.run.to_the_end()

    @property
    def said(self) -> list[list[str]]:
        """What each append said, an event of a message with its id."""
        return [[_told(*change.parts(stored)) for stored in step.events] for step in self.appended]

    @property
    def cursors(self) -> list[Any]:
        """The cursor that each append stored, or None."""
        texts = [step.fields.get("cursor") for step in self.appended]
        return [text and self.desk.stream.decode(text) for text in texts]


def _told(kind: str, data: Any) -> str:
    message_id = data["message"]["id"] if "message" in data else data.get("message_id", "")
    return f"{kind.removeprefix('message.')} {message_id}".rstrip()


def news(*message_ids: str, token: str | None = None) -> Response:
    return history(record(80, added=message_ids), history_id=90, token=token)


def readable(received: Mapping[str, float] | None = None, **answers: Response) -> Any:
    """A batch endpoint that has every message, but for `answers` by message id; `received` so many seconds ago."""

    def part(key: str) -> Response:
        at_ms = int((START_S - (received or {}).get(key[2:], 0.0)) * 1000)
        return answers.get(key[2:]) or answer(resource(key[2:], ["INBOX"], 80, received_ms=at_ms))

    return batched(part)
