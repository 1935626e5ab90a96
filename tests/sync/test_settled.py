"""What the parts of an unfinished walk have settled."""

from shared.sync.settled import Settled


def test_what_is_settled_is_kept_until_the_walk_has_passed_it() -> None:
    settled = Settled('["b","a"]')
    assert "a" in settled
    assert "c" not in settled
    settled.passed(["a", "c"])
    assert settled.dump() == '["b"]'
    assert Settled(None).dump() == Settled("").dump() == "[]"


def test_a_part_that_is_about_to_be_stored_is_told_beside_what_is() -> None:
    settled = Settled('["a"]')
    assert settled.dump(["b"]) == '["a","b"]'
    assert "b" not in settled
