"""What a user will read next: learnt from views, forgotten with time, counted in the user's own days, and bounded."""

import base64
import zlib

import pytest

from shared.core import interest
from shared.core.interest import DAY_S, Candidate, Interest, load

HOUR_S = 3600.0
NINE_S = 20_000 * DAY_S + 9 * HOUR_S  # of some day, UTC


def mail(number: int, thread: str = "", sender: str = "friend", at_s: float = NINE_S) -> Candidate:
    return Candidate(f"m{number}", thread or f"t{number}", sender, at_s)


def arrive(model: Interest, *mails: Candidate) -> None:
    for each in mails:
        model.arrived(each.message_id, each.thread_id, each.sender, each.at_s)


def reader(days: int = 10, hour: int = 9) -> Interest:
    """Reads what the friend sends at nine, and nothing of the five newsletters a day."""
    model = Interest()
    for day in range(days):
        at_s = NINE_S + (day - days) * DAY_S + (hour - 9) * HOUR_S
        model.fade(at_s)
        model.settle()
        arrive(model, *(mail(1000 + 10 * day + n, sender="newsletter", at_s=at_s - 60) for n in range(5)))
        friend = mail(day, at_s=at_s - 60)
        arrive(model, friend)
        model.viewed([friend], at_s)
    model.fade(NINE_S)
    model.settle()
    model.candidates.clear()
    return model


def chances(model: Interest, ahead_s: float = DAY_S) -> dict[str, float]:
    return {each.of.message_id: each.chance for each in model.likely(ahead_s, ())}


def worth(model: Interest, fresh: tuple[str, ...] = (), ahead_s: float = HOUR_S) -> list[str]:
    return [each.of.message_id for each in model.likely(ahead_s, fresh) if each.worth]


def test_mail_of_a_sender_who_is_read_is_likelier_than_of_one_who_is_not() -> None:
    model = reader()
    model.fade(NINE_S)
    arrive(model, mail(1), mail(2, sender="newsletter"), mail(3, sender="stranger"))
    found = chances(model)
    assert found["m1"] > 0.8
    assert found["m1"] > found["m3"] > found.get("m2", 0.0)
    assert worth(model) == ["m1"]


def test_a_mailbox_of_which_nothing_is_read_has_nothing_that_is_worth_a_read() -> None:
    model = Interest()
    model.fade(NINE_S)
    arrive(model, *(mail(n) for n in range(50)))
    assert worth(model, tuple(model.candidates)) == []


def test_a_reply_in_a_thread_that_was_viewed_lately_is_worth_it_at_any_hour() -> None:
    model = reader()
    model.fade(NINE_S)
    model.viewed([mail(1, "talk", "stranger")], NINE_S)
    night_s = NINE_S + 17 * HOUR_S
    model.fade(night_s)
    arrive(model, mail(2, "talk", "stranger", night_s), mail(3, "else", "stranger", night_s))
    assert model.follows("talk")
    assert not model.follows("else")
    assert worth(model, ("m2", "m3")) == ["m2"]


def test_a_thread_is_not_followed_any_more_some_days_later() -> None:
    model = Interest()
    model.fade(NINE_S)
    model.viewed([mail(1, "talk")], NINE_S)
    model.fade(NINE_S + 3 * DAY_S)
    assert not model.follows("talk")


def test_a_thread_that_the_user_has_named_is_kept_warm_without_having_been_viewed() -> None:
    model = reader()
    model.fade(NINE_S + 17 * HOUR_S)
    arrive(model, mail(1, "named", "newsletter", NINE_S))
    found = model.likely(HOUR_S, (), {"named"})
    assert [(each.of.message_id, each.chance, each.worth) for each in found] == [("m1", 1.0, True)]


def test_the_hours_in_which_nothing_is_read_do_not_age_a_message() -> None:
    """What came in the evening has hardly aged by the morning; what came a day ago has."""
    model = reader()
    model.fade(NINE_S)
    arrive(model, *(mail(hours, at_s=NINE_S - hours * HOUR_S) for hours in (3, 14, 25)))
    found = chances(model)
    assert found["m14"] > 0.7 * found["m3"]
    assert found.get("m25", 0.0) < 0.2 * found["m3"]


