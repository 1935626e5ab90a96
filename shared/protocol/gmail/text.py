"""Text that mail programs wrote, made fit to be shown and stored: nothing raises, nothing leaves that JSON can't hold.

    what is wrong                               what comes out
    folded line, control character, NUL         joined, a space, a space (U+FFFD in a body)
    lone surrogate                              U+FFFD
    encoded word left by the provider           decoded; neighbours joined, so a character cut in two is whole
    unknown charset, or one that does not fit   UTF-8 if it is, else Windows-1252
    iso-8859-1, gb2312, euc-kr, shift_jis …     the superset that senders really use
    body in UTF-8 whose header says otherwise   UTF-8: Gmail converts bodies and keeps the old Content-Type
    date out of the calendar, or no date        None; a missing or unknown zone is UTC

A charset is looked up among Python's own names, never by importing a module the message names.

Source: RFC 2047, RFC 5322 §4.3; https://encoding.spec.whatwg.org/#names-and-labels;
https://github.com/openclaw/gogcli/issues/446 (body.data is UTF-8), /issues/126 (not always)
"""

import binascii
import re
from datetime import UTC, datetime
from email.utils import parsedate_tz
from encodings.aliases import aliases
from functools import lru_cache

from shared.core.message import instant, instant_s

DATE_CHARACTERS_MAX = 128  # RFC 5322 dates have 31, with a comment 40
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORD_HEAD = re.compile(r"=\?([^?*\s]{0,64})(?:\*[^?\s]{0,64})?\?([bBqQ])\?")
_NOT_NAME = re.compile(r"[^a-z0-9]+")
_HALF_DAY = re.compile(r"\b(\d{1,2})(:\d\d(?::\d\d)?)\s?([AaPp])\.?[Mm]\b\.?")

_NOT_TEXT = {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec", "mbcs"}
_CODECS = (set(aliases.values()) | {"koi8_u", "cp874", "utf_8_sig", "cp720", "cp856"}) - _NOT_TEXT
_LABELS = {  # what mail says and Python does not know
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_6_i": "iso8859_6",
    "windows_874": "cp874",
    "x_sjis": "cp932",
    "x_gbk": "gb18030",
    "x_euc_jp": "euc_jp",
    "unicode_1_1_utf_7": "utf_7",
    "utf8mb4": "utf_8",
}
_SUPERSETS = {
    "latin_1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
}
_SEVEN_BIT = ("iso2022", "hz", "utf_7")  # not UTF-8 although every byte is ASCII
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64 + b"-_"))


def line(text: str) -> str:
    """One line of header text: unfolded, no control characters, no white space at its ends."""
    if not text.isprintable():
        text = _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", _FOLD.sub("", text)))
    return text.strip()


def block(text: str) -> str:
    """Text of many lines: line ends and tabs stay, NUL and lone surrogates become U+FFFD."""
    return _SURROGATE.sub("\ufffd", text).replace("\x00", "\ufffd")


@lru_cache(maxsize=256)
def codec(charset: str) -> str | None:
    """Python's codec for a charset's label; None for one that is unknown or no text encoding."""
    name = _NOT_NAME.sub("_", charset[:64].lower()).strip("_")
    name = _LABELS.get(name) or aliases.get(name, name)
    if name not in _CODECS or name == "ascii":  # who says ASCII and writes 8 bits has said nothing
        return None
    return _SUPERSETS.get(name, name)


def decode(raw: bytes, charset: str | None) -> str:
    """`raw` in its declared charset, else in what fits; may hold NULs and lone surrogates (`line`, `block`)."""
    declared = codec(charset) if charset else None
    if declared == "utf_7" and not raw.isascii():
        declared = None
    for name in (declared, "utf_8"):
        if name is not None:
            try:
                return raw.decode(name)
            except UnicodeError:
                pass
    return raw.decode(declared or "cp1252", "replace")


def decode_body(raw: bytes, charset: str | None) -> str:
    """A body's bytes: UTF-8 where they are, as Gmail converts them, else as declared."""
    declared = (codec(charset) if charset else None) or ""
    if not raw.isascii() or not (declared.startswith(_SEVEN_BIT) or b"\x00" in raw):
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return decode(raw, charset)


def decode_words(value: str) -> str:
    """RFC 2047 words decoded, everything else as it stands."""
    if "=?" not in value:
        return value
    out: list[str] = []
    pending: list[bytes] = []
    charset = ""
    end = at = 0
    while (start := value.find("=?", at)) >= 0:
        head = _WORD_HEAD.match(value, start)
        if head is None:
            at = start + 2
            continue
        stop = value.find("?=", head.end())
        if stop < 0:
            break
        gap = value[end:start]
        joined = end > 0 and not gap.strip()
        if not joined or head[1].lower() != charset:
            out.append(decode(b"".join(pending), charset))
            pending = []
        if not joined:
            out.append(gap)
        charset = head[1].lower()
        pending.append(_word_bytes(head[2], value[head.end() : stop], charset))
        end = at = stop + 2
    return "".join([*out, decode(b"".join(pending), charset), value[end:]])


def _word_bytes(encoding: str, text: str, charset: str) -> bytes:
    if encoding in "bB":
        return unbase64(text)
    # 8-bit characters inside a word were bytes of its charset before somebody decoded the header's line.
    raw = text.encode("ascii" if text.isascii() else codec(charset) or "utf-8", "replace")
    return binascii.a2b_qp(raw, header=True)


def unbase64(text: str) -> bytes:
    """Base64 of either alphabet, padded or not, with junk in it or cut short."""
    raw = text.encode("ascii", "ignore").translate(_URL_SAFE, _NOT_BASE64)
    if len(raw) % 4 == 1:
        raw = raw[:-1]
    return binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))


def sent_instant(value: str) -> str | None:
    """RFC 3339 in UTC of a Date header; None for what names no moment of the calendar."""
    text = line(value)[:DATE_CHARACTERS_MAX]
    if text[:4].isdigit() and ":" in text and (iso_s := instant_s(text)) is not None:
        return instant(iso_s)
    try:
        parsed = parsedate_tz(_HALF_DAY.sub(_whole_day, text))
        if parsed is None:
            return None
        year, month, day, hour, minute, second = parsed[:6]
        moment = datetime(year, month, day, hour, minute, 59 if second == 60 else second, tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    offset_s = parsed[9] or 0
    return instant(moment.timestamp() - offset_s) if abs(offset_s) < 86400 else None


def _whole_day(match: re.Match[str]) -> str:
    hour = int(match[1])
    if 1 <= hour <= 12:
        hour = hour % 12 + (12 if match[3] in "pP" else 0)
    return f"{hour:02}{match[2]}"
