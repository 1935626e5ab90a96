"""The stand-in's batch endpoint, byte by byte: what Google takes, what it refuses, what it answers."""

import gzip
import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.infra.gmail_client import ADDRESS, ME, Stand, batch_body, read_batch, standing

PROFILE = f"{ME}/profile"


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with standing(quota_enforced=False, messages=3) as made:
        yield made


@pytest.fixture(autouse=True)
def _no_faults(stand: Stand) -> None:
    stand.gmail.clear_faults()


def post(
    stand: Stand, body: bytes, content_type: str = "multipart/mixed; boundary=b1", **headers: str
) -> httpx.Response:
    return stand.http.post("/batch/gmail/v1", content=body, headers={"Content-Type": content_type} | headers)


def test_the_answer_is_written_as_googles_front_end_writes_it(stand: Stand) -> None:
    answer = post(stand, batch_body([PROFILE]))
    boundary = re.fullmatch(r"multipart/mixed; boundary=(batch_\w+)", answer.headers["content-type"])
    assert boundary is not None
    head = (
        f"\r\n--{boundary[1]}\r\nContent-Type: application/http\r\nContent-ID: <response-0>\r\n\r\n"
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\n"
        "Vary: Origin\r\nVary: X-Origin\r\nVary: Referer\r\n\r\n{\n"
    )
    assert answer.text.startswith(head)
    assert answer.text.endswith(f"\r\n--{boundary[1]}--\r\n")
    assert answer.headers.get_list("vary") == ["Origin", "X-Origin", "Referer"]


@pytest.mark.parametrize("path", ["/batch", "/batch/gmail/v1"])
def test_both_paths_answer_alike(stand: Stand, path: str) -> None:
    answer = stand.http.post(
        path, content=batch_body([PROFILE]), headers={"Content-Type": "multipart/mixed; boundary=b1"}
    )
    assert [part.status for part in read_batch(answer)] == [200]


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [("<18c0ffee>", "<response-18c0ffee>"), ("bare", "response-bare"), ("<a b + 1>", "<response-a b + 1>")],
)
def test_a_content_id_is_echoed_as_it_was_written(stand: Stand, sent: str, echoed: str) -> None:
    body = batch_body([PROFILE]).replace(b"<0>", sent.encode())
    assert f"Content-ID: {echoed}\r\n" in post(stand, body).text


def test_no_content_id_gets_none(stand: Stand) -> None:
    body = batch_body([PROFILE]).replace(b"Content-ID: <0>\r\n", b"")
    answer = post(stand, body)
    assert "Content-ID" not in answer.text
    assert [part.status for part in read_batch(answer)] == [200]


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.replace(b"\r\n", b"\n"),
        lambda body: b"This is a preamble.\r\n" + body,
        lambda body: body.replace(b" HTTP/1.1\r\n\r\n", b"\r\n"),
        lambda body: body.rstrip(),
        lambda body: body.replace(
            b"Content-Type", b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\nContent-Type"
        ),
        lambda body: body + b"an epilogue",
    ],
)
def test_every_spelling_google_takes_is_taken(stand: Stand, change) -> None:  # type: ignore[no-untyped-def]
    answer = post(stand, change(batch_body([PROFILE, PROFILE])), 'multipart/mixed; boundary="b1"')
    assert [part.status for part in read_batch(answer)] == [200, 200]
    assert b"\n" not in answer.content.replace(b"\r\n", b"").split(b"{")[0]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/mixed; boundary=b1"),
        (b"--b1--\r\n", "multipart/mixed; boundary=b1"),
        (batch_body([PROFILE]), "multipart/mixed"),
        (batch_body([PROFILE]), "application/json"),
        (batch_body([PROFILE]), "multipart/mixed; boundary=other"),
        (batch_body([PROFILE]).replace(b"--b1--", b""), "multipart/mixed; boundary=b1"),
        (batch_body([PROFILE]).replace(b"application/http", b"text/plain"), "multipart/mixed; boundary=b1"),
    ],
)
def test_what_is_no_batch_is_refused_whole(stand: Stand, body: bytes, content_type: str) -> None:
    answer = post(stand, body, content_type)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("Failed to parse batch request")


def test_a_hundred_parts_are_the_limit(stand: Stand) -> None:
    stand.gmail.settings.concurrency_max = 100
    assert len(stand.batch([PROFILE] * 100)) == 100
    answer = post(stand, batch_body([PROFILE] * 101))
    stand.gmail.settings.concurrency_max = 25
    assert answer.status_code == 400
    assert answer.json() == {
        "error": {
            "code": 400,
            "message": "Inner request count exceeds the limit. Received: 101, Limit: 100",
            "status": "INVALID_ARGUMENT",
        }
    }


def test_an_absolute_url_fails_its_own_part_only(stand: Stand) -> None:
    parts = stand.batch([f"https://gmail.googleapis.com{PROFILE}", PROFILE, "//host/x", "/elsewhere"])
    assert [part.status for part in parts] == [400, 200, 400, 404]


def test_a_bad_token_is_a_401_in_each_part_and_a_parts_own_token_wins(stand: Stand) -> None:
    parts = stand.batch([PROFILE, PROFILE], Authorization="Bearer expired")
    assert [part.status for part in parts] == [401, 401]
    own = batch_body([PROFILE]).replace(
        b" HTTP/1.1\r\n", f" HTTP/1.1\r\nAuthorization: Bearer {stand.token}\r\n".encode()
    )
    answer = post(stand, own, Authorization="Bearer expired")
    assert [part.status for part in read_batch(answer)] == [200]
    stand.gmail.settings.outer_401 = True
    assert post(stand, batch_body([PROFILE]), Authorization="Bearer expired").status_code == 401
    stand.gmail.settings.outer_401 = False


