"""Reads `deploy/mongodb/roles.js`: role → collection → actions."""

import json
import re
from pathlib import Path

PATH = Path(__file__).parents[3] / "deploy" / "mongodb" / "roles.js"

# What a command needs, of the collection that it names first and, in an aggregation, of those that are looked up.
NEEDS = {
    "find": {"find"},
    "aggregate": {"find"},
    "distinct": {"find"},
    "count": {"find"},
    "insert": {"insert"},
    "update": {"update"},
    "upsert": {"update", "insert"},
    "delete": {"remove"},
    "findAndModify": {"find", "update"},
    "listIndexes": {"listIndexes"},
    "createIndexes": {"createIndex"},
}


def roles() -> dict[str, dict[str, set[str]]]:
    [text] = re.findall(r"^const ROLES = (\{.*?^\});$", PATH.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return {
        role: {collection: set(actions) for collection, actions in collections.items()}
        for role, collections in json.loads(text).items()
    }
