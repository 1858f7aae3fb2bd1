"""`/openapi.json`: OpenAPI 3.1, made from the rows that make the routes, so that it can not lag behind them."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.problems import MEDIA_TYPE, ProblemBody
from gateway.rest.operations import MAX_KEY, Operation
from schemas.client_frames import ShortText
from schemas.scopes import SCOPES, Needs

_IN_PATH = re.compile(r"\{(\w+)\}")
_REF = "#/components/schemas/{name}"
_ID = {"type": "string", "format": "uuid"}
_TEXT = {**msgspec.json.schema(ShortText), "minLength": 1}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": f"Up to {MAX_KEY} printable characters, in quotes or not: a repeat with the same key is the same change.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY + len('""')},
}


def describe(operations: Sequence[Operation]) -> bytes:
    """The document, as JSON."""
    types = {ProblemBody, *(row.asks for row in operations)}
    types |= {body for row in operations for body in row.answers.values() if body is not None}
    listed = sorted(types, key=lambda one: one.__name__)
    refs, components = msgspec.json.schema_components(listed, ref_template=_REF)
    ref_of = dict(zip(listed, refs, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for row in operations:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, ref_of, components)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": "1",
            "description": "Real-time messaging; the socket is in docs/protocol.md.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }
    return msgspec.json.encode(document)


def _operation(row: Operation, ref_of: dict[Any, dict[str, Any]], components: dict[str, Any]) -> dict[str, Any]:
    problem = {
        "description": "A problem (RFC 9457); `code` says which.",
        "content": {MEDIA_TYPE: {"schema": ref_of[ProblemBody]}},
    }
    described: dict[str, Any] = {
        "operationId": row.name,
        "summary": row.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": _ID if name.endswith("_id") else _TEXT}
            for name in _IN_PATH.findall(row.path)
        ],
        "responses": {str(status): _answer(body, ref_of) for status, body in row.answers.items()}
        | {"default": problem},
    }
    if row.keyed:
        described["parameters"].append(_KEY)
    if row.needs is not None:
        # The names of what a token must be good for, as OpenAPI 3.1 allows beside OAuth (4.8.30).
        described["security"] = [{"bearer": [row.needs] if row.needs in SCOPES else []}]
        described["description"] = _needs(row.needs)
    asked = components[row.asks.__name__]
    if row.method == "GET":
        described["parameters"] += [
            {"name": name, "in": "query", "required": name in asked.get("required", ()), "schema": schema}
            for name, schema in asked.get("properties", {}).items()
        ]
    elif asked.get("properties"):
        described["requestBody"] = {
            "required": bool(asked.get("required")),
            "content": {"application/json": {"schema": ref_of[row.asks]}},
        }
    return described


def _needs(needs: Needs) -> str:
    match needs:
        case "person":
            return "For people; a bot's token is refused."
        case "anybody":
            return "For people and for bots with any scope."
        case scope:
            return f"For people, and for bots whose token has the scope `{scope}`."


def _answer(body: Any, ref_of: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    if body is None:
        return {"description": "Done; no body."}
    return {
        "description": (body.__doc__ or "").partition("\n")[0],
        "content": {"application/json": {"schema": ref_of[body]}},
    }
