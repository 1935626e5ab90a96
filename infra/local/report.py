"""The report of `make run`: one row a provider, as a table for a person and as JSON for a program."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson


@dataclass(frozen=True, slots=True)
class Row:
    """`lost` and `invented` compare the folded change log with the mailbox."""

    provider: str
    messages: int
    calls: int
    n_plus_1_calls: int
    quota_units: int
    redis_requests: int
    seconds: float
    n_plus_1_seconds: float
    lost: int
    invented: int

    @property
    def ratio(self) -> float:
        return self.n_plus_1_seconds / self.seconds if self.seconds else 0.0


COLUMNS = (
    ("provider", "{0.provider}"),
    ("messages", "{0.messages}"),
    ("calls", "{0.calls}"),
    ("N+1 calls", "{0.n_plus_1_calls}"),
    ("quota units", "{0.quota_units}"),
    ("Redis requests", "{0.redis_requests}"),
    ("seconds", "{0.seconds:.2f}"),
    ("N+1 seconds", "{0.n_plus_1_seconds:.2f}"),
    ("ratio", "{0.ratio:.1f}x"),
    ("lost", "{0.lost}"),
    ("invented", "{0.invented}"),
)


def table(rows: Sequence[Row], latency_ms: float, clock_rate: float) -> str:
    lines = [[title for title, _ in COLUMNS], *([form.format(row) for _, form in COLUMNS] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    drawn = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    drawn.insert(1, "  ".join("-" * width for width in widths))
    drawn.append(f"emulator: latency {latency_ms:g} ms a request, clock x{clock_rate:g}")
    return "\n".join(drawn)


def write(path: str, rows: Sequence[Row], latency_ms: float, clock_rate: float) -> None:
    report = {
        "latency_ms": latency_ms,
        "clock_rate": clock_rate,
        "rows": [{**asdict(row), "ratio": round(row.ratio, 2)} for row in rows],
    }
    Path(path).write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n")
