"""Gmail's multipart/mixed batch as bytes (shared/protocol/gmail/batch.py)."""

import time
from email import message_from_bytes, policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.protocol.gmail import batch
from shared.protocol.wire import Request, Response

GET = Request("GET", "/gmail/v1/users/me/messages/a1", (("format", "metadata"),), units=20)


def part(key: str, content: str = "{}", status: str = "200 OK", headers: str = "") -> str:
    return (
        f"Content-Type: application/http\r\nContent-ID: <response-{key}>\r\n\r\n"
        f"HTTP/1.1 {status}\r\nContent-Type: application/json; charset=UTF-8\r\n{headers}Vary: Origin\r\n\r\n{content}"
    )


def answer(
    *parts: str, boundary: str = "b1", quoted: bool = False, preamble: str = "\r\n", end: str = "--"
) -> Response:
    body = preamble + "".join(f"--{boundary}\r\n{text}\r\n" for text in parts) + f"--{boundary}{end}\r\n"
    name = f'"{boundary}"' if quoted else boundary
    return Response(200, {"content-type": f"multipart/mixed; boundary={name}"}, body.encode())


def parsed(body: bytes, boundary: str = "b1") -> batch.Batch:
    return batch.parse(Response(200, {"content-type": f"multipart/mixed; boundary={boundary}"}, body))


def test_a_batch_is_one_post_with_a_part_for_each_request() -> None:
    request = batch.build([("a1", GET), ("b2", Request("GET", "/gmail/v1/users/me/labels", units=1))], "b1")
    assert (request.method, request.path, request.units) == ("POST", "/batch/gmail/v1", 21)
    assert request.headers == {"Content-Type": 'multipart/mixed; boundary="b1"'}
    assert request.body == (
        b"--b1\r\nContent-Type: application/http\r\nContent-ID: <a1>\r\n\r\n"
        b"GET /gmail/v1/users/me/messages/a1?format=metadata HTTP/1.1\r\n\r\n\r\n"
        b"--b1\r\nContent-Type: application/http\r\nContent-ID: <b2>\r\n\r\n"
        b"GET /gmail/v1/users/me/labels HTTP/1.1\r\n\r\n\r\n"
        b"--b1--\r\n"
    )


def test_queries_are_percent_encoded_and_may_repeat_a_name() -> None:
    query = (("fields", "id,payload/headers,x(y z)"), ("metadataHeaders", "To"), ("metadataHeaders", "Cc"))
    body = batch.build([("a", Request("GET", "/m", query))], "b").body or b""
    assert b"/m?fields=id%2Cpayload%2Fheaders%2Cx%28y%20z%29&metadataHeaders=To&metadataHeaders=Cc HTTP" in body


@pytest.mark.parametrize("key", ["a>\r\n--b1--\r\nX: ü%", "a>\r\n--b1--\r\n", "ü", "a/b"])
def test_a_hostile_key_cannot_leave_its_line_and_comes_back_as_it_was(key: str) -> None:
    body = batch.build([(key, GET)], "b1").body or b""
    line = next(line for line in body.split(b"\r\n") if line.startswith(b"Content-ID: <"))
    assert body.count(b"\r\n--b1--") == 1
    echoed = line[len(b"Content-ID: <") : -1].decode()
    assert list(batch.parse(answer(part(echoed))).parts) == [key]
    assert set(echoed) <= set("ab1234567890ABCDEFX%-")


def test_half_a_character_in_a_key_is_a_question_mark() -> None:
    assert b"\r\nContent-ID: <a%3F>\r\n" in (batch.build([("a\ud800", GET)], "b1").body or b"")


NO_BOUNDARY = "the boundary is not one of RFC 2046"
NOT_BARE = "a part has neither body nor headers"
NO_REQUEST_LINE = "a part's request line is a method and a percent-encoded path on the same host"


@pytest.mark.parametrize(
    ("parts", "boundary", "why"),
    [
        ([], "b1", "a batch has 1 to 100 parts, not 0"),
        ([(str(n), GET) for n in range(101)], "b1", "a batch has 1 to 100 parts, not 101"),
        ([("a", GET), ("a", GET)], "b1", "a key is used twice"),
        ([("a", GET)], "", NO_BOUNDARY),
        ([("a", GET)], "a b", NO_BOUNDARY),
        ([("a", GET)], "b" * 71, NO_BOUNDARY),
        ([("a", Request("POST", "/x", body=b"{}"))], "b1", NOT_BARE),
        ([("a", Request("GET", "/x", headers={"Authorization": "Bearer t"}))], "b1", NOT_BARE),
        ([("a", Request("GET", "https://evil.example/x"))], "b1", NO_REQUEST_LINE),
        ([("a", Request("GET", "//evil.example/x"))], "b1", NO_REQUEST_LINE),
        ([("a", Request("GET", "/x y"))], "b1", NO_REQUEST_LINE),
        ([("a", Request("GET\r\n", "/x"))], "b1", NO_REQUEST_LINE),
    ],
)
def test_what_only_a_mistake_can_bring_is_refused(parts: list[tuple[str, Request]], boundary: str, why: str) -> None:
    with pytest.raises(ValueError, match=rf"^{why}$"):
        batch.build(parts, boundary)


