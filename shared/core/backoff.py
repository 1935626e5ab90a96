"""How long to wait before the next attempt: exponential with full jitter, never shorter than the provider asks.

Source: https://developers.google.com/workspace/gmail/api/guides/handle-errors ("at least one second after the error").
"""

OWN_WAIT_MAX_S = 60.0
REFUSED_WAIT_MIN_S = 1.0


def wait_s(attempt: int, base_s: float, random: float, asked_s: float | None = None, *, refused: bool = False) -> float:
    """Seconds before attempt number `attempt` + 1 (from 0); `random` is uniform in [0, 1).

    `asked_s` is what the provider asked for (Retry-After or a time in its text): a lower bound. `refused`: for rate.
    """
    own = random * min(OWN_WAIT_MAX_S, base_s * float(2 ** min(attempt, 16)))
    if refused:
        own = max(own, REFUSED_WAIT_MIN_S)
    return max(own, asked_s or 0.0)
