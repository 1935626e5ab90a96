"""A plan carried out with answers at hand: requests are yielded, answers sent back, as sync/renew.py does."""

from collections.abc import Generator
from typing import Any

from shared.protocol.wire import Request, Response


def carried(plan: Generator[Request, Response, Any], *answers: Response) -> tuple[Any, list[Request]]:
    """The plan's result, and what it asked."""
    asked = [next(plan)]
    for answer in answers:
        try:
            asked.append(plan.send(answer))
        except StopIteration as end:
            return end.value, asked
    raise AssertionError("the plan wants more answers")