def test_outer_query_parameters_reach_the_parts(stand: Stand) -> None:
    answer = stand.http.post(
        "/batch/gmail/v1?fields=historyId",
        content=batch_body([PROFILE, f"{PROFILE}?fields=emailAddress"]),
        headers={"Content-Type": "multipart/mixed; boundary=b1"},
    )
    assert [list(json.loads(part.body)) for part in read_batch(answer)] == [["historyId"], ["emailAddress"]]


@pytest.mark.parametrize(
    ("accepts", "agent", "zipped"),
    [("gzip", "app (gzip)", True), ("gzip", "app", False), ("identity", "app (gzip)", False)],
)
def test_gzip_needs_both_headers(stand: Stand, accepts: str, agent: str, zipped: bool) -> None:
    headers = {"Content-Type": "multipart/mixed; boundary=b1", "Accept-Encoding": accepts, "User-Agent": agent}
    with stand.http.stream("POST", "/batch", content=batch_body([PROFILE]), headers=headers) as answer:
        raw = b"".join(answer.iter_raw())
    assert ("content-encoding" in answer.headers) is zipped
    assert b"HTTP/1.1 200 OK" in (gzip.decompress(raw) if zipped else raw)


def test_a_delete_in_a_batch_answers_204_without_a_body(stand: Stand) -> None:
    message_id = stand.gmail.deliver(ADDRESS, b"Subject: x\r\n\r\n")
    body = batch_body([f"{ME}/messages/{message_id}"]).replace(b"GET", b"DELETE")
    [part] = read_batch(post(stand, body))
    assert part.status == 204
    assert not part.body.strip()
    assert "Content-Type" not in part.headers


def test_faults_strike_one_part_and_leave_the_others(stand: Stand) -> None:
    ids = list(stand.gmail.truth(ADDRESS))
    targets = [f"{ME}/messages/{each}?format=minimal" for each in ids]
    stand.gmail.set_fault("backend_error", message_id=ids[1], in_batch=True)
    assert [part.status for part in stand.batch(targets)] == [200, 500, 200]
    assert stand.http.get(targets[1]).status_code == 200
    stand.gmail.clear_faults()
    stand.gmail.set_fault("drop", message_id=ids[0], times=1)
    assert [part.content_id for part in stand.batch(targets)] == ["<response-1>", "<response-2>"]
    stand.gmail.set_fault("garbled", message_id=ids[2], times=1)
    assert b"}" not in stand.batch(targets)[2].body


def test_every_nth_part_answers_429_once(stand: Stand) -> None:
    ids = list(stand.gmail.truth(ADDRESS))
    targets = [f"{ME}/messages/{each}?format=minimal&metadataHeaders={n}" for each in ids for n in range(5)]
    stand.gmail.set_fault("too_many", every=5, once=True)
    assert [part.status for part in stand.batch(targets)].count(429) == 3
    refused = [target for target, part in zip(targets, stand.batch(targets), strict=True) if part.status == 429]
    assert len(refused) < 3


def test_parts_can_be_shuffled_dropped_and_doubled(stand: Stand) -> None:
    targets = [PROFILE] * 12
    ids = [f"<response-{number}>" for number in range(12)]
    stand.gmail.set_fault("shuffle_parts", times=1)
    shuffled = [part.content_id for part in stand.batch(targets)]
    assert shuffled != ids
    assert sorted(map(str, shuffled)) == sorted(ids)
    stand.gmail.set_fault("drop_part", times=1, index=3)
    assert [part.content_id for part in stand.batch(targets)] == ids[:3] + ids[4:]
    stand.gmail.set_fault("duplicate_part", times=1, index=0)
    assert [part.content_id for part in stand.batch(targets)].count(ids[0]) == 2


def test_whole_requests_fail_in_every_way(stand: Stand) -> None:
    gmail, body = stand.gmail, batch_body([PROFILE] * 3)
    gmail.set_fault("unavailable", times=1)
    answer = post(stand, body)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=UTF-8")
    gmail.set_fault("rate_limited", times=1, retry_after=7)
    answer = post(stand, body)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    gmail.set_fault("rate_limited", times=1)
    assert "retry-after" not in post(stand, body).headers
    gmail.set_fault("truncate_body", times=1, keep=0.6)
    assert not post(stand, body).text.rstrip().endswith("--")
    gmail.set_fault("truncate_body", times=1, cut=True)
    with pytest.raises(httpx.RemoteProtocolError):
        post(stand, body)
    gmail.set_fault("reset", times=1, call="batch")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        post(stand, body)
    gmail.set_fault("garbage", times=1)
    assert b"HTTP/1.1 200" not in post(stand, body).content
    gmail.set_fault("oversized", times=1, bytes=1_000_000)
    assert len(post(stand, body).content) > 1_000_000
    assert post(stand, body).status_code == 200


def test_slow_requests_and_slow_parts_take_their_time(stand: Stand) -> None:
    stand.gmail.set_fault("slow", times=1, seconds=0.1)
    assert post(stand, batch_body([PROFILE])).elapsed.total_seconds() > 0.1
    stand.gmail.set_fault("slow_part", times=1, seconds=0.1)
    assert post(stand, batch_body([PROFILE] * 3)).elapsed.total_seconds() > 0.1
