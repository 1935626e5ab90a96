"""Pushes sent all at once, to a process that may not even listen yet: what a platform holds back during a cold start.

Standard library alone and one connection a request, so that asking costs the asked process as little as it can.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RETRY_S, TIMEOUT_S = 0.005, 60.0


@dataclass(frozen=True, slots=True)
class Post:
    path: str
    headers: Mapping[str, str]
    body: bytes


async def burst(port: int, posts: Sequence[Post]) -> list[tuple[int, float]]:
    """Status and seconds from now to the answer, of each."""
    began_s = time.perf_counter()

    async def one(post: Post) -> tuple[int, float]:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await _connected(port)
            given = {"host": "127.0.0.1", "connection": "close", "content-length": str(len(post.body)), **post.headers}
            head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
            writer.write(f"POST {post.path} HTTP/1.1\r\n{head}\r\n".encode() + post.body)
            status = int((await reader.readline()).split()[1])
            took_s = time.perf_counter() - began_s
            writer.close()
            return status, took_s

    return list(await asyncio.gather(*map(one, posts)))


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(RETRY_S)
