"""What can go wrong between Tidemark and Upstash, on demand, and the counters that tests assert.

    kind           the command   the client sees
    drop_request   is not run    a closed connection
    drop_reply     runs          a closed connection, not one byte of the answer
    truncate       runs          half of the answer, then a closed connection
    garbage        runs          200 with HTML in it, as from a proxy in between
    hang           runs          the right answer, `hang_s` seconds late
    refuse         is not run    503 with an HTML page
    unauthorized   is not run    401, as after a changed token

A fault strikes requests that match it: the `nth` one and those after it, `times` in all. Of several armed faults the
first that is due strikes, and those behind it do not see that request.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

Kind = Literal["drop_request", "drop_reply", "truncate", "garbage", "hang", "refuse", "unauthorized"]
KINDS: tuple[str, ...] = get_args(Kind)
BEFORE_RUNNING = frozenset({"drop_request", "refuse", "unauthorized"})

Commands: TypeAlias = Sequence[Sequence[bytes]]
Match: TypeAlias = str | Callable[[Commands], bool]


@dataclass
class Fault:
    kind: Kind
    times: int = 1
    nth: int = 1
    match: Match = ""  # text in a command's name or arguments, in any case; or a function over the request's commands
    hang_s: float = 30.0
    seen: int = 0  # matching requests so far
    struck: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(KINDS)}")
        if self.times < 1 or self.nth < 1 or self.hang_s < 0:
            raise ValueError("times and nth start at 1, hang_s at 0")

    def strikes(self, commands: Commands) -> bool:
        """Counts this request, and says whether the fault hits it; a fault that has struck `times` times is spent."""
        if not self._matches(commands):
            return False
        self.seen += 1
        struck = self.seen >= self.nth and self.struck < self.times
        self.struck += struck
        return struck

    def _matches(self, commands: Commands) -> bool:
        if callable(self.match):
            return self.match(commands)
        wanted = self.match.lower().encode()
        return not wanted or any(wanted in part.lower() for command in commands for part in command)


@dataclass
class Stats:
    requests: int = 0  # HTTP requests with the right path and method for Redis, refused and unauthorised ones too
    commands: int = 0  # Redis commands they carried, but for refused requests
    bytes_in: int = 0  # bodies of requests
    bytes_out: int = 0  # bodies of answers
    by_command: Counter[str] = field(default_factory=Counter)  # the same, by name in capitals

    def count(self, commands: Commands) -> None:
        self.commands += len(commands)
        self.by_command.update([command[0].decode("latin-1").upper() for command in commands])
