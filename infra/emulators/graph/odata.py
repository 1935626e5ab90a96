"""OData as Graph spells it: paths with keys in either form, system options, the Prefer header.

    /me/mailFolders/inbox/messages          the same as
    /me/mailfolders('inbox')/messages
    /users('a%40b.c')/…/messages/delta()    the same as …/messages/delta

Names are case-insensitive, keys are not. Unknown `$options` and unknown properties are refused.
Source: https://learn.microsoft.com/en-us/graph/query-parameters
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import unquote

from infra.emulators.graph.errors import GraphError, bad_request

_KEYED = re.compile(r"^([^()]+)\('(.*)'\)$", re.DOTALL)
_CALL = re.compile(r"^(?:microsoft\.graph\.)?([a-z]+)(?:\(\))?$", re.IGNORECASE)
_COLLECTIONS = {"users", "mailfolders", "childfolders", "messages", "attachments", "subscriptions"}
_FUNCTIONS = {"delta", "$count", "$value"}
_PREFERENCE = re.compile(r'\s*([^=,;"\s]+)\s*(?:=\s*("[^"]*"|[^,;]*))?\s*(?:[,;]|$)')
_SYSTEM_OPTIONS = {
    "$select",
    "$filter",
    "$orderby",
    "$top",
    "$skip",
    "$count",
    "$expand",
    "$search",
    "$skiptoken",
    "$deltatoken",
    "$format",
}

_EXPAND = re.compile(r"^\s*attachments\s*(?:\(\s*\$select=([A-Za-z, ]+)\))?\s*$", re.IGNORECASE)

BodyType = Literal["text", "html"]


def segments(path: str) -> tuple[tuple[str, ...], list[str]]:
    """The path below the version as its shape (names in lower case, `*` for a key) and its keys as they are."""
    shape: list[str] = []
    keys: list[str] = []
    key_follows = False
    for raw in path.strip("/").split("/"):
        part = unquote(raw)
        call = _CALL.match(part)
        name = call[1].lower() if call else part.lower()
        keyed = _KEYED.match(part)
        if key_follows and name not in _FUNCTIONS:
            shape.append("*")
            keys.append(part)
            key_follows = False
        elif keyed:
            shape += [keyed[1].lower(), "*"]
            keys.append(keyed[2].replace("''", "'"))
            key_follows = False
        elif name:
            shape.append(name)
            key_follows = name in _COLLECTIONS
    return tuple(shape), keys


@dataclass(frozen=True, slots=True)
class Options:
    """System options by lower-case name; anything without a `$` is a custom option."""

    values: dict[str, str]

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    def integer(self, name: str, low: int, high: int) -> int | None:
        text = self.values.get(name)
        if text is None:
            return None
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise bad_request(f"Invalid value '{text}' for {name} query option found. It must be {low} to {high}.")
        return int(text)

    def flag(self, name: str) -> bool:
        return self.values.get(name, "").lower() == "true"

    def expanded(self) -> tuple[str, ...] | None:
        """What of the attachments is wanted beside a message, () for all; None for no $expand. Nothing else expands."""
        text = self.values.get("$expand")
        if text is None or not text.strip():
            return None
        match = _EXPAND.match(text)
        if match is None:
            raise bad_request(f"Parsing OData Select and Expand failed: '{text}' can't be expanded on a message.")
        return tuple(name.strip() for name in (match[1] or "").split(",") if name.strip())

    def select(self, properties: dict[str, str], kind: str) -> tuple[str, ...] | None:
        """The selected properties in their right case, `id` among them; None for all."""
        text = self.values.get("$select")
        if text is None or not text.strip() or text.strip() == "*":
            return None
        chosen = ["id"]
        for item in text.split(","):
            name = properties.get(item.strip().lower())
            if name is None:
                message = f"Parsing OData Select and Expand failed: Could not find a property named '{item.strip()}'"
                raise bad_request(f"{message} on type '{kind}'.")
            if name not in chosen:
                chosen.append(name)
        return tuple(chosen)


def options(query: list[tuple[str, str]]) -> Options:
    values: dict[str, str] = {}
    for raw_name, value in query:
        name = raw_name.lower()
        if name.startswith("$") and name not in _SYSTEM_OPTIONS:
            raise bad_request(f"The query parameter '{raw_name}' is not supported.")
        if name.startswith("$") and name in values:
            raise bad_request(f"Query option '{raw_name}' was specified more than once, but it must be at most once.")
        values[name] = value
    return Options(values)


@dataclass(frozen=True, slots=True)
class Prefer:
    page_size: int | None = None
    immutable_ids: bool = False
    body: BodyType | None = None


def prefer(header: str) -> Prefer:
    """What cannot be read is ignored: a preference is a wish (RFC 7240)."""
    said: dict[str, str] = {}
    for match in _PREFERENCE.finditer(header):
        said.setdefault(match[1].lower(), (match[2] or "").strip().strip('"'))
    size = said.get("odata.maxpagesize") or said.get("maxpagesize") or ""
    body = said.get("outlook.body-content-type", "").lower()
    return Prefer(
        page_size=int(size) if re.fullmatch(r"[0-9]{1,9}", size) and int(size) > 0 else None,
        immutable_ids=said.get("idtype", "").lower() == "immutableid",
        body="text" if body == "text" else "html" if body == "html" else None,
    )


def instant_s(text: str) -> float:
    """An OData Edm.DateTimeOffset (quoted is forgiven); GraphError 400 if it is none."""
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.strip().strip("'")))
    except ValueError:
        raise invalid_instant(text) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def invalid_instant(text: str) -> GraphError:
    return bad_request(f"Invalid filter clause: '{text}' is not a DateTimeOffset.")


def instant(seconds: float, precision_s: float = 1.0) -> str:
    if precision_s > 0:
        seconds = seconds // precision_s * precision_s
    moment = datetime.fromtimestamp(seconds, UTC)
    timespec = "seconds" if precision_s >= 1 else "microseconds"
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")
