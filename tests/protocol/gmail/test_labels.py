"""Gmail's labels with their names."""

import pytest

from shared.core.errors import ContractBroken
from shared.core.message import Folder
from shared.core.quota import PRICES
from shared.protocol.gmail import labels
from shared.protocol.wire import Request
from tests.protocol.gmail.answers import answer


def test_labels_are_asked_for_without_their_counts() -> None:
    query = (("fields", "labels(id,name,type)"),)
    assert labels.request(PRICES["2026"]) == Request("GET", "/gmail/v1/users/me/labels", query, units=1)


def test_names_are_as_their_owner_wrote_them_and_no_longer_than_is_sane() -> None:
    rows = [
        {"id": "INBOX", "name": "INBOX", "type": "system"},
        {"id": "Label_1", "name": "Gr\u00fc\u00dfe/\nBerlin", "type": "user"},
        {"id": "Label_2", "name": "x" * 5000},
        {"name": "no id"},
        {"id": "Label_3"},
    ]
    found = labels.parse(answer({"labels": rows}))
    assert found == [
        Folder(id=label_id, name=name, kind=kind, parent_id=None, hidden=False)
        for label_id, name, kind in (
            ("INBOX", "INBOX", "system"),
            ("Label_1", "Gr\u00fc\u00dfe/ Berlin", "user"),
            ("Label_2", "x" * labels.NAME_BYTES_MAX, "user"),
            ("Label_3", None, "user"),
        )
    ]


@pytest.mark.parametrize("body", [[], {"labels": {}}, {"labels": [{"id": 7}]}, {"labels": ["x"]}])
def test_what_is_no_list_of_labels_breaks_the_contract(body: object) -> None:
    with pytest.raises(ContractBroken, match=r"^the labels can't be read$"):
        labels.parse(answer(body))
