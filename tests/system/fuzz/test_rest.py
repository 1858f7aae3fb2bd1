"""Every operation of `/openapi.json`, asked for what the document allows and for what it forbids, answers as it says."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import hypothesis.core
import pytest
import requests
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks
from schemathesis.specs.openapi.schemas import OpenApiSchema

from gateway.rest.application import OPERATIONS
from gateway.rest.operations import Operation
from schemas.errors import ERRORS
from schemas.ids import MAX_SAFE_INTEGER
from tests.system.fuzz.bugs import Logs
from tests.system.fuzz.conftest import thrown
from tests.system.fuzz.world import World, sign_up
from tests.system.stack import Stack

FEW, MANY = 15, 400
"""Examples of each operation; the many are for the long runs."""

pytestmark = pytest.mark.slow

CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]

OF_THE_DECODER = (" - at `$", "Expected `", "Object missing required field", "Object contains unknown field")
"""How the decoder of the closed types says no; a handler that knows more than the document has words of ours."""

EDGES = [0, 1, MAX_SAFE_INTEGER, MAX_SAFE_INTEGER + 1, 2**63, 2**64]
"""Numbers that those who draw at random do not come to."""

ENDS_SESSIONS = {"logout"}
"""What these do, they do to somebody of their own."""


@dataclass
class Target:
    """The gateway, what it says of itself, and who asks."""

    url: str
    document: OpenApiSchema
    world: World
    logs: Logs
    session: requests.Session


@pytest.fixture(scope="module")
def target(stack: Stack) -> Iterator[Target]:
    url = f"http://{stack.addresses[0]}"
    config = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
    with httpx2.Client(base_url=url, timeout=30) as http, requests.Session() as session:
        document = schemathesis.openapi.from_dict(http.get("/openapi.json").json(), config=config)
        yield Target(url, document, World(http), Logs(stack), session)


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.chaos)])
@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_an_operation_answers_as_the_document_says(target: Target, row: Operation, examples: int) -> None:
    target.world.renew()
    person = sign_up(target.world.http) if row.name in ENDS_SESSIONS else target.world.ada
    headers = person.headers if row.needs is not None else {}

    @thrown(examples, alike=examples == FEW)
    @given(cases(target.document[row.path][row.method]), st.data())
    def attack(case: schemathesis.Case, data: st.DataObject) -> None:
        put_real_ids(case, target.world, data)
        judge(row, case, case.call(target.url, target.session, headers, timeout=30))

    attack()
    assert not target.logs.bugs()


def cases(operation: Any) -> SearchStrategy[schemathesis.Case]:
    """Requests that the document allows, and as many that it forbids."""
    printer = hypothesis.core.RepresentationPrinter
    made = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]
    # It puts a mute printer in hypothesis' place, with which no test after this one could say on which example it failed.
    hypothesis.core.RepresentationPrinter = printer
    return st.sampled_from(made).flatmap(lambda one: one)


def put_real_ids(case: schemathesis.Case, world: World, data: st.DataObject) -> None:
    """The ids that the document's types make up name nothing; let them name what is there, three times of four.

    And let numbers be where types and languages end: schemathesis finds out by itself whether the document still allows it.
    """
    pools = world.pools if data.draw(st.integers(0, 3)) else {}

    def real(name: str, value: object) -> Any:
        if isinstance(value, dict):
            return {key: real(key, below) for key, below in value.items()}
        if isinstance(value, list):
            return [real(name, below) for below in value]
        if isinstance(value, float) and value.is_integer():
            return int(
                value
            )  # an integer to JSON Schema and a float to the decoder: nobody's encoder writes 1.0 for it
        return data.draw(st.sampled_from(pools[name])) if name in pools and isinstance(value, str) else value

    for part in ("path_parameters", "query", "body"):
        made_up = getattr(case, part)
        if isinstance(made_up, dict):
            setattr(case, part, real("", copy.deepcopy(made_up)))
    if isinstance(case.query.get("wait"), int) and case.query["wait"] > 0:
        case.query = case.query | {"wait": 0}  # it would wait indeed


def judge(row: Operation, case: schemathesis.Case, answer: schemathesis.Response) -> None:
    """What every answer is, beside what the document says of it."""
    case.validate_response(answer, checks=CHECKS)
    asked = f"{case.method} {case.formatted_path} {case.query} {case.body!r:.300}"
    said = f"{asked} -> {answer.status_code} {answer.text:.300}"
    if answer.status_code < 300:
        assert answer.status_code in row.answers, said
        return
    problem = json.loads(answer.text)
    listed = ERRORS[problem["code"]]
    assert (problem["status"], answer.status_code) == (listed.status, listed.status), said
    assert answer.status_code < 500 or answer.status_code == 503, said
    assert "Traceback" not in answer.text, said
    if case.meta is not None and case.meta.generation.mode.is_positive:
        assert not any(words in problem["detail"] for words in OF_THE_DECODER), f"the document allows it: {said}"
