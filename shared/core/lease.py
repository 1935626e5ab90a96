"""Who may work on a mailbox, and until when: the arithmetic of leases.

    0 ────────── ttl/3 ────────── 2·ttl/3 ────────── ttl
    renewed      renew again                          expired: another instance may begin, with a higher fence

A request must end before the lease does, so that two holders never overlap at the provider; and with what is left of
its invocation's budget, but for a floor: a provider that is slow has the time to answer. Writes are guarded by the
fencing token, not by the lease: an instance that lost it cannot advance the cursor, however late it wakes up.

Source: https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html
"""

MARGIN_S = 0.5
REQUEST_TIMEOUT_MAX_S = 30.0
REQUEST_TIMEOUT_MIN_S = 10.0  # however little is left of the budget


def renewal_due(renewed_at_s: float, now_s: float, ttl_s: float) -> bool:
    return now_s - renewed_at_s >= ttl_s / 3


def request_timeout_s(renewed_at_s: float, now_s: float, ttl_s: float, budget_s: float) -> float:
    """Longest time a request may take from now; 0 when the lease may already be over. `budget_s` is left to spend."""
    left = renewed_at_s + ttl_s - now_s - min(MARGIN_S, ttl_s / 10)
    return max(0.0, min(REQUEST_TIMEOUT_MAX_S, left, max(budget_s, REQUEST_TIMEOUT_MIN_S)))


def step_wait_max_s(ttl_s: float) -> float:
    """Most governor time that one step may take (DESIGN invariant 4)."""
    return ttl_s / 3
