"""A stretch of a folder's log as the rows one delta round has to show: each message once, with its net change.

    in the stretch                    default ids                          immutable ids
    arrived                           full row                             full row
    changed                           full row, sparse if only isRead      the same
    left                              @removed old id                      @removed
    left, arrived (A→B→A)             @removed old id, full row new id     only @removed (contrib#72, a knob)
    arrived, left                     @removed (a knob)                    @removed (a knob)

An entry is neutral to the id format, since every page of a round may ask for another.
Source: https://learn.microsoft.com/en-us/graph/delta-query-overview
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from infra.emulators.graph.knobs import Knobs
from infra.emulators.graph.mailbox import Event, FolderEvent

EntryKind = Literal["created", "updated", "deleted"]
READ_ONLY = frozenset({"isRead"})


@dataclass(frozen=True, slots=True)
class Entry:
    kind: EntryKind
    immutable_id: str
    mutable_id: str = ""  # of what was removed
    properties: frozenset[str] = frozenset()  # of what was updated
    mutable_only: bool = False  # not shown to a request that prefers immutable ids


@dataclass(slots=True)
class _Net:
    arrived: bool = False
    present: bool = True
    departed: list[str] = field(default_factory=list)  # mutable ids
    seen_before: bool = True  # in the folder before the stretch
    own: set[str] = field(default_factory=set)  # mutable ids that arrived within the stretch
    properties: frozenset[str] = frozenset()


def net_changes(log: Iterable[Event], knobs: Knobs) -> list[Entry]:
    nets: dict[str, _Net] = {}
    for event in log:
        net = nets.get(event.immutable_id)
        if net is None:
            net = nets[event.immutable_id] = _Net(seen_before=event.kind != "arrived")
        if event.kind == "arrived":
            net.arrived = net.present = True
            net.own.add(event.mutable_id)
        elif event.kind == "left":
            net.present = False
            if knobs.report_unseen_removals or event.mutable_id not in net.own:
                net.departed.append(event.mutable_id)
        else:
            net.properties |= event.properties
    return [entry for immutable_id, net in nets.items() for entry in _entries(immutable_id, net, knobs)]


def _entries(immutable_id: str, net: _Net, knobs: Knobs) -> Iterable[Entry]:
    returned = bool(net.departed) and net.present
    removal_shown = bool(net.departed) and (not returned or (knobs.lost_return and net.seen_before))
    for number, mutable_id in enumerate(net.departed, 1):
        last = number == len(net.departed)
        yield Entry("deleted", immutable_id, mutable_id, mutable_only=not (last and removal_shown))
    if net.present:
        kind: EntryKind = "created" if net.arrived else "updated"
        yield Entry(kind, immutable_id, "", net.properties, mutable_only=removal_shown)


def net_folder_changes(log: Iterable[FolderEvent]) -> list[Entry]:
    last: dict[str, EntryKind] = {}
    for event in log:
        kind: EntryKind = {"arrived": "created", "changed": "updated", "left": "deleted"}[event.kind]  # type: ignore[assignment]
        if kind != "updated" or event.folder_id not in last:
            last[event.folder_id] = kind
    return [Entry(kind, folder_id) for folder_id, kind in last.items()]
