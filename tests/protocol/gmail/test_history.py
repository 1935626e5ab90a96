"""Gmail's change stream: what is asked, and what a page says of each message."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import ProviderDown
from shared.core.quota import PRICES
from shared.protocol.gmail import history
from shared.protocol.gmail.cursor import Pinning, Reading
from shared.protocol.step import Fact
from shared.protocol.wire import Request
from tests.protocol.gmail import answers
from tests.protocol.gmail.answers import answer, google_error, record

PRICE = PRICES["2026"]


def facts(*records: dict[str, Any]) -> dict[str, Fact]:
    found, _, _ = history.receive(Reading(1), answers.history(*records))
    return {fact.message_id: fact for fact in found}


def test_the_profile_names_the_mailbox_and_its_history_id() -> None:
    assert history.profile_request(PRICE) == Request("GET", "/gmail/v1/users/me/profile", units=1)
    assert history.receive_profile(answer({"emailAddress": "robin@example.com", "historyId": "77"})) == (
        "robin@example.com",
        77,
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"emailAddress": "robin@example.com"},
        {"emailAddress": "", "historyId": "7"},
        {"emailAddress": "a@b", "historyId": "0"},
    ],
)
def test_a_profile_that_does_not_say_it_all_is_no_answer(body: dict[str, Any]) -> None:
    with pytest.raises(ProviderDown, match=r"^the answer is not a profile$"):
        history.receive_profile(answer(body))


def test_a_round_is_asked_from_the_same_id_while_it_is_paged() -> None:
    first = history.request(Reading(77), PRICE)
    query = (("startHistoryId", "77"), ("maxResults", "500"))
    assert first == Request("GET", "/gmail/v1/users/me/history", query, units=2)
    paging = history.request(Reading(77, "token", 90), PRICE)
    assert paging == replace(first, query=(*first.query, ("pageToken", "token")), perishable=True)


def test_the_history_id_is_taken_over_where_there_is_no_next_page() -> None:
    assert history.receive(Reading(77), answers.history(history_id=99)) == ((), Reading(99), True)


def test_a_page_in_between_keeps_the_start_and_the_first_pages_history_id() -> None:
    _, paging, ended = history.receive(Reading(77, untouched=True), answers.history(history_id=99, token="a"))
    assert (paging, ended) == (Reading(77, "a", upto=99), False)
    assert isinstance(paging, Reading)
    _, paging, ended = history.receive(paging, answers.history(history_id=150, token="b"))
    assert (paging, ended) == (Reading(77, "b", upto=99), False)
    assert isinstance(paging, Reading)
    assert history.receive(paging, answers.history(history_id=160)) == ((), Reading(99), True)


def test_a_page_that_promised_records_and_has_none_still_ends_the_round() -> None:
    assert history.receive(Reading(77, "token", 99), answer({"historyId": "99"})) == ((), Reading(99), True)


def test_the_history_id_never_moves_back() -> None:
    assert history.receive(Reading(77), answers.history(history_id=50)) == ((), Reading(77), True)


def test_expired_history_means_pinning_again() -> None:
    assert history.receive(Reading(77), answer({}, 404)) == ((), Pinning(), False)


@pytest.mark.parametrize(
    "body",
    [[], {}, {"historyId": "x"}, {"historyId": "-1"}, {"historyId": "1", "history": {}}, {"historyId": str(2**64)}],
)
def test_nothing_advances_over_a_page_that_cannot_be_read(body: Any) -> None:
    with pytest.raises(ProviderDown):
        history.receive(Reading(77), answer(body))


def test_a_page_token_that_is_refused_is_dropped_and_the_round_begins_anew() -> None:
    paging = Reading(77, "token", 99, removals=True)
    assert history.receive(paging, google_error(400, "invalidArgument")) == ((), Reading(77, removals=True), False)


def test_a_page_that_is_its_own_next_page_is_no_answer() -> None:
    with pytest.raises(ProviderDown, match=r"^the page is its own next page$"):
        history.receive(Reading(77, "token", 99), answers.history(token="token"))


@pytest.mark.parametrize(
    "odd",
    [
        *(
            None,
            7,
            {},
            {"id": "x"},
            {"id": "5", "messagesAdded": [{}]},
            {"id": "5", "messagesAdded": [{"message": {}}]},
        ),
        *({"id": "5", "labelsAdded": [{"message": {"id": ""}}]}, {"id": "5", "messagesDeleted": {}}),
    ],
)
def test_a_record_that_cannot_be_read_does_not_hold_up_the_others(odd: Any) -> None:
    for token in (None, "next"):
        page = answers.history(odd, record(6, added=["m"]), token=token)
        (fact,), after, ended = history.receive(Reading(1), page)
        assert (fact.message_id, ended) == ("m", token is None)
        assert isinstance(after, Reading)
        assert after.unreadable


def test_what_is_null_is_nothing() -> None:
    nothing = dict.fromkeys(("messages", "messagesAdded", "messagesDeleted", "labelsRemoved"))
    labels = [{"message": {"id": "m"}, "labelIds": None}]
    found, after, _ = history.receive(Reading(1), answers.history({"id": "5", **nothing, "labelsAdded": labels}))
    assert (found, after) == ((Fact("m", version="5", labels={}),), Reading(1000))
    found, after, _ = history.receive(Reading(1), answers.history({"id": "5", "labelsRemoved": labels}))
    assert (found, after) == ((Fact("m", version="5", labels={}),), Reading(1000, removals=True))
    assert history.receive(Reading(1), answer({"historyId": "9", "history": None})) == ((), Reading(9), True)


def test_an_added_message_may_be_new_and_is_to_be_read() -> None:
    assert facts(record(5, added=["m"])) == {"m": Fact("m", "t-m", "5", content=True, labels={})}


def test_per_message_and_label_the_last_record_wins() -> None:
    found = facts(
        record(5, plus={"m": ["STARRED", "A"]}),
        record(6, minus={"m": ["STARRED"]}),
        record(7, plus={"m": ["B"]}),
    )
    assert found["m"].labels == {"STARRED": (False, 6), "A": (True, 5), "B": (True, 7)}
    assert (found["m"].version, found["m"].content, found["m"].gone) == ("7", False, False)


def test_a_message_that_a_page_adds_and_deletes_is_only_gone() -> None:
    found = facts(record(5, added=["m"]), record(6, deleted=["m"]))
    assert found["m"] == Fact("m", "t-m", "6", gone=True, content=True, labels={})


def test_a_message_that_comes_back_is_not_gone() -> None:
    assert not facts(record(5, deleted=["m"]), record(6, added=["m"]))["m"].gone


@pytest.mark.parametrize(("change", "present"), [("plus", True), ("minus", False)])
def test_a_label_takes_nothing_back_of_what_was_said_before(change: str, present: bool) -> None:
    added = facts(record(5, added=["m"]), record(6, **{change: {"m": ["A"]}}))
    assert added["m"] == Fact("m", "t-m", "6", content=True, labels={"A": (present, 6)})
    deleted = facts(record(5, deleted=["m"]), record(6, **{change: {"m": ["A"]}}), record(7, named=["m"]))
    assert deleted["m"] == Fact("m", "t-m", "7", gone=True, labels={"A": (present, 6)})


def test_a_record_without_a_reason_names_its_messages() -> None:
    assert facts(record(5, named=["m"])) == {"m": Fact("m", None, "5", labels={})}


def test_facts_come_in_the_order_of_their_last_record() -> None:
    assert list(facts(record(5, added=["a"]), record(6, added=["b"]), record(7, plus={"a": ["X"]}))) == ["b", "a"]


@pytest.mark.parametrize(
    ("change", "removes"),
    [
        ({"deleted": ["m"]}, True),
        ({"minus": {"m": ["INBOX"]}}, True),
        ({"plus": {"m": ["TRASH"]}}, True),
        ({"plus": {"m": ["STARRED", "SPAM"]}}, True),
        ({"plus": {"m": ["STARRED"]}}, False),
        ({"added": ["m"]}, False),
    ],
)
def test_a_round_remembers_that_something_may_have_left_a_listing(change: dict[str, Any], removes: bool) -> None:
    _, paging, _ = history.receive(Reading(1), answers.history(record(5, **change), token="a"))
    assert isinstance(paging, Reading)
    assert paging.removals is removes
    _, after, _ = history.receive(paging, answers.history())
    assert isinstance(after, Reading)
    assert after.removals is removes


MESSAGES = st.sampled_from(["m1", "m2", "m3"])
LABELS = st.lists(st.sampled_from(["A", "B", "C"]), min_size=1, max_size=2, unique=True)
CHANGES = st.one_of(
    st.fixed_dictionaries({"added": st.lists(MESSAGES, min_size=1, max_size=2, unique=True)}),
    st.fixed_dictionaries({"deleted": st.lists(MESSAGES, min_size=1, max_size=2, unique=True)}),
    st.fixed_dictionaries({"plus": st.dictionaries(MESSAGES, LABELS, min_size=1)}),
    st.fixed_dictionaries({"minus": st.dictionaries(MESSAGES, LABELS, min_size=1)}),
)


@given(st.lists(CHANGES, max_size=12))
def test_a_reduced_page_says_what_its_records_say_one_by_one(changes: list[dict[str, Any]]) -> None:
    records = [record(10 + n, **change) for n, change in enumerate(changes)]
    labels: dict[str, dict[str, tuple[bool, int]]] = {}
    gone: dict[str, bool] = {}
    for number, change in enumerate(changes, 10):
        for name, present in (("plus", True), ("minus", False)):
            for message_id, named in change.get(name, {}).items():
                labels.setdefault(message_id, {}).update(dict.fromkeys(named, (present, number)))
        gone |= dict.fromkeys(change.get("added", []), False) | dict.fromkeys(change.get("deleted", []), True)
    found = facts(*records)
    assert {message_id: fact.gone for message_id, fact in found.items() if message_id in gone} == gone
    assert {message_id: dict(fact.labels or {}) for message_id, fact in found.items() if fact.labels} == labels
