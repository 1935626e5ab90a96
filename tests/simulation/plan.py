"""A seed as a list of happenings, made before anything runs: what a failing seed is shrunk by.

Each happening has a roll of its own, so that leaving one out does not change what the others do. What is left to the
run's dice (latencies, the order of parts) follows from the seed as well.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

HAPPENINGS = 26
SKEW_MAX_S = 2.0


@dataclass(frozen=True, slots=True)
class Happening:
    """`kind`: a method of the simulation. `roll` is what it decides by."""

    at_s: float
    kind: str
    roll: int

    def __str__(self) -> str:
        return f"{self.at_s:9.3f} s  {self.kind}"


@dataclass(frozen=True, slots=True)
class Plan:
    """`settings` differ from the defaults; `mailbox` are the fake's knobs; `skews_s` the instances' clocks.

    `rebuilt`: connected under an old name, as after Redis was lost: the first sync is a snapshot. `hook`: events that a
    batch of the webhook may have, 0 where there is none. `watch`: the provider is asked to push.
    """

    provider: str
    seed: int
    settings: dict[str, Any]
    mailbox: dict[str, Any]
    mails: int
    skews_s: tuple[float, ...]
    outer_401: bool
    rebuilt: bool
    happenings: tuple[Happening, ...]
    hook: int = 0
    watch: bool = False

    def without(self, some: frozenset[int]) -> "Plan":
        """The same seed with some of its happenings left out, by their number."""
        return replace(self, happenings=tuple(h for n, h in enumerate(self.happenings) if n not in some))


# kind -> weight. Invocations are the larger part: between any two things that happen there may be one.
KINDS: dict[str, int] = {
    "mailbox": 34,
    "sync": 22,
    "push": 7,
    "ping": 3,
    "fault_whole": 8,
    "fault_part": 9,
    "fault_store": 5,
    "poison": 2,
    "kill": 6,
    "pause": 4,
    "wait": 3,
    "wait_long": 1,
    "expire": 2,
    "ask": 2,
    "lose_key": 1,
    "lose_cache": 1,
    "revoke": 1,
    "read": 3,
}
# Where the log is pushed to an app: strewn among the others.
HOOK_KINDS: dict[str, int] = {
    "hook_trouble": 10,
    "hook_store": 4,
    "hook_kill": 5,
    "hook_pause": 5,
    "hook_again": 4,
    "hook_two": 4,
    "hook_other": 4,
    "hook_lose": 1,
    "hook_day": 2,
}
HOOK_SHARE, WATCH_SHARE = 0.4, 0.25


def plan(provider: str, seed: int, *, plain: bool = False) -> Plan:
    """`plain`: the same without a webhook and a watch."""
    dice = Random(f"{provider}-{seed}")
    count = dice.choice((8, 16, HAPPENINGS, HAPPENINGS))
    kinds = dice.choices(tuple(KINDS), tuple(KINDS.values()), k=count)
    at_s = 0.0
    happenings = []
    for kind in kinds:
        at_s += dice.choice((0.0, 0.02, 0.1, 0.5, 1.5, 4.0, 20.0)) * dice.random()
        happenings.append(Happening(round(at_s, 3), kind, dice.getrandbits(32)))
        if kind == "wait":
            at_s += dice.choice((30.0, 70.0, 700.0))
        elif kind == "wait_long":
            at_s += dice.choice((4_000.0, 90_000.0))
    made = Plan(
        provider=provider,
        seed=seed,
        settings=_settings(dice)
        | ({} if provider == "gmail" else {"max_sync_duration": dice.choice((5.0, 20.0, 300.0))}),
        mailbox=_gmail(dice) if provider == "gmail" else _outlook(dice),
        mails=dice.choice((0, 2, 5, 9, 14)),
        skews_s=tuple(round(dice.uniform(-SKEW_MAX_S, SKEW_MAX_S), 3) for _ in range(dice.choice((2, 3, 4)))),
        outer_401=dice.random() < 0.3,
        rebuilt=dice.random() < 0.2,
        happenings=tuple(happenings),
    )
    if plain:
        return made
    made = _hooked(made, dice) if dice.random() < HOOK_SHARE else made
    return replace(made, watch=dice.random() < WATCH_SHARE)


def _hooked(plan: Plan, dice: Random) -> Plan:
    strewn = []
    for kind in dice.choices(tuple(HOOK_KINDS), tuple(HOOK_KINDS.values()), k=dice.choice((2, 5, 9))):
        at_s = dice.choice(plan.happenings).at_s + dice.choice((0.0, 0.1, 1.0, 60.0)) * dice.random()
        strewn.append(Happening(round(at_s, 3), kind, dice.getrandbits(32)))
    happenings = sorted((*plan.happenings, *strewn), key=lambda happening: happening.at_s)
    return replace(plan, happenings=tuple(happenings), hook=dice.choice((1, 3, 100, 100)))


def _settings(dice: Random) -> dict[str, Any]:
    return {
        "initial_sync_messages": dice.choice((None, None, 0, 3, 100)),
        "max_sync_duration": dice.choice((0.5, 20.0, 300.0)),
        "quarantine_after": dice.choice((0.0, 600.0)),
        "gmail_batch_size": dice.choice((2, 5, 20)),
        "gmail_max_concurrent_batches": dice.choice((1, 3)),
        "gmail_units_per_minute": dice.choice((600, 6_000, 6_000)),
        "circuit_breaker_failure_threshold": dice.choice((2, 5)),
        "lease_ttl": dice.choice((6.0, 60.0)),
        "log_retention_bytes": dice.choice((3_000, 8_000, 4_194_304)),
        "log_retention_days": dice.choice((0.5, 7.0)),
        "outlook_page_size": dice.choice((2, 50)),
        "outlook_max_parallel_pages": dice.choice((1, 5)),
        "outlook_body": dice.choice(("text", "none")),
    }


def _gmail(dice: Random) -> dict[str, Any]:
    return {
        "page": dice.choice((2, 5, 500)),
        "live_pages": dice.random() < 0.5,
        "labels": dice.choice(("then", "now", "absent")),
        "empty_pages": dice.choice((0.0, 0.0, 0.3)),
        "late_s": dice.choice((0.0, 0.0, 1.0, 2.9)),
        "retention_s": dice.choice((3_600.0, 604_800.0, 604_800.0)),
    }


def _outlook(dice: Random) -> dict[str, Any]:
    return {
        "short_pages": dice.choice((0.0, 0.4)),
        "empty_pages": dice.choice((0.0, 0.0, 0.2)),
        "replays": dice.choice((0.0, 0.3)),
        "doubles": dice.choice((0.0, 0.2)),
        "late_s": dice.choice((0.0, 0.0, 2.0)),
    }
