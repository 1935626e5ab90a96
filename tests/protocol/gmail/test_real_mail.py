"""Real messages as Gmail would hand them over, against an independent reader: the stdlib's email with policy.default.

The mail lies beside the project (../shared/mail). Where the two differ, the difference is either one of kind (named
below, and seen from the stdlib's answer alone) or counted: the counts are bounds that a worse parser would break.

    name        a comment as name (`jane@x.org (Jane Doe)`): RFC 5322 lets it be, the stdlib drops it
    text        8-bit header text and charsets the stdlib can't decode: U+FFFD, surrogates, C1 controls
    spec        `<>`, `root`, `%TO%`: for the stdlib an address, for us a name without one
"""

import base64
import email.policy
import html
import re
from collections import Counter
from datetime import UTC
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from infra.emulators import mime
from shared.core.message import FIELDS, Address, Message, instant
from shared.protocol.gmail import message
from shared.protocol.gmail.message import Reading

MAIL = Path(__file__).parents[4] / "shared" / "mail"
FILES = sorted(MAIL.rglob("*.eml"))
pytestmark = [
    pytest.mark.whole,
    pytest.mark.skipif(not FILES, reason="no real mail beside the project (../shared/mail)"),
]

BODY_BYTES_MAX = 65536
UNDECODED = re.compile("[\ufffd\ud800-\udfff\x80-\x9f]")
FIELD_NAMES = {"From": "from", "To": "to", "Cc": "cc", "Bcc": "bcc", "Reply-To": "reply_to"}


def payload(part: mime.Part) -> dict[str, Any]:
    return {
        "partId": part.part_id,
        "mimeType": part.content_type,
        "filename": part.filename,
        "headers": [{"name": name, "value": value} for name, value in part.headers],
        "body": {"size": len(part.body), "data": base64.urlsafe_b64encode(part.body).decode()},
        "parts": [payload(child) for child in part.children],
    }


def resource(found: mime.Mime, form: str) -> bytes:
    whole = payload(found.root)
    metadata = {name: whole[name] for name in ("mimeType", "headers")}
    return orjson.dumps(
        {
            "id": "18c0ffee12345678",
            "threadId": "18c0ffee12345678",
            "labelIds": ["INBOX", "UNREAD"],
            "snippet": html.escape(found.snippet),
            "historyId": "1234567",
            "internalDate": "1700000000000",
            "sizeEstimate": 4096,
            "payload": whole if form == "full" else metadata,
        }
    )


@cache
def read_all() -> list[tuple[bytes, mime.Mime, Message, Message]]:
    found = []
    for file in FILES:
        raw = file.read_bytes()
        parsed = mime.parse(raw)
        both = [
            message.parse(resource(parsed, form), Reading("id", form, BODY_BYTES_MAX)) for form in ("metadata", "full")
        ]
        assert both[0] is not None, file
        assert both[1] is not None, file
        found.append((raw, parsed, both[0].message, both[1].message))
    return found


@cache
def oracle() -> list[EmailMessage]:
    parser = BytesHeaderParser(policy=email.policy.default)
    return [parser.parsebytes(raw) for raw, *_ in read_all()]


def test_every_message_is_read_whole_in_both_formats() -> None:
    for _, _, metadata, full in read_all():
        assert tuple(metadata) == tuple(full) == FIELDS
        orjson.dumps([metadata, full])
        assert metadata == full | {"body": None, "has_attachments": None}
        assert full["has_attachments"] in (True, False)


def test_subjects_are_the_stdlibs() -> None:
    differ = Counter[str]()
    for (_, _, found, _), other in zip(read_all(), oracle(), strict=True):
        ours, theirs = (" ".join((text or "").split()) for text in (found["subject"], other["subject"]))
        if ours != theirs:
            differ["undecoded" if UNDECODED.search(theirs) else "other"] += 1
    assert differ["undecoded"] <= 30
    assert differ["other"] <= 4


def test_dates_are_the_stdlibs() -> None:
    differ = 0
    for (_, _, found, _), other in zip(read_all(), oracle(), strict=True):
        moment = other["date"] and other["date"].datetime
        theirs = moment and instant((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        differ += found["sent_at"] != (theirs or None)
    assert differ <= 3


def theirs_of(other: EmailMessage, header: str) -> list[tuple[str, str]] | None:
    """(name, address) of each; None where the stdlib crashes."""
    try:
        entries = [entry for value in other.get_all(header) or [] for entry in value.addresses]
        return [(" ".join(entry.display_name.split()), entry.addr_spec) for entry in entries]
    except Exception:  # whatever it is, it is not ours
        return None


def ours_of(found: Message, header: str) -> list[tuple[str, str]]:
    value: list[Address] | Address | None = found[FIELD_NAMES[header]]  # type: ignore[literal-required]
    entries = value if isinstance(value, list) else [value] if value else []
    return [(entry["name"] or "", entry["address"] or "") for entry in entries]


def test_addresses_and_names_are_the_stdlibs() -> None:
    differ = Counter[str]()
    for (_, _, found, _), other in zip(read_all(), oracle(), strict=True):
        for header in FIELD_NAMES:
            theirs, ours = theirs_of(other, header), ours_of(found, header)
            if theirs is None:
                differ["crash"] += 1
                continue
            theirs = theirs[:1] if header == "From" else theirs
            differ["compared"] += len(theirs)
            if [spec for _, spec in theirs] != [spec for _, spec in ours]:
                bare = any((spec and "@" not in spec) or UNDECODED.search(spec) for _, spec in theirs)
                differ["spec, theirs is none" if bare else "spec"] += 1
                continue
            for (their_name, _), (our_name, _) in zip(theirs, ours, strict=True):
                if their_name != our_name:
                    kind = "" if their_name else ", a comment"
                    differ[f"name{', undecoded' if UNDECODED.search(their_name) else kind}"] += 1
    assert differ["compared"] > 5000
    assert differ["crash"] <= 5
    assert differ["spec, theirs is none"] <= 55
    assert differ["spec"] <= 18
    assert differ["name"] <= 3


def test_bodies_are_the_texts_of_the_messages() -> None:
    """The oracle is the emulator's reader, which shares no code with ours. Nearly all that differs is Windows-1252."""
    differ = 0
    for _, parsed, _, full in read_all():
        texts = [text for text in (parsed.text, parsed.html) if text is not None]
        body = full["body"]
        assert (body is None) == (not texts)
        if body is not None:
            text = next((text for text in texts if text.strip()), texts[0])
            safe = text.replace("\x00", "\ufffd").encode("utf-8", "replace")
            differ += safe[:1000] != body["content"].encode()[:1000]
    assert differ <= 40
