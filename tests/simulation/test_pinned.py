"""Seeds that once failed, by what was wrong: each failed before it was mended, and fails again without it.

A seed is bound to how plans are made (plan.py): where that changes, look for another one with the mending taken back.
"""

import pytest

from tests.simulation.many import quiet
from tests.simulation.plan import plan
from tests.simulation.run import simulate

pytestmark = pytest.mark.whole

SEEDS = {
    "stored pages that were lost while the listing ran were skipped": ("gmail", 144),
    "the index was lost under a running sync, and messages were created again": ("gmail", 558),
    "another message's answer was taken for a confirmation": ("gmail", 74),
    "candidates older than the floor were read again and again": ("gmail", 82),
    "a listing was judged before history showed the removal beside it": ("gmail", 1157),
    "a first sync begun again forgot what came since the connection": ("gmail", 18),
    "a first listing made again left out what lay between": ("gmail", 4518),
    "an alert was raised twice because the log was full": ("gmail", 1155),
    "a first page asked for again named what had left meanwhile": ("outlook", 2213),
    "a snapshot whose known ids were lost never ended": ("outlook", 2164),
    "a mailbox was asked before the time that another request was told": ("outlook", 277),
    "a page fetched ahead outlived its invocation, and nobody heard its refusal": ("outlook", 7972),
    "a folder went, and the cursor with its sweep was lost": ("outlook", 3957),
    "index and cursor were lost together": ("outlook", 909),
}
HOOKED = {
    "a batch was sent when its lease had ended": ("gmail", 19),
    "a webhook whose place as a reader was lost held up the backfill for a day": ("outlook", 5675),
}


@pytest.mark.parametrize(("provider", "seed"), SEEDS.values(), ids=list(SEEDS))
def test_a_seed_that_once_failed_passes(provider: str, seed: int) -> None:
    with quiet():
        simulate(plan(provider, seed, plain=True))


@pytest.mark.parametrize(("provider", "seed"), HOOKED.values(), ids=list(HOOKED))
def test_a_seed_whose_webhook_once_failed_passes(provider: str, seed: int) -> None:
    with quiet():
        simulate(plan(provider, seed))