def test_a_full_batch_is_allowed() -> None:
    request = batch.build([(str(n), GET) for n in range(batch.PARTS_MAX)], "b1")
    assert request.units == batch.PARTS_MAX * GET.units


def test_parts_are_matched_by_content_id_never_by_order() -> None:
    found = batch.parse(answer(part("b", '{"id":"b"}'), part("a", '{"id":"a"}')))
    assert found.complete
    assert {key: response.body for key, response in found.parts.items()} == {"a": b'{"id":"a"}', "b": b'{"id":"b"}'}


def test_a_refused_part_keeps_its_own_status_and_headers() -> None:
    found = batch.parse(answer(part("a", "{}", "429 Too Many Requests", "Retry-After: 7\r\n"), part("b")))
    assert found.parts["a"].status == 429
    assert found.parts["a"].headers["retry-after"] == "7"
    assert found.parts["b"].status == 200


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
@pytest.mark.parametrize("preamble", ["", "\r\n", "This is a multipart message.\r\n--b\r\n--b1X\r\n"])
@pytest.mark.parametrize("quoted", [True, False])
def test_line_ends_preamble_and_quotes_may_be_either(line_end: str, preamble: str, quoted: bool) -> None:
    response = answer(part("a", '{"id": "a"}\n'), part("b"), quoted=quoted, preamble=preamble)
    body = response.body.replace(b"\r\n", line_end.encode())
    found = batch.parse(Response(200, response.headers, body))
    assert found.complete
    assert found.parts["a"].body == b'{"id": "a"}\n'
    assert found.parts["b"].body == b"{}"


@pytest.mark.parametrize(
    "content_id",
    ["<response-a>", "response-a", "<a>", "a", "\r\n <response-a>", "  <response-a>  ", "<response-%61>"],
)
def test_content_ids_come_in_several_spellings(content_id: str) -> None:
    text = part("a").replace("Content-ID: <response-a>", f"content-id:{content_id}")
    assert list(batch.parse(answer(text)).parts) == ["a"]


def test_a_boundary_may_hold_signs_that_mean_something_elsewhere() -> None:
    for boundary in ("-", "--", ".*", "=_(x)+?", "b" * 70):
        found = batch.parse(answer(part("a"), part("b"), boundary=boundary, quoted=True))
        assert (found.complete, sorted(found.parts)) == (True, ["a", "b"])


def test_the_last_part_of_an_answer_cut_anywhere_is_absent_and_the_ones_before_it_stay() -> None:
    whole = answer(part("a"), part("b"))
    closing_ends = whole.body.rindex(b"--b1--") + len(b"--b1--")
    second_begins = whole.body.index(b"--b1\r\n", 10) + len(b"--b1\r\n")
    for length in range(len(whole.body)):
        found = batch.parse(Response(200, whole.headers, whole.body[:length]))
        assert found.complete == (length >= closing_ends)
        assert ("a" in found.parts) == (length >= second_begins)
        assert ("b" in found.parts) == found.complete


@pytest.mark.parametrize("other", [part("a", "2"), part("a", "1", "201 Created")])
def test_one_key_with_two_answers_is_absent_and_the_same_answer_twice_is_one(other: str) -> None:
    found = batch.parse(answer(part("a", "1"), part("b"), other, part("a", "1"), part("b")))
    assert (list(found.parts), found.problems) == (["b"], ("conflicting_parts",))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Content-ID: <response-x>",
        "\r\nHTTP/1.1 200 OK\r\n\r\n{}",
        "Content-Type: application/http\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}",
        "Content-ID: <response-x>\r\n\r\nnothing like a status line",
        "Content-ID: <response-x>\r\n\r\nHTTP/1.1 204",
        "Content-ID: <response-x>\r\n\r\nHTTP/1.1 999 What\r\n\r\n{}",
        "Content-ID: <response-x>\r\n\r\nHTTP/1.1 2000 What\r\n\r\n{}",
        "Content-ID: <response-x>\r\n\r\nHTTP/1.1 200 OK\r\nX: " + "y" * batch.HEADS_BYTES_MAX + "\r\n\r\n{}",
    ],
)
def test_an_unreadable_part_is_absent_and_the_others_stay(text: str) -> None:
    found = batch.parse(answer(part("a"), text, part("b")))
    assert (sorted(found.parts), found.problems) == (["a", "b"], ("unreadable_part",))


def test_a_part_may_end_with_its_headers() -> None:
    found = batch.parse(answer("Content-ID: <response-a>\r\n\r\nHTTP/1.1 204 No Content\r\nVary: Origin"))
    assert found.parts["a"] == Response(204, {"vary": "Origin"}, b"")


