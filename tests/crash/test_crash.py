"""Processes ended by SIGKILL at a step of their I/O lose nothing: a sample of `make crash`, which tries each step."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.crash.flows import FLOWS
from tests.crash.mailboxes import Box, GmailBox, OutlookBox
from tests.crash.play import play, play_all
from tests.crash.stage import Process, Stage

OF = {flow.name: flow for flow in FLOWS}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as made:
        yield made


@pytest.mark.parametrize(
    ("box_of", "name", "every"),
    [(GmailBox, "changes", 5), (OutlookBox, "changes", 8), (GmailBox, "deletion", 4), (OutlookBox, "push", 16)],
)
def test_a_killed_process_loses_nothing(stage: Stage, box_of: type[Box], name: str, every: int) -> None:
    played = play_all(stage, box_of, OF[name], every)
    assert played.failures == []
    assert played.kills == len(range(0, len(played.steps), every))


def test_what_is_lost_is_noticed(stage: Stage) -> None:
    """The checks can fail: an event that vanishes from the log is a difference."""

    def forgetful(victim: Process, box: Box, account_id: str) -> None:
        OF["changes"].act(victim, box, account_id)
        stage.forget_event(account_id, 3)

    with pytest.raises(AssertionError):
        play(stage, GmailBox, replace(OF["changes"], act=forgetful), 0)
