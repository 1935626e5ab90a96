"""The one text of a full message, and whether anything is attached (shared/protocol/gmail/content.py)."""

import base64
from typing import Any

import pytest

from shared.core.message import Body
from shared.protocol.gmail import content
from shared.protocol.gmail.resource import Unreadable


def part(mime_type: str, text: str | bytes | None = None, *parts: Any, **members: Any) -> dict[str, Any]:
    headers = [{"name": name.replace("_", "-"), "value": value} for name, value in members.pop("headers", {}).items()]
    body: dict[str, Any] = {"size": 0} | members.pop("body", {})
    if text is not None:
        raw = text.encode() if isinstance(text, str) else text
        body["data"] = base64.urlsafe_b64encode(raw).decode()
    return {"mimeType": mime_type, "headers": headers, "body": body, "parts": list(parts)} | members


def body_of(payload: dict[str, Any], body_bytes_max: int = 1000) -> Body | None:
    return content.read(payload, body_bytes_max).body


def attached(payload: dict[str, Any]) -> bool:
    return content.read(part("multipart/mixed", None, part("text/plain", "x"), payload), 1000).has_attachments


PLAIN = Body(content_type="text/plain", content="plain", truncated=False)
HTML = Body(content_type="text/html", content="<p>html", truncated=False)


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (part("text/plain", "plain"), PLAIN),
        (part("text/html", "<p>html"), HTML),
        (part("TEXT/PLAIN", "plain"), PLAIN),
        (part("multipart/alternative", None, part("text/plain", "plain"), part("text/html", "<p>html")), PLAIN),
        (part("multipart/alternative", None, part("text/html", "<p>html"), part("text/plain", "plain")), PLAIN),
        (part("multipart/alternative", None, part("text/plain", " \r\n"), part("text/html", "<p>html")), HTML),
        (part("multipart/mixed", None, part("multipart/related", None, part("text/html", "<p>html"))), HTML),
        (part("multipart/mixed", None, part("text/plain", "plain"), part("text/plain", "list footer")), PLAIN),
        (part("multipart/mixed", None, part("text/plain", "a", filename="a.txt"), part("text/plain", "plain")), PLAIN),
        (part("message/rfc822", None, part("text/plain", "of another message")), None),
        (part("image/png", b"\x89PNG"), None),
        (part("multipart/mixed"), None),
        ({}, None),
    ],
)
def test_the_body_is_the_first_text_that_is_no_attachment(payload: dict[str, Any], body: Body | None) -> None:
    assert body_of(payload) == body


def test_a_blank_text_is_better_than_none() -> None:
    blank = Body(content_type="text/plain", content=" ", truncated=False)
    assert body_of(part("text/plain", " ")) == blank
    assert body_of(part("multipart/alternative", None, part("text/plain", " "), part("text/html", ""))) == blank


def test_a_text_kept_outside_the_message_gives_way_to_the_other() -> None:
    outside = part("text/plain", body={"attachmentId": "A1", "size": 10**6})
    assert body_of(part("multipart/alternative", None, outside, part("text/html", "<p>html"))) == HTML
    assert body_of(outside) is None
    assert not content.read(outside, 10).has_attachments


def test_a_body_is_decoded_by_its_charset_and_harmless() -> None:
    typed = {"Content_Type": 'text/plain; format=flowed; CHARSET = "iso-2022-jp"'}
    assert body_of(part("text/plain", "日本".encode("iso-2022-jp"), headers=typed)) == PLAIN | {"content": "日本"}
    assert body_of(part("text/plain", b"a\x00b\xe9")) == PLAIN | {"content": "a\ufffdbé"}


def test_a_long_body_is_cut_between_characters_and_says_so() -> None:
    assert body_of(part("text/plain", "äöü"), 5) == Body(content_type="text/plain", content="äö", truncated=True)
    assert body_of(part("text/plain", "äöü"), 6) == Body(content_type="text/plain", content="äöü", truncated=False)


@pytest.mark.parametrize(
    ("payload", "is_attached"),
    [
        (part("application/pdf", "x", filename="a.pdf"), True),
        (part("text/plain", "x", headers={"Content_Disposition": "ATTACHMENT"}), True),
        (part("application/octet-stream", body={"attachmentId": "A1"}), True),
        (part("message/rfc822", None, part("text/plain", "x")), True),
        (part("image/png", "x", filename="a.png"), True),
        (part("image/png", "x", filename="logo.png", headers={"Content_ID": "<logo>"}), False),
        (part("image/png", body={"attachmentId": "A1"}, headers={"content_id": "<l>"}, filename="l.png"), False),
        (
            part("image/png", "x", headers={"Content_ID": "<p>", "Content_Disposition": "attachment; filename=p"}),
            True,
        ),
        (part("application/pdf", "x", filename="a.pdf", headers={"Content_ID": "<a>"}), True),
        (part("text/html", "x"), False),
        (part("text/calendar", "x"), False),
        (part("application/pgp-encrypted", "x"), False),
    ],
)
def test_attachments_are_what_a_person_would_call_so(payload: dict[str, Any], is_attached: bool) -> None:
    assert attached(payload) is is_attached


