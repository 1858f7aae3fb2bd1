import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gateway.rest.application import OPERATIONS
from gateway.rest.openapi import describe

PROTOCOL = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def document() -> dict:
    return msgspec.json.decode(describe(OPERATIONS))


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_operation_is_described_once(document: dict) -> None:
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(row.method.lower(), row.path) for row in OPERATIONS}
    names = [row.name for row in OPERATIONS]
    assert len(set(names)) == len(names) == len(described)
    assert all(row.summary for row in OPERATIONS)


def test_every_reference_resolves(document: dict) -> None:
    found = set(references(document))
    assert found
    for reference in found:
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def test_every_parameter_of_a_path_is_described(document: dict) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            described = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert described == set(re.findall(r"\{(\w+)\}", path))


def test_bounds_and_requirements_reach_the_document(document: dict) -> None:
    (limit,) = [p for p in document["paths"]["/api/users"]["get"]["parameters"] if p["name"] == "limit"]
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"], limit["required"]) == (1, 200, False)
    login = document["paths"]["/api/auth/login"]["post"]
    assert login["requestBody"]["required"]
    assert "security" not in login
    assert document["paths"]["/api/me"]["get"]["security"] == [{"bearer": []}]
    assert document["paths"]["/api/messages"]["post"]["security"] == [{"bearer": ["messages:write"]}]
    assert "bot's token is refused" in document["paths"]["/api/bots"]["post"]["description"]


def test_an_id_in_a_path_is_a_uuid_and_an_emoji_is_text(document: dict) -> None:
    removal = document["paths"]["/api/messages/{message_id}/reactions/{emoji}"]["delete"]
    schemas = {one["name"]: one["schema"] for one in removal["parameters"] if one["in"] == "path"}
    assert schemas["message_id"] == {"type": "string", "format": "uuid"}
    assert schemas["emoji"] == {"type": "string", "minLength": 1, "maxLength": 64}


def test_changes_and_nothing_else_take_an_idempotency_key(document: dict) -> None:
    taking = {
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
        if any(one["name"] == "Idempotency-Key" for one in operation["parameters"])
    }
    assert {"send_message", "create_conversation", "edit_message", "remove_member", "block_user"} <= taking
    assert taking == {row.name for row in OPERATIONS if row.keyed}
    assert not taking & {"get_me", "login", "create_bot", "read_conversation"}


def test_a_time_is_described_as_one(document: dict) -> None:
    mine = document["components"]["schemas"]["Mine"]["properties"]
    assert {"type": "string", "format": "date-time"} in mine["muted_until"]["anyOf"]


def test_a_reading_begins_with_the_first_message(document: dict) -> None:
    assert document["components"]["schemas"]["Read"]["properties"]["read_seq"]["minimum"] == 1


def test_every_path_is_in_the_protocol() -> None:
    documented = re.sub(r"\{\w+\}", "{id}", PROTOCOL)
    for row in OPERATIONS:
        path = re.sub(r"\{\w+\}", "{id}", row.path)
        assert path in documented, f"{row.method} {path}"
