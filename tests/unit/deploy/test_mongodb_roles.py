"""The roles of MongoDB: every collection is thought of, and nobody may more than its process does."""

import pytest

from backplane.store.indexes import INDEXES
from schemas import names
from tests.unit.deploy.roles import roles

COLLECTIONS = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)} - {
    names.CONSUMER
}
KINDS = ("headraceGateway", "headraceConsumers", "headraceOps")
INDEXED = {index.collection for index in INDEXES}

# What each kind of process does with what is kept, beside looking at indexes: f find, i insert, u update, r remove.
TABLE = {
    #                      gateway  consumers  ops
    names.USERS:          ("fiu",   "",        "fu"),
    names.SESSIONS:       ("fiur",  "",        "fur"),
    names.CONVERSATIONS:  ("f",     "fiu",     "fu"),
    names.MEMBERS:        ("f",     "fiu",     "f"),
    names.MESSAGES:       ("f",     "fiu",     "f"),
    names.OPERATIONS:     ("",      "fi",      ""),
    names.BLOCKS:         ("f",     "fiu",     "fr"),
    names.MARKS:          ("f",     "fiu",     "fr"),
    names.ATTACHMENTS:    ("fiur",  "fur",     "fur"),
    names.AUDIT:          ("fi",    "fi",      "fi"),
    names.WEBHOOKS:       ("fiur",  "fiu",     "fiur"),
    names.DELIVERIES:     ("r",     "fir",     "fr"),
    names.BOT_TOKENS:     ("fiu",   "",        "fu"),
    names.LAYOUT:         ("f",     "f",       "fi"),
}  # fmt: skip
WORDS = {"f": "find", "i": "insert", "u": "update", "r": "remove"}


def test_the_catalogue_of_collections_is_read() -> None:
    assert set(TABLE) == COLLECTIONS
    assert INDEXED < COLLECTIONS


@pytest.mark.parametrize("role", KINDS)
def test_a_role_names_every_collection(role: str) -> None:
    assert set(roles()) == set(KINDS)
    assert set(roles()[role]) == COLLECTIONS


@pytest.mark.parametrize("collection", TABLE)
def test_a_role_may_what_the_table_says_and_nothing_else(collection: str) -> None:
    for role, letters in zip(KINDS, TABLE[collection], strict=True):
        looks = {"listIndexes"} if collection in INDEXED else set[str]()
        makes = {"createIndex"} if collection in INDEXED and role == "headraceOps" else set[str]()
        assert roles()[role][collection] == {WORDS[letter] for letter in letters} | looks | makes, role


def test_nobody_changes_the_audit_log_and_only_ops_changes_the_layout_or_makes_indexes() -> None:
    for role, collections in roles().items():
        assert not {"update", "remove"} & collections[names.AUDIT], role
        if role != "headraceOps":
            assert collections[names.LAYOUT] == {"find"}
            assert not any("createIndex" in actions for actions in collections.values())
