"""Time, sleep and randomness of a real process. Everything that decides takes them as arguments."""

import asyncio
import random
import secrets
import time


class SystemClock:
    def now_s(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def random(self) -> float:
        """Uniform in [0, 1): for jitter, not for secrets."""
        return random.random()

    def token(self) -> str:
        """128 random bits in hex: names of invocations, boundaries, ids; good enough for secrets."""
        return secrets.token_hex(16)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
