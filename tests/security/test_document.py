"""infra/SECURITY.md: each defence names the tests that show it, and they exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "infra" / "SECURITY.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_test_that_is_named_exists() -> None:
    named = NAMED.findall(TEXT)
    assert len(named) > 40
    for path, name in named:
        functions = [node.name for node in ast.parse((ROOT / path).read_text()).body if hasattr(node, "name")]
        assert name in functions, f"{path}::{name}"


def test_every_defence_has_a_test() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and line.count("|") == 4]
    defences = [row for row in rows if not row.startswith(("| threat", "| asset", "|---"))]
    without = [row for row in defences if not NAMED.search(row)]
    assets = TEXT.partition("## Entry points")[0]
    assert [row for row in without if row not in assets] == []


def test_every_security_test_file_is_named() -> None:
    files = {f"tests/security/{path.name}" for path in (ROOT / "tests" / "security").glob("test_*.py")}
    named = {path for path, _ in NAMED.findall(TEXT)} | {"tests/security/test_document.py"}
    assert files <= named
