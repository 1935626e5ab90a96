"""The vocabulary between protocol and loop: what a value says where nothing is given."""

from shared.protocol.step import Fact, Step, Walked, Want
from shared.protocol.wire import Request, Response


def test_a_step_says_nothing_and_moves_on_unless_told_otherwise() -> None:
    step = Step("cursor")
    assert (step.facts, step.events, dict(step.pages)) == ((), (), {})
    assert (step.origin, step.name_again, step.clear, step.note_known, step.round_ended) == (
        "live",
        False,
        False,
        False,
        False,
    )


def test_a_fact_is_no_deletion_and_carries_no_version_unless_told_otherwise() -> None:
    fact = Fact("m1")
    assert (fact.gone, fact.content, fact.version, fact.labels, fact.row) == (False, False, "", None, None)


def test_a_message_is_wanted_whole_and_with_its_thread() -> None:
    assert (Want("m1").content, Want("m1").alone) == (True, False)


def test_a_walk_found_its_listing_unless_told_otherwise() -> None:
    assert not Walked(("m1",), 0, 1, ended=False).lost


def test_requests_are_equal_by_what_crosses_the_wire() -> None:
    assert Request("GET", "/path") == Request("GET", "/path", (), {}, None, 0)
    assert Response(200, {}, b"") != Response(204, {}, b"")
