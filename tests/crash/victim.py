"""The functions in processes that end at a chosen step of their I/O, by SIGKILL: no handler, no `finally`, no flush.

    {"port": 8081, "kill_at": 7, "steps": "/tmp/…"}      one line on standard input: serve on the port, die at step 7
    {"pid": 4711}                                        one line on standard output

This process has imported everything and forks for each line, which costs a hundredth of a start. A step is the moment
before a request to Redis or a provider is sent, or after its answer has come, in the one place where each of the three
clients does so. Every step is written to `steps` before it is taken; `kill_at` 0 only counts.
"""

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import functions_framework.aio
import google.oauth2.credentials
import msal
import uvicorn

import functions.app
from shared.adapters.http_client import HttpClient
from shared.adapters.light_http import LightHttp
from shared.adapters.redis_client import RedisClient
from shared.protocol.gmail import history

LOADED = (functions.app, google.oauth2.credentials, msal)
APP = Path(__file__).parents[2] / "functions" / "app.py"


class Steps:
    def __init__(self, path: str, kill_at: int) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._kill_at = kill_at
        self._number = 0

    def take(self, name: str) -> None:
        self._number += 1
        os.write(self._file, f"{name}\n".encode())
        if self._number == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, send: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """For push-webhook's client, which tells nobody of what it sends."""

        async def told(*args: Any, **kwargs: Any) -> Any:
            self.take("before light")
            answer = await send(*args, **kwargs)
            self.take("after light")
            return answer

        return told

    def listen(self) -> None:
        setattr(HttpClient, "_io", lambda _, name: self.take(name))  # noqa: B010 (mypy minds what ruff would have)
        setattr(RedisClient, "_step", lambda _, name: self.take(name))  # noqa: B010
        setattr(LightHttp, "send", self.around(LightHttp.send))  # noqa: B010


def serve(port: int, kill_at: int, steps: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    history.LATE_S = 0.05  # the stand-in shows history at once here: hundreds of kills need not wait for it
    Steps(steps, kill_at).listen()
    asgi = functions_framework.aio.create_asgi_app("app", str(APP))  # type: ignore[no-untyped-call]
    uvicorn.run(asgi, host="127.0.0.1", port=port, log_level="critical", lifespan="off")


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who has ended is gone, not a zombie
    print(json.dumps({"pid": os.getpid()}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.close(0)
            serve(asked["port"], asked["kill_at"], asked["steps"])
            os._exit(0)
        print(json.dumps({"pid": pid}), flush=True)


if __name__ == "__main__":
    main()
