"""The index entry: exact round trips, ids that are packed the same for ever, differences by field."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import ContractBroken
from shared.protocol.graph import known
from shared.protocol.graph.known import Known, Prefixes
from shared.protocol.graph.message import Reading, parse
from tests.protocol.graph.test_message import ROW

HASH = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", min_size=4, max_size=4)
ENTRIES = st.builds(
    Known,
    folder=st.integers(0, known.FOLDERS_MAX - 1),
    unread=st.booleans(),
    flagged=st.booleans(),
    draft=st.booleans(),
    has_attachments=st.booleans(),
    modified_ms=st.integers(0, 4_102_444_800_000),
    categories=HASH,
    subject=HASH,
    envelope=HASH,
    content=HASH,
)
ID = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=", max_size=170)


@given(ENTRIES)
def test_an_entry_comes_back_as_it_was(entry: Known) -> None:
    assert known.unpack(known.pack(entry)) == entry


def test_an_entry_is_written_the_same_for_ever() -> None:
    said: dict[str, Any] = {**parse(ROW, Reading("text", 100)).message}
    draft = known.known({**said, "draft": True, "unread": False}, 1, 1_795_514_402_123)
    whole = known.known(said, 3 * 62 + 61, 1_795_514_402_000)
    assert [known.pack(each) for each in (whole, draft)] == ["3zBbmcnpmfMU0PT----1xVnJi", "01EbmcnpmfMU0PTKuvl.VbspRvf"]
    flags = [
        known.pack(Known(0, **{name: name == flag for name in known.FLAGS}, modified_ms=0))  # type: ignore[arg-type]
        for flag in known.FLAGS
    ]
    assert flags == [f"00{flag}----------------" for flag in "1248"]
    assert known.unpack("00F----------------") == Known(0, True, True, True, True, 0)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "00",
        "00!----------------1",
        "0!0----------------1",
        "000----------------!",
        "000-----",
        "000" + "-" * 15,
    ],
)
def test_an_entry_that_cannot_be_read_is_no_guess(value: str) -> None:
    with pytest.raises(ContractBroken, match=r"^an index entry can't be read$"):
        known.unpack(value)


@given(st.lists(ID, max_size=120))
def test_an_id_is_packed_the_same_for_ever_and_comes_back_exactly(ids: list[str]) -> None:
    prefixes = Prefixes()
    first = [prefixes.pack(each) for each in ids]
    assert [prefixes.pack(each) for each in ids] == first
    stored = Prefixes(prefixes.prefixes)
    assert [stored.pack(each) for each in ids] == first
    assert [stored.unpack(each) for each in first] == ids
    assert not stored.grown
    assert len(set(first)) == len(set(ids))


def test_ids_of_one_mailbox_share_their_beginning() -> None:
    prefixes = Prefixes()
    packed = [prefixes.pack("A" * 126 + f"{n:024d}==") for n in range(100)]
    assert {len(each) for each in packed} == {known.REST_CHARACTERS + 1}
    assert prefixes.grown
    assert prefixes.dump().count("A") == 126 + 2 - 2


def test_a_full_table_keeps_ids_whole() -> None:
    prefixes = Prefixes()
    ids = [f"{n:060d}" + "z" * 60 for n in range(70)]
    packed = [prefixes.pack(each) for each in ids]
    assert sum(each.startswith("~") for each in packed) == 70 - 62
    assert [prefixes.unpack(each) for each in packed] == ids


@pytest.mark.parametrize("packed", ["", "!x", "5x"])
def test_a_packed_id_of_no_prefix_is_no_guess(packed: str) -> None:
    with pytest.raises(ContractBroken, match=r"^an index entry can't be read$"):
        Prefixes(["A"]).unpack(packed)


def test_an_id_is_kept_whole_where_it_is_too_short_or_the_table_is_full() -> None:
    prefixes = Prefixes()
    assert (prefixes.known("x" * 47), prefixes.known("x" * 48), prefixes.grown) == ("~" + "x" * 47, None, False)
    assert (prefixes.pack("x" * 47), prefixes.grown, prefixes.dump()) == ("~" + "x" * 47, False, "[]")
    assert (prefixes.pack("x" * 48), prefixes.grown, prefixes.dump()) == ("0" + "x" * 24, True, f'["{"x" * 24}"]')
    assert prefixes.pack("x" * 24 + "short") == "0short"
    almost = Prefixes(f"{number:02d}" for number in range(61))
    assert almost.known("z" * 48) is None
    assert almost.pack("z" * 48) == "z" + "z" * 24
    assert almost.known("y" * 48) == "~" + "y" * 48


def entry_of(**changed: Any) -> tuple[Known, dict[str, Any]]:
    said: dict[str, Any] = {**parse({**ROW, "body": None}, Reading("text", 100)).message}
    return known.known(said, 3, 1000), {**said, **changed}


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({}, set()),
        ({"unread": False}, {"unread"}),
        ({"flagged": False, "has_attachments": False}, {"flagged", "has_attachments"}),
        ({"categories": []}, {"categories"}),
        ({"subject": "Other"}, {"subject"}),
        ({"to": []}, set(known.ENVELOPE)),
        ({"snippet": "only drafts are written on"}, set()),
        ({"draft": True}, {"draft", "snippet", "body"}),
    ],
)
def test_a_difference_names_the_fields_that_changed(changed: dict[str, Any], fields: set[str]) -> None:
    entry, said = entry_of(**changed)
    found, after = known.difference(entry, said, 3, 2000)
    assert found == {name: said[name] for name in fields}
    assert after.modified_ms == 2000
    assert known.difference(after, said, 3, 500) == ({}, after)


def test_the_entry_after_a_difference_has_what_was_said_and_the_later_time() -> None:
    entry, said = entry_of(subject="Other", unread=False, folder_id="G")
    found, after = known.difference(entry, said, 4, 2000)
    assert found == {"folder_id": "G", "unread": False, "subject": "Other"}
    assert after == replace(known.known(said, 4, 2000), content=entry.content)
    assert known.difference(entry, said, 4, 500)[1].modified_ms == 1000


def test_only_what_is_said_is_compared() -> None:
    entry, said = entry_of(subject="Other", draft=True)
    assert known.digests({"subject": "Hello"}, draft=False) == {"subject": entry.subject}
    assert set(known.digests(said, draft=False)) == {"categories", "subject", "envelope"}
    assert set(known.digests(said, draft=True)) == {"categories", "subject", "envelope", "content"}
    draft = known.known(said, 3, 0)
    assert draft.content != known.NOTHING
    assert known.difference(draft, {"snippet": "", "body": None}, None, 0)[0] == {"snippet": "", "body": None}
    assert known.difference(entry, {"snippet": "", "body": None}, None, 0) == ({}, entry)
    empty: dict[str, Any] = {"subject": None, "categories": []}
    nothing = known.known(empty, 3, 0)
    assert nothing == Known(3, False, False, False, False, 0)


def test_a_move_is_a_difference_and_a_row_without_a_folder_is_none() -> None:
    entry, said = entry_of(folder_id="G")
    assert known.difference(entry, said, 4, 0)[0] == {"folder_id": "G"}
    assert known.difference(entry, {"unread": True}, None, 0) == ({}, entry)


def test_a_draft_s_content_is_compared_where_it_is_there() -> None:
    said = {**entry_of()[1], "draft": True}
    entry = known.known(said, 3, 0)
    assert known.difference(entry, {**said, "snippet": "more"}, 3, 0)[0] == {"snippet": "more", "body": None}
    without = {name: value for name, value in said.items() if name != "body"}
    assert known.difference(entry, {**without, "snippet": "more"}, 3, 0)[0] == {}
