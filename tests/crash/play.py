"""One flow with the process killed at one step of its I/O, or at each of them in turn."""

import traceback
from dataclasses import dataclass, field

from tests.crash.flows import Flow
from tests.crash.mailboxes import Box
from tests.crash.stage import Stage, wait_until


@dataclass(slots=True)
class Played:
    """`steps` that the flow takes when nothing goes wrong, how many kills it was given, what did not survive one."""

    provider: str
    flow: str
    steps: list[str]
    kills: int = 0
    failures: list[str] = field(default_factory=list)


def play(stage: Stage, box_of: type[Box], flow: Flow, kill_at: int) -> tuple[list[str], bool]:
    """The steps that the victim took, and whether it was killed. Raises AssertionError if something is lost by it."""
    box = box_of(stage)
    account_id = flow.prepare(stage, box)
    victim = stage.victim(kill_at)
    try:
        flow.act(victim, box, account_id)
        victim.settle(flow.quiet_s if victim.lives() else 0.0)
        steps = victim.steps()
        killed = 0 < kill_at <= len(steps)
        if killed:
            wait_until(lambda: not victim.lives())
            assert len(victim.steps()) == kill_at, "it went on after its kill"
    finally:
        victim.stop()
    stage.mend(box.provider)
    flow.check(stage, box, account_id)
    return steps, killed


def play_all(stage: Stage, box_of: type[Box], flow: Flow, every: int = 1) -> Played:
    """Kills at every step in turn (at every n-th: `every`), until the flow takes fewer."""
    steps, _ = play(stage, box_of, flow, 0)
    played = Played(box_of.provider, flow.name, steps)
    kill_at, killed = 1, True
    while killed:
        try:
            _, killed = play(stage, box_of, flow, kill_at)
        except Exception:
            played.failures.append(f"{played.provider}, {flow.name}, step {kill_at}:\n{traceback.format_exc()}")
            killed = kill_at < len(steps)
        played.kills += killed
        kill_at += every
    return played
