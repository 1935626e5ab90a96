"""JSON that is none, or too deep."""

import pytest

from shared.protocol.graph.document import read_json


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": "\\ud83d', b'"\\ud83d"' + b"[" * 100_000])
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        read_json(body)


def test_nesting_beyond_all_measure_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^nested too deep$"):
        read_json(b"[" * 200_000 + b'"\\ud83d"' + b"]" * 200_000)
