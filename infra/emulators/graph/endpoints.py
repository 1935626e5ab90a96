"""How a subscriber's endpoint is doing, and what Graph does about a slow one.

    slow answers in 10 minutes    state    new notifications
    at most 10 %                  well     are sent
    more than 10 %                slow     wait 10 s
    more than 15 %                drop     are dropped, for 10 minutes

An endpoint is a URL without its query: one slow path hurts every subscription on it.
Source: https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Literal

from infra.emulators.graph.knobs import Knobs

State = Literal["well", "slow", "drop"]


@dataclass(slots=True)
class _Endpoint:
    answers: deque[tuple[float, bool]] = field(default_factory=deque)  # when, whether slow
    dropping_until_s: float = 0.0


class Endpoints:
    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self._known: dict[str, _Endpoint] = defaultdict(_Endpoint)

    def answered(self, url: str, now_s: float, took_real_s: float) -> None:
        self._known[_name(url)].answers.append((now_s, took_real_s > self._knobs.slow_ack_real_s))

    def state(self, url: str, now_s: float) -> State:
        knobs, endpoint = self._knobs, self._known[_name(url)]
        if now_s < endpoint.dropping_until_s:
            return "drop"
        while endpoint.answers and endpoint.answers[0][0] < now_s - knobs.slow_window_s:
            endpoint.answers.popleft()
        if len(endpoint.answers) < knobs.slow_sample_min:
            return "well"
        share = sum(slow for _, slow in endpoint.answers) / len(endpoint.answers)
        if share > knobs.drop_share:
            endpoint.dropping_until_s = now_s + knobs.drop_for_s
            endpoint.answers.clear()
            return "drop"
        return "slow" if share > knobs.slow_share else "well"


def _name(url: str) -> str:
    return url.partition("?")[0]
