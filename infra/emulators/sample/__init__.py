"""The built-in mailbox: 120 messages of our own making, the same on every run, odd ones among them.

    per dozen   what
    4           a thread: question, two answers (In-Reply-To, References), a quote
    1           text and HTML alternatives with a non-ASCII subject in RFC 2047 words
    1           an attachment (PDF, CSV or an attached message)
    1           HTML only, no text
    1           newsletter: List-Id, List-Unsubscribe, long folded headers
    1           another charset: ISO-8859-1, KOI8-R, Shift_JIS, Big5 in turn
    1           reply to nothing that is here
    2           odd: no Date, raw 8-bit headers, unknown charset, duplicate Message-ID, no subject, broken MIME, …

Dates run over 60 days up to 2026-11-20, one message every twelve hours.
"""

import base64
import random
from datetime import UTC, datetime, timedelta
from email.header import Header
from email.utils import format_datetime
from urllib.parse import quote

from infra.emulators.sample.odd import ODD
from infra.emulators.sample.words import ALPHABETS, PEOPLE, SENTENCES, TOPICS

DOZENS = 10
_NEWEST = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)
_STEP = timedelta(hours=12)
OWNER = "Robin Ahlgren <robin@example.com>"


def messages() -> list[bytes]:
    """All messages, oldest first."""
    made: list[bytes] = []
    for dozen in range(DOZENS):
        made.extend(_dozen(dozen, random.Random(dozen)))
    return made


def _date(number: int) -> str:
    return format_datetime(_NEWEST - _STEP * (DOZENS * 12 - 1 - number))


def _dozen(dozen: int, rng: random.Random) -> list[bytes]:
    first = dozen * 12
    topic = TOPICS[dozen % len(TOPICS)]
    sender, other = rng.sample(PEOPLE, 2)
    made = _thread(first, topic, sender, other, rng)
    made.append(_alternatives(first + 4, f"Grüße aus Malmö: {topic} ✓", sender, rng))
    made.append(_attachment(first + 5, topic, other, rng))
    made.append(_simple(first + 6, f"Your {topic} receipt", "Shop <shop@example.net>", _html(rng), "text/html"))
    made.append(_newsletter(first + 7, topic, rng))
    made.append(_other_charset(first + 8, ALPHABETS[dozen % len(ALPHABETS)], other))
    made.append(
        _simple(first + 9, f"Re: {topic} last year", sender, _text(rng), extra="In-Reply-To: <lost@example.org>\r\n")
    )
    for number in (first + 10, first + 11):
        odd = ODD[(dozen * 2 + number - first - 10) % len(ODD)]
        made.append(odd.replace(b"{date}", _date(number).encode()).replace(b"{n}", str(number).encode()))
    return made


def _text(rng: random.Random) -> str:
    return "\r\n\r\n".join(" ".join(rng.sample(SENTENCES, 3)) for _ in range(rng.randint(1, 4))) + "\r\n"


def _html(rng: random.Random) -> str:
    paragraphs = "".join(f"<p>{sentence}</p>\r\n" for sentence in rng.sample(SENTENCES, 4))
    return f"<html><head><style>p {{ margin: 0 }}</style></head><body>\r\n{paragraphs}</body></html>\r\n"


def _head(number: int, subject: str, sender: str, extra: str = "") -> str:
    encoded = subject if subject.isascii() else Header(subject, "utf-8").encode(linesep="\r\n")
    return (
        f"Received: from mx.example.org by mail.example.com with ESMTPS id {number:06x};\r\n\t{_date(number)}\r\n"
        f"Message-ID: <sample-{number}@example.org>\r\nDate: {_date(number)}\r\nFrom: {sender}\r\nTo: {OWNER}\r\n"
        f"Subject: {encoded}\r\nMIME-Version: 1.0\r\n{extra}"
    )


def _simple(
    number: int, subject: str, sender: str, body: str, content_type: str = "text/plain", extra: str = ""
) -> bytes:
    head = _head(number, subject, sender, extra)
    return f"{head}Content-Type: {content_type}; charset=utf-8\r\n\r\n{body}".encode()


def _thread(first: int, topic: str, sender: str, other: str, rng: random.Random) -> list[bytes]:
    made = []
    for step, author in enumerate((sender, other, sender, OWNER)):
        extra = ""
        if step:
            references = " ".join(f"<sample-{first + earlier}@example.org>" for earlier in range(step))
            extra = f"In-Reply-To: <sample-{first + step - 1}@example.org>\r\nReferences: {references}\r\n"
        body = _text(rng)
        if step == 3:
            body += "\r\nOn another day someone wrote:\r\n> " + SENTENCES[first % len(SENTENCES)] + "\r\n"
        made.append(_simple(first + step, f"Re: {topic}" if step else topic, author, body, extra=extra))
    return made


def _alternatives(number: int, subject: str, sender: str, rng: random.Random) -> bytes:
    mark = f"alt-{number}"
    body = (
        f"This is a message in MIME format.\r\n"
        f"--{mark}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{_text(rng)}\r\n"
        f"--{mark}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{_html(rng)}\r\n--{mark}--\r\n"
    )
    head = _head(number, subject, sender)
    return f'{head}Content-Type: multipart/alternative; boundary="{mark}"\r\n\r\n{body}'.encode()


def _attachment(number: int, topic: str, sender: str, rng: random.Random) -> bytes:
    kind, name, content = (
        ("application/pdf", "Angebot für Sie.pdf", b"%PDF-1.4 " + rng.randbytes(1200)),
        ("text/csv", "figures.csv", b"day,count\r\n" + b"\r\n".join(b"%d,%d" % (day, day * 7) for day in range(90))),
        ("message/rfc822", "", _simple(number, f"Fwd: {topic}", sender, _text(rng))),
    )[number // 12 % 3]
    if kind == "message/rfc822":
        head, data = "Content-Disposition: attachment\r\n", content.decode()
    else:
        named = f'="{name}"' if name.isascii() else f"*=utf-8''{quote(name)}"
        head = f"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename{named}\r\n"
        data = base64.encodebytes(content).decode().replace("\n", "\r\n")
    mark = f"mixed-{number}"
    return (
        f"{_head(number, f'{topic}: papers', sender)}Content-Type: multipart/mixed; boundary={mark}\r\n\r\n"
        f"--{mark}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{_text(rng)}\r\n"
        f"--{mark}\r\nContent-Type: {kind}\r\n{head}\r\n{data}\r\n--{mark}--\r\n"
    ).encode()


def _newsletter(number: int, topic: str, rng: random.Random) -> bytes:
    received = "".join(
        f"Received: from relay{hop}.example.net (relay{hop}.example.net [192.0.2.{hop}])\r\n"
        f"\tby mx.example.org with ESMTP id {number}{hop};\r\n\t{_date(number)}\r\n"
        for hop in range(1, 6)
    )
    extra = (
        f"{received}List-Id: Weekly <weekly.example.net>\r\nList-Unsubscribe: <https://example.net/u?n={number}>,\r\n"
        f" <mailto:leave@example.net>\r\nPrecedence: bulk\r\n"
    )
    return _simple(number, f"Weekly {number}: {topic}", "Weekly <weekly@example.net>", _text(rng), extra=extra)


def _other_charset(number: int, alphabet: tuple[str, str, str], sender: str) -> bytes:
    charset, subject, body = alphabet
    word = base64.b64encode(subject.encode(charset)).decode()
    head = _head(number, f"=?{charset}?B?{word}?=", sender, "Content-Transfer-Encoding: 8bit\r\n")
    return f"{head}Content-Type: text/plain; charset={charset}\r\n\r\n".encode() + body.encode(charset)
