"""make crash: the real functions, SIGKILL at each step of their I/O in turn, for every flow of both providers.

Prints the table of flows and steps; ends with 1 if a kill lost or doubled anything. FLOW="first sync" plays one alone.
"""

import os
import sys
import time

from tests.crash.flows import FLOWS
from tests.crash.mailboxes import GmailBox, OutlookBox
from tests.crash.play import Played, play_all
from tests.crash.stage import Stage


def row(played: Played, seconds: float) -> str:
    kinds = [name.partition(" ")[2].split(" ")[0] for name in played.steps if name.startswith("before")]
    redis = sum(kind in ("redis", "light") for kind in kinds)
    figures = f"{len(played.steps):>5} {redis:>6} {len(kinds) - redis:>9} {played.kills:>6}"
    survived = f"{played.kills - len(played.failures):>9} {seconds:>6.1f}"
    return f"{played.provider:<8} {played.flow:<13} {figures} {survived}"


def main() -> int:
    print(
        f"{'provider':<8} {'flow':<13} {'steps':>5} {'redis':>6} {'provider':>9} {'kills':>6} {'survived':>9} {'s':>6}"
    )
    wanted, failures, kills = os.environ.get("FLOW"), [], 0
    for delivers in (False, True):
        flows = [flow for flow in FLOWS if flow.delivers == delivers and wanted in (None, "", flow.name)]
        with Stage(delivers=delivers) as stage:
            for box_of in (GmailBox, OutlookBox):
                for flow in flows:
                    began_s = time.monotonic()
                    played = play_all(stage, box_of, flow)
                    print(row(played, time.monotonic() - began_s), flush=True)
                    failures += played.failures
                    kills += played.kills
    print(f"{kills} kills, {kills - len(failures)} survived")
    print(*failures, sep="\n", file=sys.stderr)
    return 1 if failures or not kills else 0


if __name__ == "__main__":
    sys.exit(main())
