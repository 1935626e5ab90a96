"""The part of requirements.lock that runs in production: what pyproject's dependencies need, no development tools.

    python runtime_lock.py requirements.lock pyproject.toml > runtime.lock

The lock says behind each package who needs it (`# via …`); starting at the dependencies, those edges are followed.
Printed with the same versions and hashes: one resolution, one lock.
"""

import re
import sys
import tomllib
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9._-]+")
PROJECT = "tidemark"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def blocks(lock: str) -> dict[str, str]:
    """Package name -> its lines: requirement, hashes, `# via` comments."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in lock.splitlines():
        if line and not line.startswith((" ", "#")):
            match = NAME.match(line)
            name = canonical(match[0]) if match else ""
        if name:
            found.setdefault(name, []).append(line)
    return {each: "\n".join(lines) for each, lines in found.items()}


def needed_by(block: str) -> set[str]:
    """Who needs the package; development groups and the project itself are written as `tidemark (pyproject.toml…)`."""
    said = re.findall(r"^ +#(?: +via)? +([A-Za-z0-9._-]+)(?: .*)?$", block, flags=re.M)
    return {canonical(each) for each in said if each != "via"}


def runtime(lock: str, pyproject: str) -> str:
    packages = blocks(lock)
    needs = tomllib.loads(pyproject)["project"]["dependencies"]
    wanted = {canonical(NAME.match(each)[0]) for each in needs}  # type: ignore[index]
    missing = wanted - packages.keys()
    if missing:
        raise SystemExit(f"not in the lock: {', '.join(sorted(missing))}")
    while more := {name for name, block in packages.items() if name not in wanted and needed_by(block) & wanted}:
        wanted |= more
    return "\n".join(packages[name] for name in sorted(wanted)) + "\n"


if __name__ == "__main__":
    print(runtime(Path(sys.argv[1]).read_text(), Path(sys.argv[2]).read_text()), end="")
