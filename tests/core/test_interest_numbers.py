"""The arithmetic of interest: shares, the user's days, chances, limits, and how a model is written down."""

import base64
import zlib
from math import exp, log

import orjson
import pytest

from shared.core import interest
from shared.core.interest import DAY_S, HOUR_S, MEAN_DELAY_DAYS, Candidate, Interest, Likely, Tally, load

NINE_S = 20_000 * DAY_S + 9 * HOUR_S  # of some day, UTC
MIDNIGHT_S = 20_000 * DAY_S


def hours(**weights: float) -> list[float]:
    """`at9=12.0`: of what is read at nine."""
    return [weights.get(f"at{hour}", 0.0) for hour in range(24)]


def written(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode())).decode()


def read_at(*views: float) -> Interest:
    """A read message m0, m1 … in each thread t0, t1 …, which has so many views."""
    model = Interest(NINE_S)
    for n, each in enumerate(views):
        model.threads[f"t{n}"] = Tally(views=each)
        model.candidates[f"m{n}"] = Candidate(f"m{n}", f"t{n}", "s", NINE_S, was_read=True, decided=True)
    model.fade(NINE_S)
    return model


def chances(model: Interest, ahead_s: float = DAY_S) -> dict[str, float]:
    return {each.of.message_id: each.chance for each in model.likely(ahead_s, ())}


def age(weights: list[float], from_s: float, until_s: float) -> float:
    """In the user's days: taken from the chance of a message in a mailbox of which nearly all is read."""
    model = Interest(until_s, Tally(98.0, 98.0), weights)
    model.fade(until_s)
    model.arrived("m", "t", "s", from_s)
    [found] = model.likely(DAY_S, {"m"}, {"t"})
    assert found == Likely(Candidate("m", "t", "s", from_s), 1.0, True)
    [found] = model.likely(DAY_S, ())
    p, k, c = 0.984, 1.0 - exp(-1.0 / MEAN_DELAY_DAYS), found.chance
    return -MEAN_DELAY_DAYS * log(c * (1.0 - p) / (p * (k - c)))


def test_a_share_is_drawn_to_what_is_believed_and_never_more_than_all() -> None:
    assert Tally().share(0.2) == 0.2
    assert Tally(2.0, 2.0).share(0.2) == pytest.approx(0.6)
    assert Tally(6.0, 0.0).share(0.4) == pytest.approx(0.1)
    assert Tally(1.0, 5.0).share(1.0) == 1.0


def test_what_is_forgotten_of_a_tally_is_the_same_part_of_each_number() -> None:
    tally = Tally(8.0, 4.0, 2.0)
    tally.fade(0.5)
    assert tally == Tally(4.0, 2.0, 1.0)


def test_weights_are_as_of_a_whole_hour_and_ages_as_of_now() -> None:
    model = Interest(NINE_S, hours=[8.0] * 24)
    model.fade(NINE_S + 1.5 * HOUR_S)
    assert (model.at_s, model.now_s) == (NINE_S + HOUR_S, NINE_S + 1.5 * HOUR_S)
    assert model.hours == [8.0 * 0.5 ** (1 / (14 * 24))] * 24


WEIGHTS = hours(at9=12.0, at10=4.0, at23=8.0)
AROUND = {8: 3.0, 9: 7.0, 10: 5.0, 11: 1.0, 22: 2.0, 23: 4.0, 0: 2.0}  # a quarter of what is beside, half of its own


def share(hour: int) -> float:
    return (AROUND.get(hour, 0.0) + 1 / 12) / (24.0 + 2.0)


def share_of_a_day(from_s: float, until_s: float) -> float:
    return age(WEIGHTS, from_s, until_s)


@pytest.mark.parametrize("hour", range(24))
def test_an_hour_passes_by_as_much_as_is_read_about_it(hour: int) -> None:
    from_s = MIDNIGHT_S + hour * HOUR_S
    assert share_of_a_day(from_s, from_s + HOUR_S) == pytest.approx(share(hour), abs=1e-6)


