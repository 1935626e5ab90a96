"""The house rules that no linter knows: names, sizes, the top level, reasons for skips, and nothing of one machine.

Each rule is a function over the tracked files; an exception is an entry of an allow-list with its reason.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 50
SIZED = ("shared", "functions", "infra")

TOP_LEVEL = {
    *("functions", "shared", "tests", "infra"),
    *("Makefile", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "requirements.lock"),
}
FORBIDDEN_CLASS = re.compile(r"(Manager|Service|Helper|Util|Utils)$")
DISTRIBUTIONS = {"google": "google-auth"}  # where it is not called as what it is imported as
FORBIDDEN_MODULES = {"common", "base", "helpers", "utils", "util", "helper", "misc"}

SKIPS = {"pytest.skip", "pytest.xfail", "pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail"}

# path, or path::function -> why it may be longer
LONG_FILES: dict[str, str] = {
    "infra/emulators/graph/mailbox.py": "one store whose operations share their log; eight lines over",
}
LONG_FUNCTIONS: dict[str, str] = {}

# Written in pieces, so that this file does not hold what it looks for.
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:" + "|".join(["root", "home", "Users", "work", "opt"]) + r")/\w")
REGISTRY_HOST = re.compile(
    r"\b(?:" + r"|".join(["pypi" + r"\.org", "python" + r"hosted\.org", "npm" + r"js\.(?:org|com)"]) + r")\b"
)
NOT_OURS = ("tests/samples/", "infra/emulators/sample/")  # mail as it was sent


@cache
def tracked() -> tuple[Path, ...]:
    """What git tracks, and what it would if it were added now."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return tuple(path for name in sorted(set(names)) if name and (path := ROOT / name).is_file())


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def modules() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in tracked() if path.suffix == ".py"}


def sized() -> Iterator[tuple[Path, ast.Module]]:
    return ((path, tree) for path, tree in modules().items() if name(path).startswith(SIZED))


def test_the_top_level_is_fixed() -> None:
    found = {name(path).split("/")[0] for path in tracked()}
    assert {entry for entry in found if not entry.startswith(".")} <= TOP_LEVEL


def test_no_class_and_no_module_has_a_name_that_says_nothing() -> None:
    bad = [name(path) for path in modules() if path.stem.lower() in FORBIDDEN_MODULES]
    for path, tree in modules().items():
        classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
        bad += [f"{name(path)}::{node.name}" for node in classes if FORBIDDEN_CLASS.search(node.name)]
    assert bad == []


def test_every_module_says_what_it_is_for() -> None:
    assert [name(path) for path, tree in modules().items() if not ast.get_docstring(tree)] == []


def test_files_stay_small() -> None:
    lines = {name(path): path.read_text().count("\n") for path, _ in sized()}
    assert {path: n for path, n in lines.items() if n > FILE_LINES_MAX and path not in LONG_FILES} == {}


def test_functions_stay_small() -> None:
    long: dict[str, int] = {}
    for path, tree in sized():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long[f"{name(path)}::{node.name}"] = lines
    assert {where: n for where, n in long.items() if where not in LONG_FUNCTIONS} == {}


def test_every_exception_is_still_needed_and_has_a_reason() -> None:
    for where, reason in {**LONG_FILES, **LONG_FUNCTIONS}.items():
        assert (ROOT / where.split("::")[0]).is_file(), f"{where} is gone: take it off the list"
        assert len(reason.split()) >= 3, f"{where} needs a reason"


def test_every_skipped_test_says_why() -> None:
    silent = []
    for path, tree in modules().items():
        calls = {call.func: call for call in ast.walk(tree) if isinstance(call, ast.Call)}
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and ast.unparse(node) in SKIPS
                and not _has_reason(node, calls.get(node))
            ):
                silent.append(f"{name(path)}:{node.lineno}")
    assert silent == []


def _has_reason(node: ast.Attribute, call: ast.Call | None) -> bool:
    """As `reason=`, or as the first argument where that is the reason; `skipif` begins with its condition."""
    if call is None:
        return False
    return any(word.arg == "reason" for word in call.keywords) or (bool(call.args) and node.attr != "skipif")


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY_HOST], ids=["machine path", "registry host"])
def test_no_tracked_file_names_one_machine_or_registry(pattern: re.Pattern[str]) -> None:
    found = []
    for path in tracked():
        if name(path).startswith(NOT_OURS):
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:  # an image, or mail
            continue
        found += [f"{name(path)}:{n}" for n, line in enumerate(text.split("\n"), 1) if pattern.search(line)]
    assert found == []


def test_what_the_product_imports_is_named_in_pyproject() -> None:
    """Not only brought along by something else, which may stop doing so."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {re.split(r"[^\w.-]", each)[0].lower() for each in project["dependencies"]}
    found: set[str] = set()
    for path, tree in modules().items():
        if not name(path).startswith(("shared/", "functions/")):
            continue
        for node in ast.walk(tree):
            imported = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            imported += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {each.split(".")[0] for each in imported} - sys.stdlib_module_names - {"shared", "functions"}
    assert {DISTRIBUTIONS.get(each, each.replace("_", "-")) for each in found} <= named


def test_make_help_lists_every_target_a_person_may_call() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)[0].split())
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert phony == set(re.findall(r"^  make ([\w-]+)", shown, re.MULTILINE))
