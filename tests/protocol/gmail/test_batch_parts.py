"""Where a batch's parts end, to the byte (shared/protocol/gmail/batch.py)."""

import pytest

from shared.protocol.gmail import batch
from shared.protocol.wire import Response
from tests.protocol.gmail.test_batch import answer, parsed, part

LIKE_A_DELIMITER = "x\r\n--b1\r\nx"


def claiming(length: int, content: str) -> batch.Batch:
    return batch.parse(answer(part("a", content, headers=f"Content-Length: {length}\r\n"), part("b")))


def test_a_part_may_begin_with_an_empty_line_and_its_delimiter_end_with_blanks() -> None:
    body = f"--b1 \t \r\n\r\n{part('a')}\r\n--b1-- \t\r\n".encode()
    assert parsed(body).parts["a"].body == b"{}"


def test_a_status_of_any_kind_and_the_rest_of_the_part_stand_as_they_came() -> None:
    content_type = "application/json; charset=UTF-8"
    headers = {"content-type": content_type, "vary": "Origin"}
    assert batch.parse(answer(part("a", "{}", "404 Not Found"))) == batch.Batch({"a": Response(404, headers, b"{}")})


@pytest.mark.parametrize("content_id", ["<response-a", "response-a>"])
def test_half_a_pair_of_brackets_is_part_of_the_key(content_id: str) -> None:
    found = batch.parse(answer(part("a").replace("<response-a>", content_id)))
    assert list(found.parts) == [content_id.removeprefix("response-")]


def test_a_content_id_is_looked_for_in_its_own_head_only() -> None:
    text = "Content-Type: application/http\r\n\r\nHTTP/1.1 200 OK\r\nContent-ID: <response-z>\r\n\r\n{}"
    found = batch.parse(answer(text, part("a")))
    assert (list(found.parts), found.problems) == (["a"], ("unreadable_part",))


def test_an_inner_content_length_protects_what_looks_like_a_delimiter() -> None:
    content = "x\r\n--b1\r\nContent-ID: <response-z>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nfalse"
    found = batch.parse(answer(part("a", content, headers=f"Content-Length: {len(content)}\r\n"), part("b")))
    assert found.complete
    assert {key: response.body for key, response in found.parts.items()} == {"a": content.encode(), "b": b"{}"}


def test_an_inner_content_length_cuts_blank_lines_off() -> None:
    found = batch.parse(answer(part("a", "{}\r\n\r\n", headers="Content-Length: 2\r\n")))
    assert found.parts["a"].body == b"{}"


def test_a_content_length_that_counts_characters_is_not_believed() -> None:
    found = batch.parse(answer(part("a", '"äöü"', headers="Content-Length: 5\r\n")))
    assert found.parts["a"].body == '"äöü"'.encode()


def test_a_part_shorter_than_its_content_length_is_absent() -> None:
    found = batch.parse(answer(part("a", "{}", headers="Content-Length: 500\r\n"), part("b")))
    assert (list(found.parts), found.problems) == (["b"], ("unreadable_part",))


@pytest.mark.parametrize("length", ["-1", "2, 2", "99999999999999999999", ""])
def test_a_content_length_that_is_no_number_is_ignored(length: str) -> None:
    assert batch.parse(answer(part("a", "{}", headers=f"Content-Length: {length}\r\n"))).complete


@pytest.mark.parametrize(("blanks", "taken"), [(" " * 8, True), (" " * 9, False), (" x", False)])
def test_a_length_beyond_a_delimiter_has_to_end_where_a_part_ends(blanks: str, taken: bool) -> None:
    found = claiming(len(LIKE_A_DELIMITER), LIKE_A_DELIMITER + blanks)
    assert ("a" in found.parts) is taken
    assert found.parts["b"].body == b"{}"
    assert not taken or found.parts["a"].body == LIKE_A_DELIMITER.encode()


def test_a_length_that_is_exact_or_short_by_blanks_cuts_there() -> None:
    assert claiming(2, "{}").parts["a"].body == b"{}"
    assert claiming(2, "{} \n").parts["a"].body == b"{}"
    assert claiming(1, "{}").parts["a"].body == b"{}"


def test_the_heads_of_a_part_may_be_as_long_as_the_limit() -> None:
    for extra, problems in ((0, ()), (1, ("unreadable_part",))):
        head = "Content-ID: <response-a>\r\n\r\nHTTP/1.1 200 OK\r\nX: "
        filled = head + "y" * (batch.HEADS_BYTES_MAX - len(head) - 4 + extra) + "\r\n\r\n"
        found = batch.parse(answer(filled + "{}" * 10))
        assert (found.problems, "a" in found.parts) == (problems, not extra)
