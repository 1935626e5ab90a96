"""Real and broken mail through the Graph stand-in: everything loads, pages and says what it says."""

import os
from pathlib import Path

import pytest

from infra.emulators import mail
from infra.emulators.graph.convert import Content
from tests.infra.graph_client import ADDRESS, IMMUTABLE, standing

REAL_MAIL = Path(os.environ.get("REAL_MAIL", "../shared/mail"))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"\x00\xff\xfe",
        b"no header at all",
        b"From: \r\nDate: Mon, 99 Foo 99999999999 00:00:00\r\n\r\n",
        b"From: undisclosed-recipients:;\r\nSubject:\r\n\r\n",
        b"From: =?utf-8?q?a=2C_b?= <a@x>, <<>>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
        b"Date: Fri, 31 Dec 9999 23:59:59 -1200\r\nFrom: a@x\r\n\r\n" + b"x" * 5000,
        b"Content-Type: text/html\r\n\r\n" + b"<div>" * 3000,
    ],
)
def test_no_bytes_make_the_conversion_fail(raw: bytes) -> None:
    with standing() as stand:
        message = stand.graph.deliver(ADDRESS, raw)
        row = stand.get(f"messages/{message}", 'outlook.body-content-type="text"')
        assert len(row["bodyPreview"]) <= 255
        assert row["sentDateTime"].endswith("Z")


def test_what_a_message_does_not_say_is_null() -> None:
    content = Content(b"X-Nothing: 1\r\n\r\nbody")
    assert (content.from_, content.sender, content.subject) == (None, None, None)
    assert content.to == []
    assert content.internet_message_id.startswith("<")


def test_names_are_decoded_after_the_list_is_split() -> None:
    content = Content(b"To: =?utf-8?q?Smith=2C_J=C3=B6rg?= <j@x>, k@x\r\nFrom: a@x\r\nSender: s@x\r\n\r\n")
    assert content.to == [
        {"emailAddress": {"name": "Smith, J\u00f6rg", "address": "j@x"}},
        {"emailAddress": {"name": "k@x", "address": "k@x"}},
    ]
    assert content.sender == {"emailAddress": {"name": "s@x", "address": "s@x"}}


def test_text_becomes_html_as_exchange_does_it() -> None:
    content = Content(b"From: a@x\r\n\r\n1 < 2\r\nline")
    assert "<!-- converted from text -->" in content.markup
    assert "1 &lt; 2<br>\r\nline" in content.markup
    assert content.preview == "1 < 2\r\nline"


def test_the_built_in_sample_goes_through() -> None:
    with standing() as stand:
        messages = mail.load(None)
        for raw in messages:
            stand.graph.deliver(ADDRESS, raw)
        assert len(stand.walk(prefer=f"odata.maxpagesize=100, {IMMUTABLE}").ids) == len(messages)


@pytest.mark.skipif(not REAL_MAIL.is_dir(), reason="no real mail here")
def test_all_real_mail_pages_through_delta_with_bodies() -> None:
    with standing() as stand:
        messages = mail.load(str(REAL_MAIL))
        delivered = [stand.graph.deliver(ADDRESS, raw) for raw in messages]
        walk = stand.walk(prefer=f'odata.maxpagesize=200, outlook.body-content-type="text", {IMMUTABLE}')
        assert sorted(walk.ids) == sorted(delivered)
        rows = {row["id"]: row for row in walk.rows}
        for id_, truth in stand.graph.snapshot(ADDRESS).items():
            assert rows[id_]["subject"] == truth["subject"]
            assert rows[id_]["parentFolderId"] == truth["folder_id"]
            assert rows[id_]["body"]["contentType"] == "text"
