"""make mutants: a seeded sample of faults in core, protocol and sync, each against the tests that reach it.

    SAMPLE=1000 SEED=1      how many of all mutants, and which       ONLY='shared.core.*'  a part of them

mutmut makes the mutants, finds out which test runs which function, and runs these. It works in build/mutation on a copy
of the project. Prints the score: killed of all in the sample, those that no test reaches included. A survivor is killed
by a better test, or named with its reason in survivors.toml; one that is neither makes this end with 1.

Source: https://mutmut.readthedocs.io
"""

import fnmatch
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "mutation"
COPIED = ("functions", "infra", "shared", "tests", "pyproject.toml")
SCORE_MIN = 0.95
KILLED = frozenset(
    {1, 3, 24, 36, 152, 255, -11, -9, -24}
)  # failed tests, and what mutmut counts as a time-out or a crash
NEVER = "shared.core.backoff.no_such_function"


def mutmut(*arguments: str) -> str:
    program = str(Path(sys.executable).with_name("mutmut"))
    ran = subprocess.run((program, *arguments), cwd=WORK, capture_output=True, text=True, check=False)
    return ran.stdout + ran.stderr


def copy() -> None:
    """The project as it is; what mutmut knows of an earlier run stays where nothing has changed."""
    for name in COPIED:
        source, target = ROOT / name, WORK / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def verdicts() -> dict[str, int | None]:
    """Every mutant, and how the tests ended that were run against it."""
    found: dict[str, int | None] = {}
    for meta in (WORK / "mutants").rglob("*.meta"):
        found |= json.loads(meta.read_text())["exit_code_by_key"]
    return found


def difference(name: str) -> tuple[str, str]:
    """The line that was there, and the line that the mutant has."""
    lines = [line for line in mutmut("show", name).splitlines() if re.match(r"[-+](?![-+]{2} )", line)]
    old, new = ([line[1:].strip() for line in lines if line[0] == sign] for sign in "-+")
    return " ".join(old), " ".join(new)


def named() -> dict[tuple[str, str], str]:
    entries = tomllib.loads(Path(__file__).with_name("survivors.toml").read_text()).get("survivor", [])
    return {(entry["was"], entry["became"]): entry["why"] for entry in entries}


def main() -> int:
    size, seed = int(os.environ.get("SAMPLE") or 1000), os.environ.get("SEED") or "1"
    WORK.mkdir(parents=True, exist_ok=True)
    copy()
    told = mutmut("run", NEVER)
    every = sorted(name for name in verdicts() if fnmatch.fnmatch(name, os.environ.get("ONLY") or "*"))
    if not every:
        print(told[-3000:], "\nno mutants were made", file=sys.stderr)
        return 1
    chosen = random.Random(seed).sample(every, min(size, len(every)))
    told = mutmut("run", *chosen)
    found = verdicts()
    codes = Counter(found[name] in KILLED for name in chosen if found[name] is not None)
    if not codes:
        print(told[-3000:], "\nno mutant was tried", file=sys.stderr)
        return 1
    reasons, open_ones = named(), []
    for name in sorted(name for name in chosen if found[name] is not None and found[name] not in KILLED):
        was, became = difference(name)
        why = reasons.get((was, became))
        if why is None:
            open_ones.append(name)
        print(f"{name} ({found[name]})\n  - {was}\n  + {became}\n  {why or 'NOT EXPLAINED'}")
    tried = sum(codes.values())
    print(
        f"{len(every)} mutants, {tried} tried (seed {seed}): {codes[True]} killed = {codes[True] / tried:.1%};", end=" "
    )
    print(f"{codes[False] - len(open_ones)} survivors explained, {len(open_ones)} not")
    return 0 if codes[True] / tried >= SCORE_MIN and not open_ones and tried == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
