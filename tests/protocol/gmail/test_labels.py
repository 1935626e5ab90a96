"""Gmail's labels with their names."""

import pytest

from shared.core.errors import ContractBroken
from shared.core.quota import PRICES
from shared.protocol.gmail import labels
from tests.protocol.gmail.answers import answer


def test_labels_are_asked_for_without_their_counts() -> None:
    asked = labels.request(PRICES["2026"])
    assert (asked.path, asked.query, asked.units) == (
        "/gmail/v1/users/me/labels",
        (("fields", "labels(id,name,type)"),),
        1,
    )


def test_names_are_as_their_owner_wrote_them_and_no_longer_than_is_sane() -> None:
    rows = [
        {"id": "INBOX", "name": "INBOX", "type": "system"},
        {"id": "Label_1", "name": "Gr\u00fc\u00dfe/\nBerlin", "type": "user"},
        {"id": "Label_2", "name": "x" * 5000},
        {"name": "no id"},
        {"id": "Label_3"},
    ]
    found = labels.parse(answer({"labels": rows}))
    assert [(each["id"], each["kind"], (each["name"] or "-")[:20]) for each in found] == [
        ("INBOX", "system", "INBOX"),
        ("Label_1", "user", "Gr\u00fc\u00dfe/ Berlin"),
        ("Label_2", "user", "x" * 20),
        ("Label_3", "user", "-"),
    ]
    assert len(found[2]["name"] or "") == labels.NAME_BYTES_MAX


@pytest.mark.parametrize("body", [[], {"labels": {}}, {"labels": [{"id": 7}]}, {"labels": ["x"]}])
def test_what_is_no_list_of_labels_breaks_the_contract(body: object) -> None:
    with pytest.raises(ContractBroken):
        labels.parse(answer(body))