def test_parts_of_hours_and_whole_days_add_up() -> None:
    half_past_s = NINE_S + HOUR_S / 2
    assert share_of_a_day(half_past_s, half_past_s + 0.75 * HOUR_S) == pytest.approx(
        share(9) / 2 + share(10) / 4, abs=1e-6
    )
    assert share_of_a_day(NINE_S - DAY_S, NINE_S) == pytest.approx(1.0, abs=1e-6)
    late_s = MIDNIGHT_S + 23.5 * HOUR_S
    assert share_of_a_day(late_s, late_s + HOUR_S) == pytest.approx(share(23) / 2 + share(0) / 2, abs=1e-6)


@pytest.mark.parametrize("later_s", [0.0, HOUR_S])
def test_what_arrives_now_or_in_the_future_has_no_age(later_s: float) -> None:
    assert share_of_a_day(NINE_S + later_s, NINE_S) == pytest.approx(0.0, abs=1e-7)


def test_what_was_read_is_read_again_by_the_views_of_its_thread() -> None:
    """A weight of one, which halves in two days, comes of log(2) / 2 views a day."""
    assert chances(read_at(1.0, 2.0, 4.0)) == pytest.approx({"m2": 0.75, "m1": 0.5, "m0": 1 - 0.5**0.5})


def test_an_unread_message_is_as_likely_as_its_sender_and_thread_say() -> None:
    model = Interest(NINE_S, senders={"s": Tally(2.0, 2.0)}, threads={"t": Tally(2.0, 2.0)})
    model.fade(NINE_S)
    model.arrived("stranger's", "t3", "s3", NINE_S)
    model.arrived("sender's", "t2", "s", NINE_S)
    model.arrived("thread's", "t", "s", NINE_S)
    within = 1.0 - exp(-1.0 / MEAN_DELAY_DAYS)
    assert chances(model) == pytest.approx(
        {"thread's": 0.8 * within, "sender's": 0.6 * within, "stranger's": 0.2 * within}
    )


def test_the_likeliest_comes_first_then_the_newest_then_what_was_named_last() -> None:
    model = read_at(2.0, 4.0, 4.0, 4.0)
    model.candidates["m2"].at_s += 60
    assert list(chances(model)) == ["m2", "m3", "m1", "m0"]


def test_without_prediction_everything_is_certain() -> None:
    model = read_at(0.0, 1.0)
    assert model.newest() == [Likely(model.candidates[name], 1.0, True) for name in ("m1", "m0")]


def test_a_read_that_is_not_likely_soon_can_wait() -> None:
    model = read_at(8.0)
    assert [each.worth for each in model.likely(HOUR_S, ())] == [True]
    assert [each.worth for each in model.likely(HOUR_S / 6, ())] == [False]


def test_each_limit_itself_is_within(monkeypatch: pytest.MonkeyPatch) -> None:
    model = read_at(2.0)
    chance = chances(model)["m0"]
    monkeypatch.setattr(interest, "KEPT_CHANCE", chance)
    assert [each.worth for each in model.likely(DAY_S, ())] == [False]
    monkeypatch.setattr(interest, "WORTH_CHANCE", chance)
    monkeypatch.setattr(interest, "SOON_CHANCE", chance)
    assert [each.worth for each in model.likely(DAY_S, ())] == [True]


def test_a_thread_viewed_once_is_followed_for_two_days() -> None:
    model = read_at(1.0)
    model.fade(NINE_S + 2 * DAY_S)
    assert model.follows("t0")
    model.fade(NINE_S + 2 * DAY_S + HOUR_S)
    assert not model.follows("t0")


def test_unread_for_as_long_as_the_limit_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interest, "PASSED_OVER_DAYS", 1.0)
    model = Interest(NINE_S)
    model.fade(NINE_S)
    model.arrived("m1", "t", "s", NINE_S - DAY_S)
    model.arrived("m2", "t", "s", NINE_S - DAY_S + HOUR_S)
    model.settle()
    assert [each.decided for each in model.candidates.values()] == [True, False]


def test_what_was_seen_late_weighs_what_it_would_by_now() -> None:
    model = Interest(NINE_S)
    model.fade(NINE_S)
    model.arrived("m1", "t", "s", NINE_S - 14 * DAY_S)
    model.gone("m1")
    assert (model.mailbox, model.senders, model.threads) == (
        Tally(seen=0.5),
        {"s": Tally(seen=0.5)},
        {"t": Tally(seen=0.5**7)},
    )
    model.viewed([Candidate("m2", "t", "s", NINE_S)], NINE_S - 2 * DAY_S)
    slow = 0.5 ** (1 / 7)
    assert model.mailbox == Tally(0.5 + slow, slow)
    assert model.threads == {"t": Tally(0.5**7 + 0.5, 0.5, 0.5)}


