"""Mail files and MIME: every message loads byte for byte, and no byte string makes the parser raise."""

import email.policy
import mailbox
import random
import time
from pathlib import Path

import pytest

from infra.emulators import mail, mime

REAL_MAIL = Path(__file__).resolve().parents[3] / "shared" / "mail"


def touch_everything(parsed: mime.Mime) -> None:
    """All text must be encodable, or an answer in JSON would fail later."""
    for name, value in parsed.headers:
        (name + value).encode()
        (parsed.header(name) or "").encode()
    for text in (parsed.text, parsed.html, parsed.snippet, *(name for name, _, _ in parsed.attachments)):
        (text or "").encode()
    assert len(parsed.snippet) <= mime.SNIPPET_MAX
    assert len({part.part_id for part in parsed.root.walk()}) == len(list(parsed.root.walk()))


def test_the_sample_is_the_same_on_every_run_and_parses() -> None:
    first, second = mail.load(None), mail.load(None)
    assert first == second
    assert len(first) == 120
    for raw in first:
        touch_everything(mime.parse(raw))


def test_an_mbox_gives_the_messages_that_went_in(tmp_path: Path) -> None:
    wanted = [b"Subject: one\n\nFrom here on\n", b"Subject: two\n\n>From quoted\n\nend\n"]
    (tmp_path / "box").write_bytes(
        b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\n>From here on\n\n"
        b"From a@b Thu Jan  1 00:00:00 2026\nSubject: two\n\n>>From quoted\n\nend\n\n"
    )
    assert mail.load(str(tmp_path / "box")) == wanted


def test_a_maildir_is_read_with_its_subfolders(tmp_path: Path) -> None:
    box = mailbox.Maildir(tmp_path / "box")
    box.add(b"Subject: top\n\nx")
    box.add_folder("sub").add(b"Subject: below\n\ny")
    assert sorted(mail.load(str(tmp_path / "box"))) == [b"Subject: below\n\ny", b"Subject: top\n\nx"]


def test_a_folder_of_eml_files_is_read_in_sorted_order(tmp_path: Path) -> None:
    for name, raw in (("b/2.eml", b"two"), ("a/9.EML", b"nine"), ("b/1.eml", b"one"), ("b/LICENSE.txt", b"no")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(raw)
    assert mail.load(str(tmp_path)) == [b"nine", b"one", b"two"]


def test_a_path_without_mail_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no message in it"):
        mail.load(str(tmp_path))
    with pytest.raises(ValueError, match="no mail at"):
        mail.load(str(tmp_path / "nowhere"))


def test_every_real_message_parses_and_so_do_damaged_ones() -> None:
    if not REAL_MAIL.is_dir():
        pytest.skip(f"{REAL_MAIL} is not on this machine")
    messages = mail.load(str(REAL_MAIL))
    assert len(messages) == 2641
    for raw in messages:
        touch_everything(mime.parse(raw))
    rng = random.Random(7)
    for raw in rng.sample(messages, 200):
        damaged = bytearray(raw)
        for _ in range(30):
            at = rng.randrange(len(damaged) + 1)
            damaged[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        touch_everything(mime.parse(bytes(damaged)))
        touch_everything(mime.parse(raw[: rng.randrange(len(raw))]))


def test_no_message_is_built_that_takes_long_to_parse() -> None:
    html = b"Content-Type: text/html\n\n"
    hostile = [
        html + b"<!--" * 50_000,
        html + b"<style>" * 50_000,
        html + b"<" * 200_000,
        b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n" * 100_000,
        b"Subject: " + b"=?u?q?" * 50_000,
        b"Subject: " + b"=?a?b?a?= " * 40_000,
        b"Content-Type: x/y" + b";a*0=" * 30_000,
        b'Content-Type: x/y; a="' * 10_000,
        b" " * 200_000,
        b"\r" * 100_000 + b"\n",
    ]
    for raw in hostile:
        began_s = time.process_time()
        touch_everything(mime.parse(raw))
        assert time.process_time() - began_s < 10, raw[:40]  # what grows with the square would take minutes


def test_headers_and_bodies_agree_with_the_standard_library_where_that_is_strict() -> None:
    for raw in mail.load(None)[:8]:
        ours = mime.parse(raw)
        theirs = email.message_from_bytes(raw, policy=email.policy.default)
        assert ours.header("subject") == theirs["subject"]
        assert [name for name, _ in ours.headers] == theirs.keys()
        body = theirs.get_body(("plain",))
        if ours.text is not None and body is not None:
            assert ours.text.split() == body.get_content().split()
        assert [name for name, _, _ in ours.attachments] == [part.get_filename() for part in theirs.iter_attachments()]


@pytest.mark.parametrize(
    ("raw", "subject"),
    [
        ("Subject: rå\r\n\r\n".encode(), "rå"),
        ("Subject: rå\r\n\r\n".encode("latin-1"), "rå"),
        (b"Subject: =?x-martian?q?r=E5?=\r\n\r\n", "rå"),
        (b"Subject: =?unicode_escape?q?=5Cud800?=\r\n\r\n", "\\ud800"),
        (b"Subject: =?utf-8?q?mid=C3?=\r\n =?utf-8?q?=A9dle?=\r\n\r\n", "midédle"),
        (b"Subject: a\r\n\tb\r\nSubject: c\r\n\r\n", "a\tb"),
        (b"SUBJECT : spaced\n\n", "spaced"),
        (b"no header\nSubject: body\n\n", None),
    ],
)
def test_a_subject_is_read_however_it_is_written(raw: bytes, subject: str | None) -> None:
    assert mime.parse(raw).header("subject") == subject


def test_a_file_name_is_read_in_every_spelling() -> None:
    for spelling in (
        'filename="na\\"me.txt"',
        "filename*=utf-8''na%22me.txt",
        "filename*0*=utf-8''na%22; filename*1=me.txt",
        "filename==?utf-8?q?na=22me=2Etxt?=",
    ):
        raw = f"Content-Type: text/plain\r\nContent-Disposition: attachment; {spelling}\r\n\r\nx".encode()
        assert mime.parse(raw).attachments == [('na"me.txt', "text/plain", 1)], spelling
