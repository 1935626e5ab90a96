"""The cache benchmark itself: traces are the same for a seed, policies cost what they say, a short run is whole."""

import json
from pathlib import Path

import pytest

from tests.benchmarks import cache
from tests.benchmarks.policies import GET_UNITS, Figures, everything, lru, newest, no_warming
from tests.benchmarks.traces import Arrival, Mail, Trace, View, trace

TTL_S = 3600.0
OLD, FIRST, SECOND = Mail(0, -60.0, 0, "person0"), Mail(1, 10.0, 1, "person1"), Mail(2, 20.0, 2, "bulk2")
SMALL = Trace(
    "office",
    [OLD],
    [
        *(Arrival(10.0, FIRST), View(11.0, (FIRST,)), Arrival(20.0, SECOND), View(21.0, (OLD,))),
        *(View(22.0, (FIRST, OLD)), View(5000.0, (OLD,))),
    ],
    days=1,
)


def test_a_policy_costs_what_it_reads_ahead_and_what_it_misses() -> None:
    units = GET_UNITS
    assert no_warming(SMALL, 2, TTL_S) == Figures(reads=5, hits=2, ahead=0, missed=3 * units)
    assert lru(SMALL, 2, TTL_S) == Figures(5, 3, 0, 2 * units)
    assert lru(SMALL, 1, TTL_S) == Figures(5, 1, 0, 4 * units)
    assert newest(SMALL, 2, TTL_S) == Figures(5, 3, 3 * units, 2 * units)
    assert everything(SMALL, 2, TTL_S) == Figures(5, 5, 3 * units, 0)


def test_a_trace_is_the_same_for_a_seed_and_nobody_reads_what_has_not_arrived() -> None:
    once, again = trace("owl", 2, 1), trace("owl", 2, 1)
    assert once == again
    assert once != trace("owl", 2, 2)
    there = {mail.number for mail in once.archive}
    for event in once.events:
        match event:
            case Arrival(_, mail):
                there.add(mail.number)
            case View(_, messages):
                assert there.issuperset(mail.number for mail in messages)
    assert not any(isinstance(event, View) for event in trace("nobody", 2, 1).events)


def test_it_plays_traces_over_the_real_thing_and_writes_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "bench-cache.json"
    for name, value in {"DAYS": "1", "PING_MINUTES": "720", "REPORT": str(report)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cache, "USERS", ("nobody", "owl"))
    traces = {"owl": SMALL, "nobody": Trace("nobody", [OLD], [], days=1)}
    monkeypatch.setattr(cache, "trace", lambda user, days, seed: traces[user])
    cache.main()
    written = json.loads(report.read_text())
    assert written["rows"]["Tidemark"]["reads"] == 5
    assert written["promises"]["nothing for who reads nothing"] is True
    assert "LRU of the last N" in capsys.readouterr().out
