"""Charsets, RFC 2047 words and RFC 2231 parameters, read so that nothing makes them raise.

Python's own codecs that are no charsets (unicode_escape, idna, …) are refused: a message must not choose them.
Source: RFC 2047 §6.2 (white space between encoded words), RFC 2231 §3, §4
"""

import binascii
import codecs
import re
from urllib.parse import unquote_to_bytes

_NO_CHARSETS = {"unicode_escape", "raw_unicode_escape", "undefined", "idna", "punycode", "mbcs", "oem", "charmap"}
_WORD = re.compile(r"=\?([^?*\s]+)(?:\*[^?]*)?\?([bBqQ])\?([^?]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?[bBqQ]\?[^?]*\?=)\s+(?==\?[^?\s]+\?[bBqQ]\?)")
_PARAM = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:\\.|[^"\\])*"|[^;]*)', re.DOTALL)
_PARAMS_SCAN_MAX = 16384
_SURROGATES = re.compile("[\ud800-\udfff]")


def decode_charset(raw: bytes, charset: str | None) -> str:
    """`raw` as text; an unknown or wrong charset falls back to UTF-8, then Latin-1. No lone surrogates."""
    try:
        text = raw.decode("utf-8" if not charset else _codec(charset))
    except (LookupError, ValueError, TypeError, AssertionError):
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
    return _SURROGATES.sub("\ufffd", text)


def _codec(charset: str) -> str:
    found = codecs.lookup(charset.strip().strip("'\"").strip())
    if found.name.replace("-", "_") in _NO_CHARSETS or not getattr(found, "_is_text_encoding", True):
        raise LookupError(charset)
    return found.name


def decode_words(value: str) -> str:
    """RFC 2047 words decoded; neighbours in one charset are joined first, for characters cut in two."""
    if "=?" not in value:
        return value
    value = _BETWEEN_WORDS.sub(r"\1", value)
    out: list[str] = []
    pending: list[bytes] = []
    charset, end = "", 0
    for match in _WORD.finditer(value):
        if pending and (match.start() > end or match[1].lower() != charset):
            out.append(decode_charset(b"".join(pending), charset))
            pending = []
        out.append(value[end : match.start()])
        pending.append(_word_bytes(match[2].lower(), match[3]))
        charset, end = match[1].lower(), match.end()
    if pending:
        out.append(decode_charset(b"".join(pending), charset))
    return "".join([*out, value[end:]])


def _word_bytes(encoding: str, text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    if encoding == "q":
        return binascii.a2b_qp(raw, header=True)
    clean = re.sub(rb"[^A-Za-z0-9+/]", b"", raw)
    clean = clean[: len(clean) - 1] if len(clean) % 4 == 1 else clean
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))


def parse_params(value: str) -> tuple[str, dict[str, str]]:
    """A Content-Type or Content-Disposition value as (lower-case value, parameters by lower-case name)."""
    value = value[:_PARAMS_SCAN_MAX]
    main, _, _ = value.partition(";")
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[bool, str]]] = {}
    for match in _PARAM.finditer(value):
        name, text = match[1].lower(), match[2].strip()
        if len(text) >= 2 and text[0] == text[-1] == '"':
            text = re.sub(r"\\(.)", r"\1", text[1:-1])
        base, *rest = name.split("*")
        if not rest:
            plain.setdefault(base, text)
            continue
        number = int(rest[0]) if rest[0].isascii() and rest[0].isdigit() and len(rest[0]) < 5 else 0
        pieces.setdefault(base, {}).setdefault(number, (name.endswith("*"), text))
    return main.strip().lower(), plain | {base: _joined(parts) for base, parts in pieces.items()}


def _joined(parts: dict[int, tuple[bool, str]]) -> str:
    charset, raw = "utf-8", b""
    for position, number in enumerate(sorted(parts)):
        extended, text = parts[number]
        if extended and position == 0 and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        raw += unquote_to_bytes(text) if extended else text.encode("utf-8", "replace")
    return decode_charset(raw, charset or "utf-8")
