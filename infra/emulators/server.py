"""Serves one ASGI app on 127.0.0.1 from a background thread, so that tests and `make run` speak real HTTP to it.

    with Server(app) as server:
        httpx.get(server.url)

The port is chosen by the kernel unless given; `stop` closes the listener and waits for the thread.
"""

import socket
import threading
from types import TracebackType
from typing import Any, Self

import uvicorn

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0


class Server:
    def __init__(self, app: Any, port: int = 0) -> None:
        self._listener = socket.socket(
            socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
        )  # else asyncio leaves Nagle on
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(
            app, log_level="error", lifespan="off", timeout_keep_alive=120, timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name=f"server-{self.port}", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])

    def start(self) -> Self:
        self._thread.start()
        waited = threading.Event()
        for _ in range(int(START_TIMEOUT_S / 0.005)):
            if self._server.started:
                return self
            if not self._thread.is_alive():
                break
            waited.wait(0.005)
        raise RuntimeError(f"the server on port {self.port} did not start")

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(STOP_TIMEOUT_S)
        self._listener.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