def test_a_read_waits_for_the_hours_in_which_it_is_likely() -> None:
    model = reader(days=40)
    for hour, expected in ((15, []), (24 + 8.5, ["m1"])):
        model.fade(NINE_S + (hour - 9) * HOUR_S)
        arrive(model, mail(1, at_s=NINE_S + 5 * HOUR_S))
        assert worth(model) == expected


def test_what_was_read_is_likely_as_often_as_its_thread_is_viewed() -> None:
    model = reader()
    model.fade(NINE_S)
    model.viewed([mail(1, "once")], NINE_S)
    for _ in range(5):
        model.viewed([mail(2, "often")], NINE_S)
    found = chances(model)
    assert found["m2"] > found["m1"] > 0.2
    model.fade(NINE_S + 14 * DAY_S)
    assert chances(model) == {}


def test_a_view_of_a_whole_thread_is_one_view_and_one_read_of_each_message() -> None:
    model = Interest()
    model.fade(NINE_S)
    thread = [mail(n, "talk", sender) for n, sender in enumerate(("ann", "ann", "bob"))]
    arrive(model, *thread)
    model.viewed(thread, NINE_S)
    model.viewed(list(model.candidates.values()), NINE_S)
    assert model.threads["talk"] == interest.Tally(seen=3, read=3, views=2)
    assert model.senders == {"ann": interest.Tally(2, 2), "bob": interest.Tally(1, 1)}
    assert model.hours[9] == 2


def test_a_candidate_that_is_read_has_been_seen_before() -> None:
    model = Interest()
    model.fade(NINE_S)
    arrive(model, mail(1))
    model.viewed(list(model.candidates.values()), NINE_S)
    assert model.mailbox == interest.Tally(seen=1, read=1)


def test_old_mail_that_is_read_counts_as_an_arrival_of_its_own() -> None:
    model = Interest()
    model.fade(NINE_S)
    model.viewed([mail(1)], NINE_S)
    assert model.mailbox == interest.Tally(1, 1)
    assert model.candidates["m1"].was_read


def test_an_arrival_counts_once_it_was_passed_over_and_only_once() -> None:
    """Ten that come at once say nothing of each other."""
    model = Interest()
    model.fade(NINE_S)
    arrive(model, mail(1), mail(1), mail(2))
    model.settle()
    assert model.mailbox.seen == 0
    model.fade(NINE_S + 8 * HOUR_S)
    for _ in range(2):
        model.settle()
    assert model.mailbox.seen == pytest.approx(2, rel=0.1)
    model.viewed([mail(1)], model.now_s)
    assert model.mailbox.seen == pytest.approx(2, rel=0.1)
    assert model.mailbox.read == 1


def test_a_message_that_went_unread_was_passed_over() -> None:
    model = Interest()
    model.fade(NINE_S)
    arrive(model, mail(1))
    for _ in range(2):
        model.gone("m1")
    assert model.mailbox == interest.Tally(seen=1)
    assert model.newest() == []


def test_a_habit_fades_by_half_in_two_weeks_and_a_late_report_weighs_what_it_would_by_now() -> None:
    early, late = Interest(), Interest()
    early.fade(NINE_S)
    early.viewed([mail(1)], NINE_S)
    early.fade(NINE_S + 14 * DAY_S)
    late.fade(NINE_S + 14 * DAY_S)
    late.viewed([mail(1)], NINE_S)
    for model in (early, late):
        assert model.hours[9] == pytest.approx(0.5)
        assert model.senders["friend"].read == pytest.approx(0.5)
        assert model.threads["t1"].views == pytest.approx(0.5**7)


def test_a_habit_fades_however_often_it_is_written_down() -> None:
    model = reader()
    model.fade(NINE_S)
    before = model.senders["friend"].read
    for minute in range(14 * 24 * 4):
        model = load(model.dump())
        model.fade(NINE_S + minute * 15 * 60)
    assert model.senders["friend"].read == pytest.approx(before / 2, rel=0.02)


