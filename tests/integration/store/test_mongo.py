"""The client and the layout: a deployment is born once, refuses another layout, and says what it does not know."""

import signal
import time
from dataclasses import replace

import anyio
import pytest
from pydantic import SecretStr

from backplane.errors import Permanent, Transient, Unknown
from backplane.settings import Settings, SettingsError
from backplane.store.mongo import LayoutMismatch, Store
from tests.integration.store.shapes import a_message, a_session, new_id
from tests.services import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
async def unborn(settings: Settings) -> Store:
    return await Store.open(settings)


async def test_a_database_that_nobody_migrated_is_refused_with_the_command_that_mends_it(
    unborn: Store, settings: Settings
) -> None:
    with pytest.raises(LayoutMismatch, match="headrace migrate"):
        await unborn.check(settings.names)
    assert await unborn.layout() is None
    await unborn.close()


async def test_migration_says_what_it_did_and_does_it_once(unborn: Store, settings: Settings) -> None:
    did = await unborn.migrate(settings.names)
    assert "layout" in did[0]
    assert any("unique index messages.conversation_id__seq" in sentence for sentence in did)
    assert await unborn.migrate(settings.names) == []
    await unborn.check(settings.names)
    assert await unborn.layout() == settings.names
    await unborn.close()


async def test_eight_migrations_at_once_make_one_deployment(unborn: Store, settings: Settings) -> None:
    """C18"""
    outcomes: list[str] = []

    async def migrate(partitions: int) -> None:
        try:
            await unborn.migrate(replace(settings.names, partitions=partitions))
            outcomes.append("born")
        except LayoutMismatch:
            outcomes.append("refused")

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(migrate, 4 + number % 2)
    assert set(outcomes) == {"born", "refused"}
    stored = await unborn.layout()
    assert stored is not None
    await unborn.check(stored)
    await unborn.close()


@pytest.mark.parametrize("other", [{"partitions": 8}, {"shards": 8}, {"namespace": "elsewhere"}])
async def test_another_layout_is_refused_and_changes_nothing(
    store: Store, settings: Settings, other: dict[str, int]
) -> None:
    """C18"""
    wrong = replace(settings.names, **other)
    for refused in (store.check, store.migrate):
        with pytest.raises(LayoutMismatch, match="born with"):
            await refused(wrong)
    assert await store.layout() == settings.names


async def test_a_lost_index_is_noticed_and_made_again(store: Store, settings: Settings) -> None:
    await store.database["messages"].drop_index("conversation_id__seq")
    with pytest.raises(LayoutMismatch, match=r"messages\.conversation_id__seq"):
        await store.check(settings.names)
    assert len(await store.migrate(settings.names)) == 1
    await store.check(settings.names)


async def test_an_index_that_the_data_break_is_refused_by_its_name(store: Store, settings: Settings) -> None:
    await store.database["messages"].drop_index("conversation_id__seq")
    here = new_id()
    await store.messages.insert([a_message(here, 1, rev=1), a_message(here, 1, rev=2)])
    with pytest.raises(Permanent, match="conversation_id__seq"):
        await store.migrate(settings.names)


async def test_a_ping_measures_the_way(store: Store) -> None:
    assert 0 < await store.ping() < 30


async def test_without_mongodb_everything_is_transient_within_the_limit(dead_store: Store, settings: Settings) -> None:
    began = time.monotonic()
    with pytest.raises(Transient):
        await dead_store.ping()
    with pytest.raises(Transient):
        await dead_store.check(settings.names)
    with pytest.raises(Transient) as caught:
        await dead_store.sessions.create(a_session("t"))
    assert not isinstance(caught.value, Unknown), "nothing was sent"
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "url", ["mongodb://a,,b:x/", "mongodb://ada:se/cret@a/", "mongodb://a/?tls=true&tlsCAFile=/none.pem"]
)
async def test_a_url_that_can_not_be_used_is_wrong_settings(settings: Settings, url: str) -> None:
    with pytest.raises(SettingsError, match="HEADRACE_MONGODB_URL") as caught:
        await Store.open(settings.model_copy(update={"mongodb_url": SecretStr(url)}))
    assert "cret" not in str(caught.value)


async def test_a_write_without_an_answer_is_unknown_and_its_repeat_is_definite(
    mongodb: Server, settings: Settings
) -> None:
    """C6: MongoDB stops between the write and its answer; the identical documents are written again"""
    impatient = settings.model_copy(update={"mongodb_timeout_seconds": 0.5})
    store = await Store.open(impatient)
    here = new_id()
    batch = [a_message(here, 1), a_message(here, 2)]
    await store.migrate(settings.names)
    mongodb.send(signal.SIGSTOP)
    try:
        with pytest.raises(Unknown):
            await store.messages.insert(batch)
        with pytest.raises(Transient) as caught:
            await store.messages.find([batch[0].message_id])
        assert not isinstance(caught.value, Unknown), "a read is never unknown"
    finally:
        mongodb.send(signal.SIGCONT)
    patient = await Store.open(settings)
    with anyio.fail_after(20):  # the first write may still be landing, beside its repeat
        while await patient.messages.unraised(here, 0) != batch:
            await patient.messages.insert(batch)
    await patient.close()
    await store.close()
