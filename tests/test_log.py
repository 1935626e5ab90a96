"""Log lines: JSON, and nothing in them that is not known to be harmless."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import AuthorizationLost, ProviderDown
from shared.log import FIELDS, LEVELS, install, log, safe

ROOT = Path(__file__).parent.parent
TOKEN = "ya29.a0AfH6SMBx" + "k" * 60
ADDRESS = "ada@example.org"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_json_line_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    log("sync_finished", account_id="a-1", status="synced", count=3, duration_s=0.5, more=False, retry_after_s=None)
    [line] = lines(capsys)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "severity": "INFO",
        "event": "sync_finished",
        "account_id": "a-1",
        "status": "synced",
        "count": 3,
        "duration_s": 0.5,
        "more": False,
        "retry_after_s": None,
    }


def test_a_field_that_is_not_known_is_dropped_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    log("connected", email=ADDRESS, access_token=TOKEN, count=1)
    [line] = lines(capsys)
    assert line["dropped"] == ["access_token", "email"]
    assert line["count"] == 1


@pytest.mark.parametrize("value", [ADDRESS, TOKEN, "two words", "line\nbreak", "naïve", b"bytes", [1], {"a": 1}, 2**80])
def test_a_value_that_is_not_a_plain_scalar_is_redacted(value: object, capsys: pytest.CaptureFixture[str]) -> None:
    log("odd", reason=value)
    [line] = lines(capsys)
    assert line["reason"] == "(redacted)"


def test_numbers_that_json_cannot_hold_do_not_end_the_sync(capsys: pytest.CaptureFixture[str]) -> None:
    log("odd", duration_s=float("nan"), count=-1)
    assert lines(capsys)[0]["duration_s"] is None


@given(st.text() | st.binary() | st.lists(st.text()) | st.floats() | st.integers())
def test_whatever_is_logged_is_plain_or_redacted(value: object) -> None:
    kept = safe(value)
    assert kept == "(redacted)" or not isinstance(kept, str) or (len(kept) <= 64 and "@" not in kept)


def deepest() -> None:
    secret_local = TOKEN
    raise ValueError(f"token {secret_local} of {ADDRESS}")


def test_a_foreign_exception_is_told_by_class_and_lines_only(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        try:
            deepest()
        except ValueError as first:
            raise KeyError(ADDRESS) from first
    except KeyError as error:
        log("failed", level="error", error=error)
    text = capsys.readouterr().err
    assert TOKEN not in text
    assert ADDRESS not in text
    [outer, cause] = json.loads(text)["error"]
    assert outer["class"] == "builtins.KeyError"
    assert cause["class"] == "builtins.ValueError"
    assert "detail" not in outer
    assert len(cause["frames"]) == 2
    assert cause["frames"][-1].startswith("tests.test_log:")


def test_our_own_errors_say_slug_and_detail_checked_once_more(capsys: pytest.CaptureFixture[str]) -> None:
    log("a", error=AuthorizationLost("invalid_grant"))
    log("b", error=ProviderDown(f"{ADDRESS} said {TOKEN}"))
    first, second = (line["error"][0] for line in lines(capsys))
    assert (first["slug"], first["detail"]) == ("reauth_required", "the grant is not usable any more: invalid_grant")
    assert second["detail"] == "(redacted) said (redacted)"


def test_a_chain_of_causes_ends(capsys: pytest.CaptureFixture[str]) -> None:
    error = Exception()
    error.__cause__ = error
    log("loop", error=error)
    assert len(lines(capsys)[0]["error"]) == 4


def test_a_library_is_heard_without_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    install()
    try:
        deepest()
    except ValueError:
        logging.getLogger("msal.oauth2cli").exception("Token response is not in json format: %s", TOKEN)
    logging.getLogger("httpx").info("HTTP Request: GET https://x/?token=%s", TOKEN)
    text = capsys.readouterr().err
    assert TOKEN not in text
    line = json.loads(text)
    assert (line["event"], line["logger"], line["level"]) == ("library", "msal.oauth2cli", "error")
    assert line["error"][0]["class"] == "builtins.ValueError"


def test_our_own_logger_used_directly_says_no_message_either(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("tidemark").warning("token %s", TOKEN)
    assert TOKEN not in capsys.readouterr().err


def test_levels_are_the_usual_three_and_a_wrong_one_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    for level in (*LEVELS, "loud"):
        log("x", level=level)
    assert [line["level"] for line in lines(capsys)] == ["info", "warning", "error", "error"]


def test_no_field_is_named_after_what_must_not_be_logged() -> None:
    assert not {"email", "address", "token", "subject", "message", "url", "body", "key", "user_id"} & FIELDS


@pytest.mark.parametrize("module", ["shared.config", "shared.log", "shared.edge"])
def test_a_cold_start_does_not_pay_for_what_it_may_not_need(module: str) -> None:
    # `google` itself is in every process: a .pth file of a namespace package puts it there.
    heavy = ("pydantic", "httpx", "msal", "google.auth", "google.oauth2", "cryptography", "requests")
    code = f"import sys, {module}; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""
