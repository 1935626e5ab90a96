"""Watches: who is told through which topic, at most once a second, for seven days.

    POST watch                                            answer
    topicName not projects/P/topics/T, or a foreign P     400
    no publisher right on the topic (knob)                403 "Error sending test message …"
    another topic while a watch runs                      400 "Only one user push notification client …"
    otherwise                                             {"historyId", "expiration": now + 7 d}, one event at once

Events beyond one a second and mailbox are dropped, as documented; an expired watch falls silent without a word.
Source: https://developers.google.com/workspace/gmail/api/guides/push; facts/gmail.md 4 and (b) 24, 25
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infra.emulators.clock import Clock
from infra.emulators.gmail import errors
from infra.emulators.gmail.mailbox import Mailbox
from infra.emulators.gmail.settings import Settings

WATCH_LIFE_S = 7 * 86_400
EVENT_GAP_S = 1.0
_TOPIC = re.compile(r"projects/([a-z][a-z0-9.:-]{4,61}[a-z0-9])/topics/([A-Za-z][A-Za-z0-9._~+%-]{2,254})")
_BEHAVIORS = ("include", "exclude")

Publish = Callable[[str, dict[str, Any]], object]  # topic, data


@dataclass(slots=True)
class Watch:
    topic: str
    labels: frozenset[str]
    behavior: str
    expires_at_s: float


class Watches:
    def __init__(self, settings: Settings, clock: Clock, publish: Publish) -> None:
        self._settings, self._clock, self._publish = settings, clock, publish
        self._last_event_s: dict[str, float] = {}
        self.of: dict[str, Watch] = {}
        self.dropped = 0  # events that came within a second of the one before

    def start(self, mailbox: Mailbox, topic: str, labels: list[str], behavior: str) -> dict[str, Any]:
        self._check(mailbox, topic, labels, behavior)
        expires_at_s = self._clock.now_s() + WATCH_LIFE_S
        self.of[mailbox.address] = Watch(topic, frozenset(labels), behavior, expires_at_s)
        self._send(mailbox, topic)
        return {"historyId": str(mailbox.history.visible_id()), "expiration": str(int(expires_at_s * 1000))}

    def _check(self, mailbox: Mailbox, topic: str, labels: list[str], behavior: str) -> None:
        match = _TOPIC.fullmatch(topic)
        wanted = self._settings.project
        if not match or wanted not in (None, match[1]):
            raise errors.invalid_argument(f"Invalid topicName does not match projects/{wanted or '*'}/topics/*")
        if behavior not in _BEHAVIORS:
            raise errors.invalid_value("label_filter_behavior", "TYPE_ENUM", behavior)
        for label in labels:
            if label not in mailbox.labels:
                raise errors.invalid_argument(f"Invalid label: {label}")
        if not self._settings.publisher_permitted:
            raise errors.ApiError(
                403,
                f"Error sending test message to Cloud PubSub {topic} : User not authorized to perform this action.",
                "forbidden",
            )
        running = self.running(mailbox.address)
        if running is not None and running.topic != topic:
            raise errors.invalid_argument(
                "Only one user push notification client allowed per developer (call /stop then try again)"
            )

    def stop(self, mailbox: Mailbox) -> None:
        self.of.pop(mailbox.address, None)

    def running(self, address: str) -> Watch | None:
        found = self.of.get(address)
        return found if found is not None and self._clock.now_s() < found.expires_at_s else None

    def notify(self, mailbox: Mailbox, touched: set[str]) -> None:
        """`touched`: labels of the changed messages, before or after."""
        running = self.running(mailbox.address)
        if running is None:
            return
        if running.labels and bool(running.labels & touched) != (running.behavior == "include"):
            return
        now_s = self._clock.now_s()
        if now_s - self._last_event_s.get(mailbox.address, 0.0) < EVENT_GAP_S:
            self.dropped += 1
            return
        self._send(mailbox, running.topic)

    def _send(self, mailbox: Mailbox, topic: str) -> None:
        self._last_event_s[mailbox.address] = self._clock.now_s()
        self._publish(topic, {"emailAddress": mailbox.address, "historyId": mailbox.history.current})