def test_a_clock_that_goes_back_changes_nothing() -> None:
    model = Interest()
    model.fade(NINE_S)
    model.viewed([mail(1)], NINE_S)
    model.fade(NINE_S - DAY_S)
    assert model.at_s == NINE_S
    assert model.hours[9] == 1
    model.viewed([mail(2)], NINE_S + DAY_S)  # reported by a clock that is ahead
    assert model.hours[9] == 2


def test_everything_the_newest_first_for_who_wants_no_prediction() -> None:
    model = Interest()
    model.fade(NINE_S)
    arrive(model, mail(1, at_s=NINE_S - 60), mail(2), mail(3, at_s=NINE_S - 90))
    assert [(each.of.message_id, each.worth) for each in model.newest()] == [("m2", True), ("m1", True), ("m3", True)]


def test_a_full_model_keeps_what_tells_the_most_and_stays_a_few_kib() -> None:
    model = Interest()
    model.fade(NINE_S)
    for n in range(1000):
        sender = base64.b64encode(n.to_bytes(6, "big")).decode()
        arrive(model, Candidate(f"{n * 7919**5:016x}", f"{n * 7919**5:016x}", sender, NINE_S - 60 * n))
    friend = [Candidate(f"{n:016x}", f"{n % 3:016x}", "friend", NINE_S - 5 * DAY_S) for n in range(20)]
    arrive(model, *friend)
    model.viewed(friend, NINE_S)
    model.settle()
    assert len(model.senders) == interest.SENDERS_MAX
    assert len(model.threads) == interest.THREADS_MAX
    assert len(model.candidates) == interest.CANDIDATES_MAX
    assert "friend" in model.senders
    assert all(model.follows(f"{n:016x}") for n in range(3))
    assert all(each.message_id in model.candidates for each in friend)
    assert len(model.dump()) < 6 * 1024


def test_a_model_that_is_not_full_loses_nothing() -> None:
    model = reader()
    arrive(model, mail(1), mail(2, sender="newsletter"))
    before = model.dump()
    model.settle()
    assert model.dump() == before


def test_long_ids_cost_little_where_they_are_alike() -> None:
    """Outlook's have some 150 characters, of which all but the last are those of the mailbox."""
    model = Interest()
    model.fade(NINE_S)
    mailbox = "AAMkADk0MGFkODE3LWE4MmYtNDRhOS04OGQxLTEyMzQ1Njc4OTBhYgBGAAAAAAC" * 2
    arrive(
        *(model,),
        *(Candidate(f"{mailbox}{n * 7919**4:020x}", f"{mailbox}{n * 104729**3:018x}", "s", NINE_S) for n in range(128)),
    )
    assert len(model.dump()) < 8 * 1024


def test_a_model_is_read_as_it_was_written() -> None:
    model = reader()
    arrive(model, mail(1), mail(2))
    model.viewed([mail(2)], NINE_S)
    again = load(model.dump())
    assert again.candidates == model.candidates
    assert load(again.dump()) == again


def dumped(said: bytes) -> str:
    return base64.b64encode(zlib.compress(said)).decode()


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "x", "not base64!", base64.b64encode(b"not deflated").decode()),
        *(dumped(b"{}"), dumped(b"[]"), dumped(b"[1,[0,0,0],[0],[],[],[]]"), dumped(b"[1,[0],[0],{},{},[]]")),
        *(dumped(b'["x",[0,0,0],[0],{},{},[]]'), dumped(b"[1,[0,0,0],[0],{},{},[[1]]]"), dumped(b" " * 10**6)),
    ],
)
def test_a_model_that_can_not_be_read_is_learnt_again(text: str | None) -> None:
    assert load(text) == Interest()


def test_a_model_of_fewer_hours_is_filled_up() -> None:
    assert load(dumped(b"[1,[0,0,0],[2],{},{},[]]")).hours == [2.0] + [0.0] * 23
