"""What is secret is compared in constant time: `==` on anything named like a secret needs a reason here.

Not on "state": accounts and breakers have one, and a consent's is never compared, it is looked up by its digest.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECRET = re.compile(r"(^|_)(secret|token|mac|hmac|digest|signature|password|nonce|verifier|browser|api_key|mark)$")

# path: the comparison -> why its time tells nothing
HARMLESS = {
    "shared/adapters/access.py: token == self._token": "both are ours: has another task replaced it meanwhile?",
    "shared/adapters/google_auth.py: rotated not in ('', refresh_token)": "what Google sent with what it was sent",
    "shared/protocol/gmail/history.py: token == before": "page tokens: does a page name itself as the next?",
    "shared/protocol/graph/known.py: digest != getattr(before, name)": "digests of messages, for finding changes",
}


def names(node: ast.expr) -> list[str]:
    return [
        found.id
        if isinstance(found, ast.Name)
        else found.attr
        if isinstance(found, ast.Attribute)
        else str(found.value)
        for found in ast.walk(node)
        if isinstance(found, ast.Name | ast.Attribute)
        or (isinstance(found, ast.Constant) and isinstance(found.value, str))
    ]


def comparisons() -> set[str]:
    found = set()
    for path in [*(ROOT / "shared").rglob("*.py"), *(ROOT / "functions").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Compare) or not isinstance(
                node.ops[0], ast.Eq | ast.NotEq | ast.In | ast.NotIn
            ):
                continue
            text = ast.unparse(node)
            sides = [side for side in (node.left, *node.comparators) if not isinstance(side, ast.Constant)]
            if len(sides) == 2 and any(SECRET.search(name) for side in sides for name in names(side)):
                found.add(f"{path.relative_to(ROOT)}: {text}")
    return found


def test_no_secret_is_compared_in_a_time_that_tells_about_it() -> None:
    assert comparisons() == set(HARMLESS)


def test_each_proof_is_compared_in_constant_time() -> None:
    """The API key, a session, a consent's browser, a notification's client state."""
    for name in ("edge", "adapters/sessions", "adapters/consents", "protocol/graph/notification"):
        assert "hmac.compare_digest(" in (ROOT / "shared" / f"{name}.py").read_text()
