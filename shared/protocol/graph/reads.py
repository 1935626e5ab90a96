"""Messages read by id, 20 in a `$batch`: the truth of that moment, and the only proof that one is gone.

    key           asked for                        says
    m-<packed>    everything, the body too         Fetched, whole
    c-<packed>    everything but the body          Fetched, with the fields that it tells
    either        404 with Graph's own error       Gone
    either        403 denied                       once more, by itself: a burst was once answered so
    either        403 denied, by itself            Failed: true of this message; of the account only its chains tell
    either        424                              not tried: the part before it in the batch failed

Source: https://learn.microsoft.com/en-us/graph/api/message-get
"""

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

from shared.core.message import Message
from shared.protocol.graph import message, refusal
from shared.protocol.graph.chains import Mailbox
from shared.protocol.graph.delta import ROOT
from shared.protocol.graph.document import read_json
from shared.protocol.status import Kind, Status
from shared.protocol.step import NOT_TRIED, Failed, Fetched, Gone, Want
from shared.protocol.wire import Request, Response

WHOLE, CONFIRMED = "m-", "c-"
FAILED_DEPENDENCY = 424


def parts(box: Mailbox, wants: Sequence[Want]) -> dict[str, tuple[tuple[Want, ...], Request]]:
    """One part each, by key; what was denied beside others comes alone, once the rest has been read."""
    found: dict[str, tuple[tuple[Want, ...], Request]] = {}
    for want in [want for want in wants if want.message_id not in box.denied] or wants[:1]:
        path = f"{ROOT}/messages/{quote(want.message_id, safe='=')}"
        query = [("$select", message.select(want.content and box.asking.reading.with_body))]
        if box.asking.reading.for_readers:
            query.append(message.ATTACHED)
        key = (WHOLE if want.content else CONFIRMED) + box.ids.pack(want.message_id)
        found[key] = ((want,), box.asking.get(path, *query))
    return found


def part(
    box: Mailbox, key: str, message_id: str, response: Response, now_s: float
) -> tuple[Status, dict[str, Fetched | Gone | Failed | None]]:
    status = refusal.read(response, now_s, of_batch=True)
    if status.kind is Kind.OK:
        return status, {message_id: _read(box, key, message_id, response) or Failed("unreadable", counts=True)}
    if status.kind is Kind.NOT_FOUND and response.status == 404:
        box.debts.settle(box.ids.pack(message_id))
        return status, {message_id: Gone()}
    if refusal.is_burst(response):
        status = replace(status, kind=Kind.REFUSED) if message_id in box.denied else status
        box.denied.add(message_id)
    if response.status == FAILED_DEPENDENCY:
        return status, {message_id: NOT_TRIED}
    return status, {message_id: Failed(status.reason or str(status.http), counts=True)}


def _read(box: Mailbox, key: str, message_id: str, response: Response) -> Fetched | None:
    try:
        row = read_json(response.body)
    except ValueError:
        return None
    if not isinstance(row, dict) or row.get("id") != message_id:
        return None
    whole = message.parse(row, box.asking.reading)
    if key.startswith(WHOLE):
        return whole
    told: Message = {"id": message_id, **message.fields(row, box.asking.reading)}  # type: ignore[typeddict-item]
    return Fetched(told, whole.version)
