"""Debts: read after each of the first rounds, then ever more seldom, until they are settled or given up."""

from shared.protocol.graph.debts import ROUNDS_MAX, Debts


def test_a_debt_is_collected_each_round_and_then_at_powers_of_two() -> None:
    debts = Debts()
    debts.owe("a")
    debts.owe("a")
    due = [number for number in range(1, 40) if debts.collect()]
    assert due == [1, 2, 3, 4, 8, 16, 32]
    assert debts.rounds("a") == 39


def test_a_settled_debt_is_gone_and_a_stored_one_goes_on() -> None:
    debts = Debts()
    debts.settle("a")
    assert not debts.changed
    debts.owe("a")
    debts.collect()
    again = Debts(debts.dump())
    assert (again.rounds("a"), again.rounds("b"), again.any()) == (1, 0, True)
    again.settle("a")
    assert (again.any(), again.changed, again.collect()) == (False, True, [])


def test_a_debt_that_nobody_ever_settles_is_given_up() -> None:
    debts = Debts()
    debts.owe("a")
    for _ in range(ROUNDS_MAX):
        debts.collect()
    assert debts.any()
    debts.collect()
    assert not debts.any()


def test_only_what_changes_is_stored_again() -> None:
    debts = Debts()
    assert debts.changed is False
    assert (debts.collect(), debts.changed, debts.dump()) == ([], False, "{}")
    debts.owe("a")
    assert (debts.changed, debts.rounds("a"), debts.dump()) == (True, 0, '{"a":0}')
    again = Debts(debts.dump())
    again.owe("a")
    assert not again.changed
    assert (again.collect(), again.changed, again.dump()) == (["a"], True, '{"a":1}')
