"""Random stories with random crashes on the model: the end is what one undisturbed owner makes of them."""

from collections.abc import Sequence
from typing import Any

import anyio
import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.ids import ClientMsgId, IntentId
from schemas.intents import (
    AddMembers,
    AddReaction,
    ChangeRole,
    CreateConversation,
    DeleteMessage,
    EditMessage,
    Intent,
    PinMessage,
    RemoveMember,
    RemoveReaction,
    SendMessage,
    UpdateConversation,
)
from tests.unit.consumers.test_persist import live_until_done
from tests.unit.consumers.test_persist_changes import (
    ANN,
    BEN,
    CID,
    DAN,
    Story,
    check_told,
    content,
    message,
    undisturbed,
)
from tests.unit.consumers.world import World, killed_at


def test_random_stories_survive_random_crashes() -> None:
    run_stories()


people = st.sampled_from([ANN, BEN, CID, DAN])
moves = st.one_of(
    st.tuples(st.just("send"), people, st.sampled_from(["p", "q", "r"]), st.booleans()),
    st.tuples(st.just("edit"), people, st.sampled_from(["p", "q", "r"]), people),
    st.tuples(st.just("react"), people, st.sampled_from(["p", "q", "r"]), people),
    st.tuples(st.just("unreact"), people, st.sampled_from(["p", "q", "r"]), people),
    st.tuples(st.just("delete"), people, st.sampled_from(["p", "q", "r"]), people),
    st.tuples(st.just("pin"), people, st.sampled_from(["p", "q", "r"]), people),
    st.tuples(st.just("add"), people, people, st.none()),
    st.tuples(st.just("remove"), people, people, st.none()),
    st.tuples(st.just("role"), people, people, st.sampled_from(["owner", "admin", "member"])),
    st.tuples(st.just("title"), people, st.sampled_from(["one", "two"]), st.none()),
    st.tuples(st.just("resend"), st.integers(0, 30), st.none(), st.none()),
)


def told(kinds: Sequence[tuple[Any, ...]]) -> list[Intent]:  # noqa: C901 - one row a kind
    story = Story()
    story.add(CreateConversation, ANN, kind="group", member_ids=(ANN, BEN, CID))
    for kind, who, what, more in kinds:
        match kind:
            case "send":
                root = message("p") if more and what != "p" else None
                story.add(
                    SendMessage, who, client_msg_id=ClientMsgId(what), text=f"{what} of {who}", thread_root_id=root
                )
            case "edit":
                story.add(EditMessage, who, message_id=message(what, more), text=f"edit {len(story.intents)}")
            case "react":
                story.add(AddReaction, who, message_id=message(what, more), emoji="x")
            case "unreact":
                story.add(RemoveReaction, who, message_id=message(what, more), emoji="x")
            case "delete":
                story.add(DeleteMessage, who, message_id=message(what, more))
            case "pin":
                story.add(PinMessage, who, message_id=message(what, more), pinned=len(story.intents) % 2 == 0)
            case "add":
                story.add(AddMembers, who, user_ids=(what,))
            case "remove":
                story.add(RemoveMember, who, user_id=what)
            case "role":
                story.add(ChangeRole, who, user_id=what, role=more)
            case "title":
                story.add(UpdateConversation, who, title=what)
            case _:
                again = story.intents[who % len(story.intents)]
                story.intents.append(msgspec.structs.replace(again, intent_id=IntentId(f"i{len(story.intents) + 1}")))
    return story.intents


@example([("edit", BEN, "p", BEN), ("send", BEN, "p", False)], 4, {3}, False)  # refused first, then there
@example([("add", ANN, ANN, None), ("edit", BEN, "p", BEN), ("send", BEN, "p", False)], 4, {5}, False)
@example(  # a change that is none comes before one that would have refused it, and before a repeat that has all of it decided again
    [
        ("send", ANN, "p", False),
        ("title", ANN, "t", None),
        ("role", ANN, BEN, "member"),
        ("remove", ANN, BEN, None),
        ("send", ANN, "p", False),
    ],
    3,
    set(),
    False,
)
@example(
    [("send", ANN, "p", False), ("react", BEN, "p", ANN), ("react", BEN, "p", ANN), ("delete", ANN, "p", ANN)],
    2,
    {9},
    False,
)
@given(
    st.lists(moves, min_size=3, max_size=20), st.integers(1, 8), st.sets(st.integers(1, 80), max_size=5), st.booleans()
)
@settings(max_examples=200, deadline=None)
def run_stories(kinds: list[tuple[Any, ...]], batch: int, crashes: set[int], late: bool) -> None:
    intents = told(kinds)

    async def run() -> tuple[World, World]:
        calm = await undisturbed(intents)
        world = World()
        world.append(*intents)
        world.fault = killed_at(*crashes)
        await live_until_done(world, batch, late_inserts=late)
        world.land()
        return calm, world

    calm, world = anyio.run(run)
    assert content(world) == content(calm)
    check_told(world)
