"""The benchmark itself, small: every peer runs, the columns are there, and Tidemark misses nothing."""

import json
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as benchmark
from tests.benchmarks.peers import PEERS


def test_it_measures_every_peer_and_writes_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "build" / "bench.json"
    for name, value in {"BENCH_MESSAGES": "12", "LATENCY_MS": "1", "REPORT": str(report)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(benchmark, "FAULTS", {"none": None})
    assert benchmark.main() == 0
    rows = json.loads(report.read_text())["rows"]
    assert [(row["peer"], row["missing"]) for row in rows] == [(peer, 0) for peer in PEERS]
    assert rows[0]["ratio"] == 1.0
    assert [row["http_calls"] for row in rows[1:]] == [13, 2, 2]
    printed = capsys.readouterr().out
    assert all(peer in printed for peer in PEERS)
