"""Requests that are no call of a sync, tried again as its calls are: a token's refresh, a profile.

    raised                          what happens
    ProviderDown                    again, after a back-off: no answer, a 5xx, one that can't be read
    Throttled                       likewise, a second later at least
    TokenRefused                    raised: a 4xx is the same when it is asked for again
    a wait that ends too late       raised, with the time that the provider has named

A refresh may be repeated with the token of a request whose answer was lost: Google rotates none, Microsoft leaves the
old one alive when it gives a new one; and the next sync has no other to ask with either.

Source: https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens; facts/graph.md A4
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.adapters.oauth import TokenRefused
from shared.config import Settings
from shared.core import backoff
from shared.core.errors import ProviderDown, Throttled
from shared.sync.ports import Clock

Result = TypeVar("Result")


async def attempted(ask: Callable[[], Awaitable[Result]], settings: Settings, clock: Clock, ends_s: float) -> Result:
    """What `ask` gives, MAX_RETRIES attempts at most; no further one begins after `ends_s`."""
    failures = 0
    while True:
        try:
            return await ask()
        except TokenRefused:
            raise
        except (ProviderDown, Throttled) as error:
            base_s, refused = settings.rate_limit_backoff_factor, isinstance(error, Throttled)
            wait_s = backoff.wait_s(failures, base_s, clock.random(), error.after_s, refused=refused)
            failures += 1
            if failures >= settings.max_retries or clock.now_s() + wait_s > ends_s:
                raise
        await clock.sleep(wait_s)
