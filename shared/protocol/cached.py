"""A cached message as text: "<reading tag>:<version>:<base64 of deflated JSON>".

The tag says how the message was read (format, body cap): a message read without its body does not serve who wants it.
"""

import zlib
from base64 import b64decode, b64encode

import orjson

from shared.protocol.step import Fetched


def pack(fetched: Fetched, tag: str) -> str:
    return f"{tag}:{fetched.version}:{b64encode(zlib.compress(orjson.dumps(fetched.message), 1)).decode()}"


def unpack(text: str | None, tag: str) -> Fetched | None:
    """None for nothing, for another reading, and for what can't be read: a cache may always miss."""
    found, _, rest = (text or "").partition(":")
    version, _, deflated = rest.partition(":")
    if not deflated or found != tag:
        return None
    try:
        return Fetched(orjson.loads(zlib.decompress(b64decode(deflated))), version)
    except (ValueError, zlib.error):
        return None
