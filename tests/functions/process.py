"""A function as a process of its own, as it is deployed: started, asked, stopped, and looked for afterwards.

with Process(environment, "-m", "functions.app", "--port", "{port}") as process:
    process.client.get("/status/health")
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx

from infra.local.stack import free_port
from tests.functions.stand import API_KEY, ROOT

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0


class Process:
    def __init__(self, environment: Mapping[str, str], *arguments: str) -> None:
        """`arguments` of this Python; "{port}" stands for a free port."""
        self.port = free_port()
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"authorization": f"Bearer {API_KEY}"},
            timeout=30.0,
            trust_env=False,
        )
        self._told = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process, closed by `stop`
        self._home = tempfile.TemporaryDirectory()  # gunicorn puts a socket there, and complains of another's
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, *(argument.format(port=self.port) for argument in arguments)],
            env={**kept, "HOME": self._home.name, "PYTHONPATH": str(ROOT), **environment},
            cwd=ROOT,
            stdout=self._told,
            stderr=self._told,
            start_new_session=True,
        )

    def until_it_answers(self) -> Self:
        ends_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < ends_s and self.process.poll() is None:
            try:
                self.client.get("/")
                return self
            except httpx.HTTPError:
                time.sleep(0.05)
        raise AssertionError(f"no answer; ended with {self.process.poll()}: {self.told()}")

    def told(self) -> str:
        """What it has written so far, to either stream."""
        self._told.seek(0)
        return self._told.read().decode(errors="replace")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to stop, as a platform or a person does; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_TIMEOUT_S)

    def stop(self) -> None:
        self.client.close()
        for pid in of_session(self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._told.close()
        self._home.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def function(environment: Mapping[str, str], name: str) -> Process:
    """functions-framework around one function, as its header says."""
    return Process(
        environment,
        *(str(Path(sys.executable).with_name("functions-framework")), "--source", f"functions/{name}.py"),
        *("--target", name, "--asgi", "--host", "127.0.0.1", "--port", "{port}"),
    )


def of_session(leader: int) -> list[int]:
    """Processes that live on in the leader's session, itself included."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = entry.joinpath("stat").read_text().rpartition(") ")[2].split()[:4]
        except OSError:  # it ended meanwhile
            continue
        if int(session) == leader and state != "Z":
            found.append(int(entry.name))
    return found