def test_inner_headers_may_be_folded_repeated_or_nonsense() -> None:
    headers = " folded into nothing\r\nX-Long: one\r\n two\r\nx-long: three\r\n four\r\nno colon here\r\n: no name\r\n"
    found = batch.parse(answer(part("a", headers=headers)))
    assert found.parts["a"].headers["x-long"] == "one two"
    assert "" not in found.parts["a"].headers


@pytest.mark.parametrize(
    ("status", "content_type", "problem"),
    [
        (199, "multipart/mixed; boundary=b1", "status"),
        (300, "multipart/mixed; boundary=b1", "status"),
        (503, "multipart/mixed; boundary=b1", "status"),
        (200, "text/html", "content_type"),
        (200, "multipart/mixed", "content_type"),
        (200, "multipart/mixed; boundary=", "content_type"),
        (200, 'multipart/mixed; boundary=""', "content_type"),
        (200, "multipart/form-data; boundary=b1", "content_type"),
        (200, "multipart/mixed;" + " " * 5000 + "boundary=b1", "content_type"),
        (200, "multipart/mixed; boundary=\ud800", "truncated"),
    ],
)
def test_an_answer_that_is_no_batch_has_no_parts(status: int, content_type: str, problem: str) -> None:
    body = answer(part("a")).body
    assert batch.parse(Response(status, {"content-type": content_type}, body)) == batch.Batch({}, (problem,))
    assert batch.parse(Response(200, {}, body)).problems == ("content_type",)


def test_the_content_type_may_be_written_in_any_case_with_other_parameters() -> None:
    content_type = 'Multipart/Mixed; charset=x; Boundary = "b1"; y=z'
    assert batch.parse(Response(200, {"content-type": content_type}, answer(part("a")).body)).complete


HOSTILE = {
    "20 MB of garbage": (b"\x00\xff" * 10_000_000, "b1"),
    "20 MB of line ends": (b"\r\n" * 10_000_000, "b1"),
    "100,000 delimiters": (b"--b1\r\n" * 100_000, "b1"),
    "100,000 almost delimiters": (b"\r\n--b1x" * 100_000, "b1"),
    "20 MB of dashes for the boundary -": (b"-" * 20_000_000, "-"),
    "4 million lines of dashes": (b"\n---" * 4_000_000, "-"),
    "a delimiter and 20 MB of spaces": (b"--b1" + b" " * 20_000_000, "b1"),
    "parts of spaces": ((b"--b1\r\nContent-ID: <response-a>\r\n\r\n" + b" " * 200_000 + b"\r\n") * 100, "b1"),
    "parts that claim all": (
        (b"--b1\r\nContent-ID: <a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b" " * 50_000 + b"\r\n")
        * 300,
        "b1",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_cost_linear_time(name: str) -> None:
    body, boundary = HOSTILE[name]
    began = time.process_time()
    found = parsed(body, boundary)
    assert time.process_time() - began < 3  # quadratic would be hours
    assert not found.complete
    assert not found.parts


@pytest.mark.parametrize(
    ("parts", "problems"),
    [(batch.DELIMITERS_MAX - 1, ()), (batch.DELIMITERS_MAX, ("too_many_delimiters", "truncated"))],
)
def test_too_many_delimiters_end_the_reading_and_say_so(parts: int, problems: tuple[str, ...]) -> None:
    found = parsed((f"--b1\r\n{part('a')}\r\n" * parts).encode() + b"--b1--")
    assert found.problems == problems
    assert list(found.parts) == ["a"]


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["-", "b1", "\\", "=?"]))
def test_no_bytes_raise(noise: bytes, boundary: str) -> None:
    assert isinstance(parsed(noise, boundary), batch.Batch)
    body = answer(part("a"), boundary=boundary).body
    for at in (0, 20, len(body) // 2):
        assert isinstance(parsed(body[:at] + noise + body[at:], boundary), batch.Batch)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("abcdef0123456789", min_size=1), st.text()), unique_by=lambda pair: pair[0]))
def test_whatever_parts_are_written_are_read(pairs: list[tuple[str, str]]) -> None:
    texts = {key: content.replace("\n--b1", "") for key, content in pairs}
    found = batch.parse(answer(*(part(key, content) for key, content in texts.items())))
    assert {key: response.body for key, response in found.parts.items()} == {
        key: content.encode() for key, content in texts.items()
    }


def test_the_standard_library_reads_the_request_the_same_way() -> None:
    request = batch.build([("a1", GET), ("b2", GET)], "b1")
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    parts = list(message_from_bytes(head + (request.body or b""), policy=policy.HTTP).iter_parts())
    assert [p["Content-ID"] for p in parts] == ["<a1>", "<b2>"]
    assert all(str(p.get_payload()).startswith("GET /gmail/v1/") for p in parts)
