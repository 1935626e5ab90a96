"""`make simulate`: many seeds over all cores, or one seed with its trace.

    SEEDS=10000      how many, from 0 on; "500-999": those
    PROVIDER=gmail   or outlook; without it both
    SEED=7           this one alone: its trace, made small if it fails
    WORKERS=2        processes

Prints seeds, time, seeds a second, and how often each fault was met: a fault that is never met proves nothing.
"""

import os
import sys
import time

from tests.simulation.many import fails, many, quiet
from tests.simulation.plan import plan
from tests.simulation.run import simulate
from tests.simulation.shrink import shrunk
from tests.simulation.witness import Violation

PROVIDERS = ("gmail", "outlook")
SHOWN_MAX = 5


def report(provider: str, seeds: range, workers: int) -> bool:
    """Whether all passed."""
    began_s = time.monotonic()
    met, failed = many(provider, seeds, workers)
    took_s = time.monotonic() - began_s
    print(f"{provider}: {len(seeds)} seeds in {took_s:.1f} s, {len(seeds) / took_s:.0f}/s; {len(failed)} failed")
    for name, count in sorted(met.items()):
        print(f"  {name:24}{count:>9}")
    for seed, what in failed[:SHOWN_MAX]:
        print(f"  FAILED  make simulate PROVIDER={provider} SEED={seed}    {what}")
    return not failed


def trace(provider: str, seed: int) -> bool:
    """The seed's trace; that of its smallest failing part, where it fails."""
    of = plan(provider, seed)
    if fails(of):
        of = shrunk(of, fails)
    lines: list[str] = []
    passed = True
    try:
        simulate(of, lines)
    except Violation as violation:
        lines.append(f"VIOLATION: {violation}")
        passed = False
    print(f"{provider}, seed {seed}: {of.settings | of.mailbox}, {of.mails} mails, batches of {of.hook} pushed")
    print("\n".join(lines))
    return passed


def main() -> int:
    given = os.environ
    providers = [given["PROVIDER"]] if given.get("PROVIDER") else list(PROVIDERS)
    if given.get("SEED"):
        with quiet():
            return int(not all(trace(provider, int(given["SEED"])) for provider in providers))
    first, dash, last = (given.get("SEEDS") or "1000").partition("-")
    seeds = range(int(first), int(last) + 1) if dash else range(int(first))
    workers = int(given.get("WORKERS") or "2")
    passed = [report(provider, seeds, workers) for provider in providers]
    return int(not all(passed))


if __name__ == "__main__":
    sys.exit(main())
