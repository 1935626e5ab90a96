"""Real messages through a whole Outlook sync: subject, people, dates, body and folder are right, none is missing.

The mail lies beside the project (../shared/mail). What Graph would show of each message is the stand-in's word; plain
subjects and message ids are compared with the stdlib's reading of the files as well.
"""

from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

import pytest

from infra.emulators.graph import seed
from shared.core.message import cut_utf8, instant, instant_s
from shared.protocol.graph.document import whole_text
from tests.conftest import RedisRest
from tests.outlook_world import OutlookWorld
from tests.world import ADDRESS

MAIL = Path(__file__).parents[3] / "shared" / "mail"
FILES = sorted(MAIL.rglob("*.eml"))
pytestmark = [
    pytest.mark.whole,
    pytest.mark.skipif(not FILES, reason="no real mail beside the project (../shared/mail)"),
]

BODY_BYTES_MAX = 65536
OTHER_MAX = 3  # broken header blocks, where readers differ about the end of the headers


def people(resource: dict[str, Any], name: str) -> list[dict[str, str | None]]:
    said = [each["emailAddress"] for each in resource[name] or []]
    shown = [
        {"name": whole_text(each["name"]) or None, "address": whole_text(each["address"]) or None} for each in said
    ]
    return [each for each in shown if each["name"] or each["address"]]


def expected(resource: dict[str, Any]) -> dict[str, Any]:
    sender = resource["from"] and people({"from": [resource["from"]]}, "from")
    content, truncated = cut_utf8(resource["body"]["content"], BODY_BYTES_MAX)
    return {
        "subject": resource["subject"] and whole_text(resource["subject"]),
        "from": sender[0] if sender else None,
        "to": people(resource, "toRecipients"),
        "cc": people(resource, "ccRecipients"),
        "bcc": people(resource, "bccRecipients"),
        "reply_to": people(resource, "replyTo"),
        "sent_at": instant(instant_s(resource["sentDateTime"])),
        "received_at": instant(instant_s(resource["receivedDateTime"])),
        "snippet": whole_text(resource["bodyPreview"]),
        "body": {"content_type": "text/plain", "content": content, "truncated": truncated},
        "folder_id": resource["parentFolderId"],
        "internet_message_id": whole_text(resource["internetMessageId"]),
        "has_attachments": resource["hasAttachments"],
        "unread": not resource["isRead"],
    }


async def test_all_real_mail_comes_through(redis: RedisRest) -> None:
    raw = [path.read_bytes() for path in FILES]
    async with OutlookWorld(redis, INITIAL_SYNC_MESSAGES="all") as world:
        ids = seed.fill(world.graph, ADDRESS, raw)
        account_id = await world.connect()
        await world.dry(account_id)
        folded = await world.folded(account_id)
        assert folded.keys() == set(ids)
        differing = {}
        for message_id in ids:
            wanted = expected(world.graph.resource(ADDRESS, message_id, "text"))
            found = {name: folded[message_id][name] for name in wanted}
            if found != wanted:
                differing[message_id] = {
                    name: (found[name], wanted[name]) for name in wanted if found[name] != wanted[name]
                }
        assert differing == {}
        await world.assert_log_equals_mailbox(account_id)
    plain, other = 0, 0
    for message_id, each in zip(ids, raw, strict=True):
        headers = BytesHeaderParser().parsebytes(each)
        subject = str(headers["Subject"] or "")
        if subject.isascii() and subject.isprintable() and "=?" not in subject and subject == subject.strip():
            plain += 1
            other += (folded[message_id]["subject"] or "") != subject
    assert plain > len(raw) / 2
    assert other <= OTHER_MAX
