"""Graph's JSON as it comes: half of a surrogate pair in it is no reason to lose a page.

`bodyPreview` is cut after 255 UTF-16 units, which may be in the middle of an emoji; orjson refuses such a text, both
ways. It is read by the standard library then, and what is half becomes U+FFFD where a text is taken out of a row.
"""

import json
from typing import Any

import orjson


def read_json(body: bytes) -> Any:
    """Raises ValueError for what is no JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if b"\\u" not in body:
            raise
        try:
            return json.loads(body)
        except RecursionError as error:
            raise ValueError("nested too deep") from error


def write_json(value: Any) -> bytes:
    """Raises ValueError for what is nested too deep."""
    try:
        return orjson.dumps(value)
    except TypeError:
        try:
            return json.dumps(value).encode()
        except RecursionError as error:
            raise ValueError("nested too deep") from error


def whole_text(text: str) -> str:
    """With pairs of surrogates joined, and halves replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
