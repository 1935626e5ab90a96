"""One JSON object a line on stderr, over stdlib logging; what is not known to be harmless is not written.

    log("sync_finished", account_id="a1", status="synced", count=3, duration_s=0.41)
    log("step_failed", level="error", error=error, account_id="a1")

The guarantee (CONTRACT §3: no log line ever holds a token, a secret, an address or message content) is in the form:
* event and fields: a field has to be named in FIELDS, else only its name is written (`dropped`). A value is a number,
  a switch, None, or a short text of plain characters (no spaces, no `@`); any other is written as "(redacted)";
* exceptions: class, slug and `module:line` of the frames, along the chain; never a message, an argument or a local.
  Tidemark's own errors say their `detail` too (messages without addresses or tokens by their rule, checked once more);
* records of libraries (msal logs whole token answers when they aren't JSON): logger, `module:line` and exception only.

`level` and `severity` say the same, for Railway and Google Cloud. Rejected: structlog (12 ms of cold start, no need).
"""

import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TextIO

import orjson

from shared.core.errors import TidemarkError

FIELDS = frozenset(
    """account_id age_s alert api_calls attempt attempts backlog bytes count created cursor_age_s deleted dropped
    duration_s epoch fence function generation hint_age_s http_status kind limit method more origin pages pending
    provider quarantined quota_units reason redis_requests retry_after_s route run_id slug snapshot_id state status
    step unconfirmed updated waited_s window""".split()  # noqa: SIM905 - a word list reads better than quotes
)
PLAIN = re.compile(r"[A-Za-z0-9_.:/+-]{0,64}")
UNSAFE = re.compile(r"\S*@\S*|[A-Za-z0-9_.~+/=-]{40,}")  # an address; something as long and dense as a token
REDACTED = "(redacted)"
DETAIL_CHARACTERS_MAX = 200
FRAMES_MAX, CHAIN_MAX = 12, 4
LEVELS = MappingProxyType({"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR})

_tidemark = logging.getLogger("tidemark")


def log(event: str, *, level: str = "info", error: BaseException | None = None, **fields: object) -> None:
    """`level`: info, warning or error. Never raises for what it is given: a log line must not end a sync."""
    install()
    shown: dict[str, Any] = {name: safe(value) for name, value in fields.items() if name in FIELDS}
    if len(shown) < len(fields):
        shown["dropped"] = sorted(fields.keys() - FIELDS)
    if error is not None:
        shown["error"] = described(error)
    _tidemark.log(LEVELS.get(level, logging.ERROR), safe(event), extra={"tidemark": shown})


def safe(value: object) -> Any:
    """The value if it is a harmless scalar, else "(redacted)"."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else REDACTED
    return value if isinstance(value, str) and PLAIN.fullmatch(value) else REDACTED


def described(error: BaseException) -> list[dict[str, Any]]:
    """The exception and what caused it, outermost first, without a word of what they say."""
    chain: list[dict[str, Any]] = []
    seen: BaseException | None = error
    while seen is not None and len(chain) < CHAIN_MAX:
        link: dict[str, Any] = {"class": f"{type(seen).__module__}.{type(seen).__qualname__}"}
        if isinstance(seen, TidemarkError):
            link["slug"] = safe(getattr(seen, "slug", None))
            link["detail"] = UNSAFE.sub(REDACTED, str(seen))[:DETAIL_CHARACTERS_MAX]
        frames = [f"{f.f_globals.get('__name__', '?')}:{line}" for f, line in traceback.walk_tb(seen.__traceback__)]
        chain.append({**link, "frames": frames[-FRAMES_MAX:]})
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return chain


class Lines(logging.Formatter):
    """A record as a JSON line: Tidemark's with its fields, any other without its message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {"time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")}
        line |= {"level": record.levelname.lower(), "severity": record.levelname}
        if record.name == _tidemark.name and (shown := getattr(record, "tidemark", None)) is not None:
            line |= {"event": record.msg, **shown}
        else:
            line |= {"event": "library", "logger": record.name, "where": f"{record.module}:{record.lineno}"}
            if record.exc_info and record.exc_info[1]:
                line["error"] = described(record.exc_info[1])
        return orjson.dumps(line, default=lambda _: REDACTED).decode()


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what sys.stderr is at that moment (functions-framework and tests replace it)."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(Lines())

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def install() -> None:
    """Makes JSON lines of everything that is logged in this process; a second call does nothing.

    Without a root handler Python prints the warnings of libraries as they are, messages and all.
    """
    root = logging.getLogger()
    if not any(isinstance(handler, _Stderr) for handler in root.handlers):
        root.addHandler(_Stderr())
        _tidemark.setLevel(logging.INFO)
