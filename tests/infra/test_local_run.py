"""`make run` as a person starts it: the report, the ways it ends, and that nothing of it stays behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from infra.emulators.server import Server
from infra.local import stack
from infra.local.stack import PartFailed, Shape, Stack

ROOT = Path(__file__).parents[2]


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    """Seven messages in a folder, one of them with an empty subject."""
    folder = tmp_path / "mail"
    folder.mkdir()
    for n in range(7):
        folder.joinpath(f"{n}.eml").write_text(
            f"From: a@example.org\nSubject: {n or ''}\nDate: Tue, 24 Nov 2026 10:0{n}:00 +0000\n\nx\n"
        )
    return folder


@contextmanager
def running(tmp_path: Path, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """A run whose processes can be told by their TMPDIR."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.local.run"],
        cwd=ROOT,
        env={**kept, "TMPDIR": str(tmp_path), "LATENCY_MS": "20", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for pid in left_behind(tmp_path):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def left_behind(tmp_path: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={tmp_path}\0".encode() in entry.joinpath("environ").read_bytes():
                found.append(int(entry.name))
        except OSError:  # another user's, or it ended meanwhile
            continue
    return found


def test_a_run_once_ends_with_0_and_the_report_and_leaves_no_process(tmp_path: Path, mail: Path) -> None:
    report = tmp_path / "report.json"
    with running(tmp_path, ONCE="1", MAIL=str(mail), REPORT=str(report), INITIAL_SYNC_MESSAGES="all") as process:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert left_behind(tmp_path) == []
    written = json.loads(report.read_text())
    assert (written["latency_ms"], written["clock_rate"]) == (20.0, 60.0)
    rows = {row["provider"]: row for row in written["rows"]}
    assert {name: (row["messages"], row["lost"], row["invented"]) for name, row in rows.items()} == {
        "gmail": (7, 0, 0),
        "outlook": (7, 0, 0),
    }
    assert rows["gmail"]["n_plus_1_calls"] == 8 > rows["gmail"]["calls"]
    assert rows["gmail"]["quota_units"] > 0
    for row in rows.values():
        assert row["redis_requests"] > 0
        assert row["ratio"] == pytest.approx(row["n_plus_1_seconds"] / row["seconds"], abs=0.01)
    head, _, *lines = out.splitlines()
    assert head.split()[:3] == ["provider", "messages", "calls"]
    assert [line.split()[:2] for line in lines[:2]] == [["gmail", "7"], ["outlook", "7"]]
    assert "latency 20 ms a request, clock x60" in out


def until_pushed(process: "subprocess.Popen[str]") -> set[str]:
    """Whose first new message has come by push."""
    assert process.stdout is not None
    said = [line.split() for _, line in zip(range(2), process.stdout, strict=False)]
    return {words[0] for words in said if "by push" in " ".join(words)}


def until_serving(process: "subprocess.Popen[str]") -> list[str]:
    """The lines up to the address that is served; its log as a reader gets it."""
    assert process.stdout is not None
    for line in process.stdout:
        if "curl" in line:
            return line.split("'")[1::2]
    raise AssertionError("it ended before it served")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_new_mail_is_pushed_while_it_serves_and_a_stop_ends_with_0_and_leaves_no_process(
    tmp_path: Path, mail: Path, stop: signal.Signals
) -> None:
    with running(tmp_path, MAIL=str(mail)) as process:
        header, url = until_serving(process)
        key = dict([header.split(": ", 1)])
        assert until_serving(process)
        assert until_pushed(process) == {"gmail", "outlook"}
        told = httpx.get(url, headers=key, trust_env=False).json()["changes"]
        assert [event["data"]["origin"] for event in told[1:]] == ["backfill"] * 7 + ["live"]
        states = httpx.get(httpx.URL(url).join("/accounts"), headers=key, trust_env=False).json()["accounts"]
        assert all(each["watch_expires_at"] for each in states)
        assert len(left_behind(tmp_path)) > 3
        process.send_signal(stop)
        process.send_signal(stop)  # an impatient person
        assert process.wait(30) == 0
        assert left_behind(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_run_that_is_killed_leaves_no_process(tmp_path: Path, mail: Path) -> None:
    with running(tmp_path, MAIL=str(mail)) as process:
        until_serving(process)
        process.kill()
        ends_s = time.monotonic() + 15
        while left_behind(tmp_path) and time.monotonic() < ends_s:
            time.sleep(0.05)
        assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"MAIL": "/no/such/mail"}, "/no/such/mail"),
        ({"GMAIL_BATCH_SIZE": "0"}, "GMAIL_BATCH_SIZE is out of range: 0"),
        ({"CLOCK_RATE": "fast"}, "CLOCK_RATE=fast: a number is wanted"),
        ({"REPORT": "/no/such/folder/report.json"}, "/no/such/folder"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_what_cannot_be_run_is_said_in_one_line_before_anything_starts(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    with running(tmp_path, **variables) as process:
        out, told = process.communicate(timeout=30)
        assert process.returncode == 2
        assert out == ""
        assert len(told.splitlines()) == 1
        assert told.startswith("make run: ")
        assert said in told


def test_a_part_that_does_not_start_is_named_and_the_others_are_stopped(capfd: pytest.CaptureFixture[str]) -> None:
    broken = Stack(Shape(mail="/no/such/mail", latency_ms=0), ("a@example.com",))
    with pytest.raises(PartFailed, match="gmail ended with 2"), broken:
        raise AssertionError("it started")
    assert broken._parts == []
    assert "/no/such/mail" in capfd.readouterr().err


def test_a_port_that_somebody_else_took_is_not_mistaken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions' port is chosen before they bind it: what answers there must know our key, however that begins."""
    free = stack.free_port
    monkeypatch.setattr("infra.local.stack.secrets.token_urlsafe", lambda _: "-begins-like-an-option")

    async def somebody(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("hello", 404)(scope, receive, send)

    with Server(somebody) as server:
        ports = iter([server.port])
        monkeypatch.setattr(stack, "free_port", lambda: next(ports, None) or free())
        with Stack(Shape(latency_ms=0), ("a@example.com",)) as ours:
            assert ours.url != server.url
            key = {"authorization": f"Bearer {ours.key}"}
            assert httpx.get(f"{ours.url}/accounts", headers=key, trust_env=False).status_code == 200
