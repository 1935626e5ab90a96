"""A failing plan made small: happenings are left out as long as it still fails, in halves first, then one by one.

What is left may fail for another reason than the whole did: any failure is worth a look, and the trace tells.
"""

from collections.abc import Callable

from tests.simulation.plan import Plan

Fails = Callable[[Plan], bool]


def shrunk(plan: Plan, fails: Fails) -> Plan:
    """The smallest plan that was found; needs some hundred runs."""
    size = max(1, len(plan.happenings) // 2)
    while True:
        plan, smaller = _pass(plan, size, fails)
        if size > 1:
            size //= 2
        elif not smaller:
            return plan


def _pass(plan: Plan, size: int, fails: Fails) -> tuple[Plan, bool]:
    """Each chunk of this size left out if it can be, the last one first."""
    smaller = False
    for first in reversed(range(0, len(plan.happenings), size)):
        candidate = plan.without(frozenset(range(first, first + size)))
        if fails(candidate):
            plan, smaller = candidate, True
    return plan, smaller