def test_a_wide_or_deep_message_is_read_to_a_limit() -> None:
    wide = part(
        "multipart/mixed", None, *[part("image/png", "x")] * (content.PARTS_MAX * 2), part("text/plain", "plain")
    )
    assert body_of(wide) is None
    deep = part("text/plain", "plain")
    for _ in range(300):
        deep = part("multipart/mixed", None, deep)
    assert body_of(deep) == PLAIN


@pytest.mark.parametrize(
    "payload",
    [
        {"parts": {}},
        {"parts": [5]},
        {"mimeType": 5},
        {"filename": []},
        {"body": []},
        {"body": {"data": 5}},
        {"body": {"attachmentId": 5}},
        {"headers": 5},
    ],
)
def test_parts_outside_gmails_schema_are_unreadable(payload: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        content.read(payload, 10)


def test_readers_get_text_and_html_side_by_side() -> None:
    both = part("multipart/alternative", None, part("text/plain", "plain"), part("text/html", "<p>html"))
    bodies, attachments = content.for_readers(both, 1000)
    assert (bodies, attachments) == ({"text": PLAIN, "html": HTML}, [])


@pytest.mark.parametrize(
    ("payload", "text", "markup"),
    [
        (part("text/plain", "plain"), "plain", None),
        (part("text/html", "<p>html"), "html", "<p>html"),
        (part("multipart/alternative", None, part("text/plain", " "), part("text/html", "<p>html")), "html", "<p>html"),
        (part("text/html", "<p>" + "x" * 50), "x" * 20, "<p>" + "x" * 17),
        (
            part("text/plain", b"caf\xe9", headers={"Content_Type": "text/plain; charset=x-nobody-knows"}),
            "caf\xe9",
            None,
        ),
        (part("text/plain", body={"data": "cGxhaW4!!!*"}), "plain", None),
        (part("image/png", b"\x89PNG"), None, None),
        ({}, None, None),
    ],
)
def test_a_text_is_made_from_the_html_where_there_is_none(payload: Any, text: str | None, markup: str | None) -> None:
    bodies, _ = content.for_readers(payload, 20)
    assert [body and body["content"] for body in bodies.values()] == [text, markup]  # type: ignore[index]


def test_readers_are_told_what_is_attached() -> None:
    mixed = part(
        "multipart/mixed",
        None,
        part("text/html", '<img src="cid:logo">'),
        part(
            "image/png", filename="logo.png", headers={"Content_ID": "<logo>"}, body={"attachmentId": "A1", "size": 3}
        ),
        part("APPLICATION/PDF", filename="=?utf-8?q?Gr=C3=BC=C3=9Fe.pdf?=", body={"attachmentId": "A2", "size": "7"}),
        part("message/rfc822", None, part("text/plain", "inside")),
        part("text/plain", "note", filename="n" * 999, body={"attachmentId": "sp ace\n", "size": -1}),
        part("x" * 300, filename="a", body={"attachmentId": "A" * 2048}),
        part("a/b", filename=" " * 1019 + "b", body={"attachmentId": "A" * 2049}),
        part("a/b", filename=" " * 1020 + "c", body={"attachmentId": "\xfc", "size": None}),
        {"filename": "d"},
    )
    bodies, attachments = content.for_readers(mixed, 1000)
    assert bodies["html"] is not None
    keys = ("id", "name", "content_type", "size_bytes", "inline")
    assert [tuple(each[key] for key in keys) for each in attachments] == [  # type: ignore[literal-required]
        ("A1", "logo.png", "image/png", 3, True),
        ("A2", "Gr\xfc\xdfe.pdf", "application/pdf", 7, False),
        (None, None, "message/rfc822", 0, False),
        (None, "n" * 255, "text/plain", None, False),
        ("A" * 2048, "a", "x" * 254, 0, False),
        (None, "b", "a/b", 0, False),
        (None, None, "a/b", None, False),
        (None, "d", None, None, False),
    ]


def test_hostile_trees_are_read_as_far_as_it_goes() -> None:
    deep: dict[str, Any] = part("text/plain", "found")
    for _ in range(2 * content.PARTS_MAX):
        deep = part("multipart/mixed", None, deep)
    assert content.for_readers(deep, 1000) == ({"text": None, "html": None}, [])
    wide = part("multipart/mixed", None, *(part("application/pdf", filename=f"{n}") for n in range(3000)))
    assert len(content.for_readers(wide, 1000)[1]) == 100
