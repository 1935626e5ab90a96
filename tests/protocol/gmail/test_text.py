"""Text that mail programs wrote, made fit to be stored (shared/protocol/gmail/text.py)."""

import time
from collections.abc import Iterator

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.protocol.gmail import text


def test_a_line_has_no_folds_controls_or_surrogates() -> None:
    assert text.line(" a\r\n b\tc\x00d\x1be\ud800f\x85g\u2028h\xa0 ") == "a b c d e\ufffdf g h"
    assert text.line("wörter 🎉") == "wörter 🎉"


def test_a_block_keeps_its_lines() -> None:
    assert text.block("a\r\n\tb\x00\udfff") == "a\r\n\tb\ufffd\ufffd"


@pytest.mark.parametrize(
    ("value", "decoded"),
    [
        ("plain", "plain"),
        ("=?utf-8?q?caf=C3=A9?=", "café"),
        ("=?UTF-8?B?Y2Fmw6k=?= au lait", "café au lait"),
        ("Re: =?utf-8?q?a_b?=", "Re: a b"),
        (" =?utf-8?q?a?= ", " a "),
        ("=?=?utf-8?q?a?=", "=?a"),
        ("=?gb2312?b?xOO6ww==?= =?gb2312?b?xOO6ww==?= =?utf-8?q?a?=", "你好你好a"),
        ("=?gb2312?b?xOO6ww==?= a =?gb2312?b?xOO6ww==?= b", "你好 a 你好 b"),
        ("=?iso-8859-1?q?Fr日sche?=", "Fr?sche"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?=\r\n =?iso-8859-1?q?=E9?=", "aé"),
        ("=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b"),
        ("=?utf-8?q?in_the_mid=C3?= =?utf-8?b?qWRsZQ==?=", "in the midédle"),
        ("=?utf-8*en?q?caf=C3=A9?=", "café"),
        ("=?iso-8859-1?q?=80_=F6?=", "€ ö"),
        ("=?gb2312?b?xOO6ww==?=", "你好"),
        ("=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"),
        ("=?windows-874?q?=E1=BE=B9?=", "แพน"),
        ("=?iso-8859-8-i?q?=F9?=", "ש"),
        ("=?x-martian?q?caf=E9?=", "café"),
        ("=?x-martian?q?caf=C3=A9?=", "café"),
        ("=??q?a?=", "a"),
        ("=?us-ascii?q?caf=E9?=", "café"),
        ("=?utf-8?q?caf=E9?=", "caf\ufffd"),
        ("=?iso-8859-1?q?Frösche?=", "Frösche"),
        ("=?utf-8?q?Frösche?=", "Frösche"),
        ("=?x-martian?q?Frösche?=", "Frösche"),
        ("=?utf-8?b?Y2Fmw6k?=", "café"),
        ("=?utf-8?b?Y2Fmw6kx?x?=", "café1"),
        ("=?utf-8?q?What??=", "What?"),
        ("=?utf-8?q?never closed", "=?utf-8?q?never closed"),
        ("=?utf-8?x?nothing?= =? ?=", "=?utf-8?x?nothing?= =? ?="),
        ("=?rot13?q?uryyb?=", "uryyb"),
        ("=?unicode_escape?q?=5Cu0041?=", "\\u0041"),
    ],
)
def test_encoded_words_are_decoded(value: str, decoded: str) -> None:
    assert text.decode_words(value) == decoded


def test_a_charset_is_never_looked_up_outside_pythons_own_encodings() -> None:
    assert text.codec("os.path") is None
    assert text.codec("../aliases") is None
    assert text.codec("idna") is None
    assert text.codec("Shift_JIS") == "cp932"


@pytest.mark.parametrize(
    ("raw", "charset", "decoded"),
    [
        ("grün".encode(), "iso-8859-1", "grün"),  # Gmail converted it and kept the header
        ("grün".encode("latin-1"), "iso-8859-1", "grün"),
        ("日本".encode("iso-2022-jp"), "iso-2022-jp", "日本"),
        ("日本".encode(), "iso-2022-jp", "日本"),
        ("日本".encode("shift_jis"), "shift_jis", "日本"),
        ("hello".encode("utf-16"), "utf-16", "hello"),
        ("hello".encode("utf-16-le"), "utf-16-le", "hello"),
        (b"caf\xe9 \x81", None, "café \ufffd"),
        (b"hello", "utf-16", "hello"),
        (b"a\x00b", None, "a\x00b"),
        (b"caf\xe9", None, "café"),
        (b"caf\xe9", "utf-8", "caf\ufffd"),
        (b"caf\xe9 +AOk-", "utf-7", "café +AOk-"),
        (b"caf+AOk-", "unicode-1-1-utf-7", "café"),
        (b"", "x-martian", ""),
    ],
)
def test_a_body_is_utf8_where_it_can_be_and_else_as_declared(raw: bytes, charset: str | None, decoded: str) -> None:
    assert text.decode_body(raw, charset) == decoded


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        ("aGVsbG8=", b"hello"),
        ("aGVsbG8", b"hello"),
        ("-_-_", b"\xfb\xff\xbf"),
        ("+/+/", b"\xfb\xff\xbf"),
        ("aGVs bG8\r\n=", b"hello"),
        ("aGVsbG8=é\ud800", b"hello"),
        ("aGVsb", b"hel"),
        ("aGVsbG8gIQ", b"hello !"),
        ("", b""),
    ],
)
def test_base64_of_either_alphabet_is_read_as_far_as_it_goes(value: str, raw: bytes) -> None:
    assert text.unbase64(value) == raw


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("Tue, 5 Nov 2024 22:44:29 -0500", "2024-11-06T03:44:29.000Z"),
        ("Tue, 5 Nov 2024 22:44:29 -0500 (EST)", "2024-11-06T03:44:29.000Z"),
        ("5 Nov 2024 22:44 GMT", "2024-11-05T22:44:00.000Z"),
        ("Tue,  5 Nov 24 22:44:29 EST", "2024-11-06T03:44:29.000Z"),
        ("Tue Nov  5 22:44:29 2024", "2024-11-05T22:44:29.000Z"),
        ("Tue, 05-Nov-2024 22.44.29 +0000", "2024-11-05T22:44:29.000Z"),
        ("Tue, 5 Nov 2024 22:44:29 -0000", "2024-11-05T22:44:29.000Z"),
        ("Tue, 5 Nov 2024 22:44:29 Martian", "2024-11-05T22:44:29.000Z"),
        ("Tue, 5 Nov 2024\r\n 22:44:29 +0000", "2024-11-05T22:44:29.000Z"),
        ("Tue, 5 Nov 2024 10:44:29 PM +0100", "2024-11-05T21:44:29.000Z"),
        ("Tue, 5 Nov 2024 12:44 a.m. +0000", "2024-11-05T00:44:00.000Z"),
        ("Tue, 5 Nov 2024 12:44 pm +0000", "2024-11-05T12:44:00.000Z"),
        ("Tue, 5 Nov 2024 1:44 pm +0000", "2024-11-05T13:44:00.000Z"),
        ("Tue, 5 Nov 2024 0:44 pm +0000", "2024-11-05T00:44:00.000Z"),
        ("Tue, 5 Nov 2024 13:44 am +0000", "2024-11-05T13:44:00.000Z"),
        ("Tue, 5 Nov 2024 22:44:29 +2359", "2024-11-04T22:45:29.000Z"),
        ("Tue, 5 Nov 2024 22:44:29 +2400", None),
        ("Tue, 5 Nov 2024 22:44 PM +0000", "2024-11-05T22:44:00.000Z"),
        ("Sat, 31 Dec 2016 23:59:60 +0000", "2016-12-31T23:59:59.000Z"),
        ("2024-11-05T22:44:29Z", "2024-11-05T22:44:29.000Z"),
        ("2024-11-05 22:44:29 +01:00", "2024-11-05T21:44:29.000Z"),
        ("2024-11-05 22:44:29+01:00", "2024-11-05T21:44:29.000Z"),
        ("Fri, 31 Dec 2099 23:59:59 +1400", "2099-12-31T09:59:59.000Z"),
        ("Thu, 1 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00.000Z"),
        ("Wed, 31 Dec 1969 23:00:00 +0000", "1969-12-31T23:00:00.000Z"),
        ("", None),
        ("not a date", None),
        ("2024-11-05", None),
        ("Tue, 5 Nov 2024", None),
        ("Tue, 99 Nov 2024 22:44:29 +0000", None),
        ("Tue, 5 Nov 2024 25:00:00 +0000", None),
        ("Tue, 5 Nov 2024 22:44:99 +0000", None),
        ("Tue, 5 Nov 99999 22:44:29 +0000", None),
        ("Fri, 31 Dec 9999 23:59:59 -0500", None),
        ("Tue, 5 Nov 2024 22:44:29 +9900", None),
        ("Tue, 5 Nov 2024 22:44:29 +" + "9" * 6000, None),
    ],
)
def test_a_date_is_an_instant_or_nothing(value: str, instant: str | None) -> None:
    assert text.sent_instant(value) == instant


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as there:
        there.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_a_date_is_the_same_instant_on_a_machine_that_is_elsewhere() -> None:
    assert text.sent_instant("Tue, 5 Nov 2024 22:44:29 +0000") == "2024-11-05T22:44:29.000Z"
    assert text.sent_instant("2024-11-05 22:44:29") == "2024-11-05T22:44:29.000Z"


@pytest.mark.parametrize("unit", ["=?", "=?a?q?", "=?a?q?x?=", "=?a?b?=?= ", "=?u" + "x" * 60 + "?q?a?=", "?="])
def test_hostile_words_cost_linear_time(unit: str) -> None:
    began = time.process_time()
    text.decode_words(unit * (200_000 // len(unit)))
    assert time.process_time() - began < 3


@settings(deadline=None)
@given(st.sampled_from(sorted(text._CODECS)), st.binary(max_size=80))
def test_no_bytes_of_any_charset_raise(charset: str, raw: bytes) -> None:
    for decoded in (text.decode(raw, charset), text.decode_body(raw, charset)):
        orjson.dumps([text.line(decoded), text.block(decoded)])


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=[])), st.sampled_from(["", "=?utf-7?q?", "=?utf-8?b?"]))
def test_no_text_raises(value: str, start: str) -> None:
    orjson.dumps([text.line(text.decode_words(f"{start}{value}?=")), text.sent_instant(value)])
    text.unbase64(value)
