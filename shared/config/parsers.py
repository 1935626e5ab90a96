"""From a variable's text to its value: each parser is a callable that also says what it accepts.

A fault is `Bad`, a phrase that follows the variable's name ("is not a whole number: 'ten'"). Values are repeated only
by the parsers of numbers, switches and choices; everything else may hold a secret and is never shown.
"""

import base64
import binascii
import ipaddress
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

SHOWN_MAX = 40
KEY_BYTES = 32  # AES-256
WEBHOOK_SECRET_BYTES = (
    24,
    64,
)  # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md


class Bad(Exception):
    """What is wrong with the value; one line, without the value where that may be secret."""


@dataclass(frozen=True, slots=True)
class Parser:
    parse: Callable[[str], Any]
    accepted: str

    def __call__(self, text: str) -> Any:
        return self.parse(text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…")


def whole(low: int, high: int) -> Parser:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise Bad(f"is not a whole number: {_shown(text)}")
        if not low <= int(text) <= high:
            raise Bad(f"is out of range: {int(text)}")
        return int(text)

    return Parser(parse, f"a whole number from {low} to {high}")


def number(low: float, high: float) -> Parser:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise Bad(f"is not a number: {_shown(text)}")
        if not low <= value <= high:
            raise Bad(f"is out of range: {value:g}")
        return value

    return Parser(parse, f"a number from {low:g} to {high}")


def whole_or_all(low: int, high: int) -> Parser:
    number_of = whole(low, high)

    def parse(text: str) -> int | None:
        return None if text == "all" else int(number_of(text))

    return Parser(parse, f"{number_of.accepted}, or all")


def choice(*values: str) -> Parser:
    def parse(text: str) -> str:
        if text not in values:
            raise Bad(f"is none of its values: {_shown(text)}")
        return text

    return Parser(parse, " or ".join(values) if len(values) == 2 else ", ".join(values))


def switch() -> Parser:
    values = {"true": True, "1": True, "false": False, "0": False}

    def parse(text: str) -> bool:
        if text.lower() not in values:
            raise Bad(f"is neither true nor false: {_shown(text)}")
        return values[text.lower()]

    return Parser(parse, "true or false")


def pattern(expression: str, accepted: str) -> Parser:
    def parse(text: str) -> str:
        if not re.fullmatch(expression, text):
            raise Bad("does not have the right form")
        return text

    return Parser(parse, accepted)


def field_mask() -> Parser:
    """Its syntax: which names there are is Gmail's to say. A part in parentheses ends its path."""
    name = r"(?:[A-Za-z_][A-Za-z0-9_]*|\*)"
    selector = rf"{name}(?:/{name})*!?"  # "!" stands for what was in parentheses there
    selectors = rf"{selector}(?:,{selector})*"

    def parse(text: str) -> str:
        left, found = text, 1
        if not re.fullmatch(r"[A-Za-z0-9_,/()*]{1,2000}", text):
            raise Bad("does not have the right form")
        while found:
            left, found = re.subn(rf"\({selectors}\)", "!", left)
        if not re.fullmatch(selectors, left):
            raise Bad("does not have the right form")
        return text

    return Parser(parse, "a partial-response mask, as a,b/c,d(e,f)")


def text() -> Parser:
    return pattern(r"[!-~]{1,4096}", "printable ASCII without spaces")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def names_or_all() -> Parser:
    def parse(text: str) -> tuple[str, ...] | None:
        if text == "all":
            return None
        names = tuple(dict.fromkeys(_parts(text)))
        if not names or not all(re.fullmatch(r"[A-Za-z0-9_=+-]{1,512}", name) for name in names):
            raise Bad("does not have the right form")
        return names

    return Parser(parse, "all, or well-known names or ids of folders, comma-separated")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked_url(text: str, *, path_allowed: bool, query_allowed: bool = False) -> str:
    if not re.fullmatch(r"[!-~]{1,2048}", text) or set(text) & set('\\"<>^`{|}'):
        raise Bad("is not a URL")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Bad("is not a URL") from None
    if parts.scheme not in ("https", "http") or not host or port == 0:
        raise Bad("is not an http or https URL")
    if parts.username is not None or parts.password is not None:
        raise Bad("holds a user name or password")
    if parts.scheme == "http" and not _is_loopback(host):
        raise Bad("is plain http to another machine")
    if "#" in text or ("?" in text and not query_allowed):
        raise Bad("has a query or fragment")
    if not path_allowed and parts.path.strip("/"):
        raise Bad("has a path")
    return text if "?" in text else text.rstrip("/")


def url(*, query_allowed: bool = False) -> Parser:
    return Parser(
        lambda text: _checked_url(text, path_allowed=True, query_allowed=query_allowed),
        "an https URL, or http to loopback",
    )


def origin() -> Parser:
    return Parser(lambda text: _checked_url(text, path_allowed=False), "an https origin, or http to loopback; no path")


def origins() -> Parser:
    def parse(text: str) -> tuple[str, ...]:
        return tuple(_checked_url(part, path_allowed=False).lower() for part in _parts(text))

    return Parser(parse, "https origins (or http to loopback), comma-separated")


def _base64_bytes(text: str) -> bytes:
    """Standard or URL-safe alphabet, padding optional."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Bad("is not base64") from None


def keys() -> Parser:
    def parse(text: str) -> tuple[bytes, ...]:
        found = tuple(_base64_bytes(part) for part in _parts(text))
        if not found:
            raise Bad("holds no key")
        for place, key in enumerate(found, 1):
            if len(key) != KEY_BYTES:
                raise Bad(f"has a key of {len(key)} bytes (number {place})")
        if len(set(found)) != len(found):
            raise Bad("holds the same key twice")
        return found

    return Parser(parse, f"{KEY_BYTES}-byte keys in base64, comma-separated, newest first (openssl rand -base64 32)")


def webhook_secrets() -> Parser:
    low, high = WEBHOOK_SECRET_BYTES

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(_parts(text))
        for place, secret in enumerate(found, 1):
            key = secret.removeprefix("whsec_")
            if set(key) & {"-", "_"}:  # a receiver's library would read another key than the one that is meant
                raise Bad(f"has a secret in another alphabet than base64's (number {place})")
            size = len(_base64_bytes(key))
            if not low <= size <= high:
                raise Bad(f"has a secret of {size} bytes (number {place})")
        return found

    return Parser(parse, f"whsec_ and {low} to {high} bytes in base64, comma-separated, newest first")