def test_a_thread_that_was_forgotten_is_known_again_by_a_view() -> None:
    model = read_at(1.0)
    model.threads.clear()
    model.viewed([model.candidates["m0"]], NINE_S)
    assert model.threads == {"t0": Tally(views=1.0)}


def test_the_senders_that_are_kept_are_those_unlike_the_average() -> None:
    unlike = {f"s{n}": Tally(10.0, 10.0) for n in range(interest.SENDERS_MAX - 1)}
    model = Interest(NINE_S, senders={"usual": Tally(100.0, 20.0), "rare": Tally(1.0), "never": Tally(10.0)} | unlike)
    model.fade(NINE_S)
    model.settle()
    assert model.senders == {"never": Tally(10.0)} | unlike


def test_the_threads_that_are_kept_are_those_most_viewed_then_most_written_in() -> None:
    viewed = {f"t{n}": Tally(views=1.0) for n in range(interest.THREADS_MAX - 1)}
    model = Interest(NINE_S, threads={"quiet": Tally(2.0, 2.0), "loud": Tally(3.0)} | viewed)
    model.fade(NINE_S)
    model.settle()
    assert model.threads == {"loud": Tally(3.0)} | viewed


def test_a_message_that_has_to_make_room_was_passed_over() -> None:
    model = read_at(*[9.0] * interest.CANDIDATES_MAX)
    model.arrived("new", "t", "s", NINE_S)
    model.settle()
    assert list(model.candidates) == [f"m{n}" for n in range(interest.CANDIDATES_MAX)]
    assert model.mailbox == Tally(seen=1.0)


def test_a_model_is_written_down_shortly_and_read_as_it_was() -> None:
    model = Interest(
        NINE_S,
        Tally(3.0, 2.0, 0.5),
        hours(at0=1.0, at9=2.5, at23=0.25),
        {"ann": Tally(2.0, 1.0), "bob": Tally(1.0, 1.0)},
        {"talk": Tally(3.0, 2.0, 4.0), "else": Tally(1.0)},
        {
            "m1": Candidate("m1", "talk", "ann", NINE_S, was_read=True, decided=True),
            "m2": Candidate("m2", "else", "bob", NINE_S - 60, decided=True),
            "m3": Candidate("m3", "else", "ann", NINE_S - 90),
        },
    )
    text = model.dump()
    deflated = base64.b64decode(text)
    assert deflated[:2] == b"\x78\xda"  # at the highest level
    assert orjson.loads(zlib.decompress(deflated)) == [
        int(NINE_S),
        [3.0, 2.0, 0.5],
        [1.0, *[0.0] * 8, 2.5, *[0.0] * 13, 0.25],
        {"ann": [2.0, 1.0, 0.0], "bob": [1.0, 1.0, 0.0]},
        {"talk": [3.0, 2.0, 4.0], "else": [1.0, 0.0, 0.0]},
        [
            ["m1", "talk", "ann", int(NINE_S), 1, 1],
            ["m2", "else", "bob", int(NINE_S) - 60, 0, 1],
            ["m3", "else", "ann", int(NINE_S) - 90, 0, 0],
        ],
    ]
    assert load(text) == model


def test_numbers_are_rounded_where_they_are_written_down() -> None:
    third = 1 / 3
    model = Interest(NINE_S + 0.4, Tally(third, third, third), [third] * 24)
    assert load(model.dump()) == Interest(NINE_S, Tally(0.3333, 0.3333, 0.3333), [0.3333] * 24)


def test_a_model_of_more_hours_is_cut_and_one_of_too_many_bytes_is_learnt_again() -> None:
    assert load(written(f"[1,[0,0,0],{[1] * 30},{{}},{{}},[]]")).hours == [1.0] * 24
    valid = "[1,[0,0,0],[0],{},{},[]]"
    assert load(written(" " * (interest.JSON_BYTES_MAX - len(valid)) + valid)).at_s == 1.0
    assert load(written(" " * (interest.JSON_BYTES_MAX - len(valid) + 1) + valid)) == Interest()
