"""The index entry of a Gmail message: labels as codes, ids packed, about 30 bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import ContractBroken
from shared.protocol.gmail import known
from shared.protocol.gmail.known import CODES, Known, LabelTable, pack_id, unpack_id

LABELS = st.frozensets(st.text(min_size=1, max_size=20), max_size=120)


def test_an_id_of_sixteen_hex_digits_takes_eleven_characters() -> None:
    assert pack_id("19ac3f00deadbeef") == "Gaw_AN6tvu8"
    assert len(pack_id("19ac3f00deadbeef")) == 11


@pytest.mark.parametrize("message_id", ["abc", "19AC3F00DEADBEEF", "r-1234567890123456", "~x", ""])
def test_any_other_id_is_kept_as_it_is(message_id: str) -> None:
    assert pack_id(message_id) == "~" + message_id


@given(st.text() | st.from_regex(r"[0-9a-f]{16}", fullmatch=True))
def test_every_id_comes_back(message_id: str) -> None:
    assert unpack_id(pack_id(message_id)) == message_id


@given(st.lists(st.text() | st.from_regex(r"[0-9a-f]{16}", fullmatch=True), unique=True))
def test_different_ids_stay_different(message_ids: list[str]) -> None:
    assert len({pack_id(each) for each in message_ids}) == len(message_ids)


def test_labels_are_codes_in_the_order_of_their_first_appearance() -> None:
    table = LabelTable(["INBOX"])
    assert table.pack(Known(0x1F3C20, frozenset({"INBOX"}))) == "1f3c20:0"
    assert table.grown is False
    for _ in range(2):
        assert table.pack(Known(255, frozenset({"INBOX", "UNREAD"}))) == "ff:01"
    assert (table.labels, table.grown) == (["INBOX", "UNREAD"], True)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), LABELS), max_size=6))
def test_every_entry_comes_back_also_from_a_table_that_has_grown_since(
    entries: list[tuple[int, frozenset[str]]],
) -> None:
    table = LabelTable()
    values = [table.pack(Known(version, labels)) for version, labels in entries]
    again = LabelTable(table.labels)
    assert [again.unpack(value) for value in values] == [Known(version, labels) for version, labels in entries]


@given(LABELS, st.integers(0, 2**64 - 1))
def test_equal_entries_are_equal_text(labels: frozenset[str], version: int) -> None:
    table = LabelTable(sorted(labels))
    assert table.pack(Known(version, labels)) == table.pack(Known(version, frozenset(sorted(labels, reverse=True))))


def test_labels_beyond_the_first_62_take_five_characters() -> None:
    labels = [f"Label_{n}" for n in range(70)]
    table = LabelTable(labels)
    assert table.pack(Known(1, frozenset({"Label_61"}))) == f"1:{CODES[61]}"
    assert table.pack(Known(1, frozenset({"Label_62"}))) == "1:.0062"
    assert table.unpack("1:.0069z0") == Known(1, frozenset({"Label_69", "Label_35", "Label_0"}))
    assert table.unpack("1:0.0069.0068z") == Known(1, frozenset({"Label_0", "Label_69", "Label_68", "Label_35"}))


def test_a_mailbox_with_more_labels_than_gmail_allows_breaks_its_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "LABELS_MAX", 2)
    table = LabelTable(["A", "B"])
    with pytest.raises(ContractBroken, match=r"^the mailbox shows more labels than Gmail allows$"):
        table.pack(Known(1, frozenset({"C"})))


@pytest.mark.parametrize("value", ["", ":0", "xyz:0", "1:9", "1:.00", "1:.9999", "1:-", "1:.abcd"])
def test_an_entry_that_cannot_be_read_is_never_guessed(value: str) -> None:
    with pytest.raises(ContractBroken, match=r"^an index entry can't be read$"):
        LabelTable(["INBOX"]).unpack(value)
