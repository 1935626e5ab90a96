"""Many seeds, side by side in processes; and the product's own log lines kept out of it."""

import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

from tests.simulation.plan import Plan, plan
from tests.simulation.run import simulate
from tests.simulation.witness import Violation

CHUNK = 50
Met = Counter[str]
Failed = list[tuple[int, str]]


@contextmanager
def quiet() -> Iterator[None]:
    """A sync logs a line; a hundred thousand syncs are simulated."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def fails(of: Plan) -> bool:
    try:
        simulate(of)
    except Violation:
        return True
    return False


def chunk(provider: str, seeds: range) -> tuple[Met, Failed]:
    """What these seeds met, and which of them failed."""
    met: Met = Counter()
    failed: Failed = []
    with quiet():
        for seed in seeds:
            try:
                met += simulate(plan(provider, seed))
            except Violation as violation:
                failed.append((seed, str(violation)))
    return met, failed


def many(provider: str, seeds: range, workers: int) -> tuple[Met, Failed]:
    met: Met = Counter()
    failed: Failed = []
    chunks = [seeds[i : i + CHUNK] for i in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for some, bad in pool.map(chunk, [provider] * len(chunks), chunks):
            met += some
            failed += bad
    return met, failed
