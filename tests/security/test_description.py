"""Every function against its description: requests made from it, good and bad ones, by schemathesis.

An answer has a described status, media type and schema, and is no 500; neither it nor the log says what is secret.
"""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from shared.status.openapi import description
from tests import world
from tests.functions.stand import API_KEY, Stand

EXAMPLES = 6  # of each operation
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
FOUND: list[Any] = list(schemathesis.openapi.from_dict(description()).get_all_operations())
OPERATIONS = [each.ok() for each in FOUND]
OURS = ("account_id", "thread_id")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.label)
def test_every_answer_is_as_described(stand: Stand, operation: Any, capfd: pytest.CaptureFixture[str]) -> None:
    address = stand.mailbox(2)
    asked = stand.asked(address)
    account_id = stand.client.post("/accounts", json=asked).json()["account_id"]
    secrets = (
        API_KEY,
        world.KEY,
        stand.redis.token,
        stand.gmail.settings.client_secret,
        asked["refresh_token"],
        address,
    )
    made = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(made), st.booleans())
    def run(case: Any, known: bool) -> None:
        if known and operation.method != "delete":
            for of in (case.path_parameters, case.query):
                for name in OURS:
                    if of and name in of:
                        of[name] = account_id
        if case.query and "wait" in case.query:
            case.query["wait"] = 0
        answer = case.call(base_url=stand.server.url, headers={"authorization": f"Bearer {API_KEY}"})
        case.validate_response(answer, checks=CHECKS)
        assert not [
            secret for secret in secrets if secret in answer.text and not operation.path.startswith("/accounts")
        ]

    run()
    told = "".join(capfd.readouterr())
    assert not [secret for secret in secrets if secret in told]
