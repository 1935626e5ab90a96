"""Raw RFC 822 messages to fill a stand-in mailbox with, byte for byte as they lie on disk.

    path                              read as
    None                              the built-in sample (`infra.emulators.sample`), the same on every run
    file that starts with "From "     mbox, "From " lines cut, mboxrd's ">From " unquoted
    other file                        one message
    folder with cur/ or new/          Maildir, with its Maildir++ subfolders
    other folder                      every *.eml below it, in sorted order of the relative path

Source: RFC 4155 (mbox), https://cr.yp.to/proto/maildir.html
"""

import re
from pathlib import Path

from infra.emulators import sample

_POSTMARK = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\n]*(?:\n|\Z)")
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
_MAILDIR_FOLDERS = ("new", "cur")


def load(path: str | None) -> list[bytes]:
    """All messages at `path`, oldest name first; ValueError in one line if there is none to read."""
    if path is None:
        return sample.messages()
    source = Path(path).expanduser()
    if source.is_file():
        found = _from_file(source.read_bytes())
    elif source.is_dir():
        found = _from_maildir(source) if _is_maildir(source) else _from_tree(source)
    else:
        raise ValueError(f"no mail at {path}: not an mbox file, a Maildir or a folder of .eml files")
    if not found:
        raise ValueError(f"no mail at {path}: no message in it")
    return found


def _from_file(raw: bytes) -> list[bytes]:
    if not raw.startswith(b"From "):
        return [raw] if raw.strip() else []
    starts = list(_POSTMARK.finditer(raw))
    ends = [match.start() for match in starts[1:]] + [len(raw)]
    found = [_unquoted(raw[match.end() : end]) for match, end in zip(starts, ends, strict=True)]
    return [message for message in found if message.strip()]


def _unquoted(message: bytes) -> bytes:
    """The message without the empty line that ends it in an mbox."""
    for ending in (b"\r\n\r\n", b"\n\n"):
        if message.endswith(ending):
            message = message[: -len(ending) // 2]
            break
    return _QUOTED_FROM.sub(rb"\1", message)


def _is_maildir(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in _MAILDIR_FOLDERS)


def _from_maildir(folder: Path) -> list[bytes]:
    boxes = [folder, *sorted(box for box in folder.glob(".*") if _is_maildir(box))]
    files = [
        file for box in boxes for name in _MAILDIR_FOLDERS for file in sorted((box / name).glob("*")) if file.is_file()
    ]
    return [file.read_bytes() for file in files if not file.name.startswith(".")]


def _from_tree(folder: Path) -> list[bytes]:
    files = [file for file in folder.rglob("*") if file.suffix.lower() == ".eml" and file.is_file()]
    return [file.read_bytes() for file in sorted(files, key=lambda file: file.relative_to(folder).as_posix())]
