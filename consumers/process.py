"""The composition root: opens what is outside, runs one worker a stage, and stops them in order."""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Sequence
from functools import partial

import structlog

from backplane import doorbells
from backplane.collector import quiet_collector
from backplane.errors import Transient
from backplane.grants import Grants
from backplane.layout import check_layout
from backplane.leases import Leases
from backplane.logs import Logs
from backplane.outgoing import Outgoing
from backplane.redis import Redis
from backplane.settings import Settings
from backplane.store.mongo import Store
from backplane.streams import Intents, Partition
from consumers.changes import Rules
from consumers.fanout import Fanout
from consumers.monitor import shown
from consumers.pace import Pace
from consumers.persist import Persist
from consumers.receipts import Receipts
from consumers.retention import AT_ONCE, keep_expired
from consumers.runner import Runner
from consumers.scanning.running import scan
from consumers.stores import Stores
from consumers.tenure import Tenure
from consumers.webhooks.delivering import Delivering
from consumers.webhooks.directory import Directory
from consumers.webhooks.policy import Limits
from consumers.webhooks.sender import Sender
from consumers.webhooks.stage import WebhookStage
from consumers.worker import STALLED_SECONDS, Runs, Worker
from schemas.stages import STAGES, Runnable, StageName

log = structlog.get_logger(__name__)


async def run(settings: Settings, stages: Sequence[Runnable], stop: asyncio.Event) -> None:
    """Run the workers of these stages until `stop` is set.

    Raises:
        LayoutMismatch: the database belongs to another layout; one that is not migrated yet is waited for.
    """
    # Start: what is outside first; a serving process changes nothing in the database, it only checks.
    store = await Store.open(settings)
    redis = await Redis.open(settings)
    try:
        async with shown(settings.internal_host, settings.metrics_port):
            await _check(redis, store, settings, stop)
            quiet_collector()
            log.info("consumers are up", stages=list(stages))
            async with asyncio.TaskGroup() as workers:
                for stage in stages:
                    if stage == "scan":
                        workers.create_task(scan(settings, redis, store, stop))
                        continue
                    workers.create_task(make_worker(stage, settings, redis, store).run(stop))
    finally:
        # Stop: the workers are done; nothing of theirs is in flight.
        await redis.close()
        await store.close()


def make_worker(
    stage: StageName, settings: Settings, redis: Redis, store: Store, *, stalled_seconds: float = STALLED_SECONDS
) -> Worker:
    """One stage's worker, with an id of its own."""
    worker_id = f"{socket.gethostname()}-{secrets.token_hex(4)}"
    directory = Directory(store.webhooks)
    leases = Leases(redis, STAGES[stage], worker_id, lease_ms=int(settings.lease_seconds * 1000))

    def build(tenure: Tenure) -> tuple[Partition, Runs]:
        partition = Partition(redis, STAGES[stage], tenure.partition, tenure.token)
        match stage:
            case "persist":
                return partition, Runner(partition, tenure, _persist(settings, redis, store, tenure), settings)
            case "fanout":
                return partition, Runner(partition, tenure, _fanout(settings, redis, store, tenure), settings)
            case "webhooks":
                return partition, _webhooks(settings, store, directory, partition, tenure)
            case "receipts":
                return partition, Runner(
                    partition, tenure, make_receipts(settings, redis, store, tenure.partition), settings
                )

    async def expire(tenure: Tenure) -> None:
        if tenure.partition == 0:  # one in the deployment is enough
            await keep_expired(tenure, store.expiry, Intents(redis, limit=AT_ONCE), settings)

    chores = [expire] if stage == "persist" else []
    return Worker(stage, worker_id, leases, settings, build, chores=chores, stalled_seconds=stalled_seconds)


def _persist(settings: Settings, redis: Redis, store: Store, tenure: Tenure) -> Persist:
    return Persist(
        settings.names,
        tenure.partition,
        tenure,
        stores=Stores(
            store.messages, store.conversations, store.operations, store.blocks, store.audit, store.attachments
        ),
        ring=partial(doorbells.ring, redis),
        drop=_logs(settings, redis).drop,
        late_seconds=settings.mongodb_timeout_seconds,
        rules=Rules(
            member_limit=settings.member_limit,
            edit_ms=settings.edit_seconds * 1000,
            reactions_a_message=settings.reactions_a_message,
            reactions_a_user=settings.reactions_a_user,
            retention_days=settings.retention_days,
        ),
    )


def _fanout(settings: Settings, redis: Redis, store: Store, tenure: Tenure) -> Fanout:
    return Fanout(
        settings.names,
        tenure.partition,
        tenure,
        logs=_logs(settings, redis),
        grants=Grants(redis),
        conversations=store.conversations,
        skip_seconds=settings.shard_skip_seconds,
    )


def make_receipts(settings: Settings, redis: Redis, store: Store, partition: int) -> Receipts:
    """The receipts stage for one tenure of a partition."""
    return Receipts(
        settings.names,
        partition,
        conversations=store.conversations,
        marks=store.marks,
        messages=store.messages,
        blocks=store.blocks,
        ring=partial(doorbells.ring, redis),
        drop=_logs(settings, redis).drop,
        late_seconds=settings.mongodb_timeout_seconds,
        everybody_up_to=settings.receipt_members,
    )


def _logs(settings: Settings, redis: Redis) -> Logs:
    return Logs(redis, max_entries=settings.log_max_entries, epoch_ttl_seconds=settings.epoch_ttl_seconds)


def _webhooks(
    settings: Settings, store: Store, directory: Directory, partition: Partition, tenure: Tenure
) -> Delivering:
    sender = Sender(
        tenure.partition,
        tenure,
        hooks=store.webhooks,
        parked=store.deliveries,
        outgoing=Outgoing.make(allow_private=settings.webhooks_allow_private),
        limits=Limits.of(settings),
    )
    stage = WebhookStage(
        settings.names,
        tenure.partition,
        directory=directory,
        webhooks=store.webhooks,
        deliveries=store.deliveries,
        conversations=store.conversations,
        sender=sender,
        queue_entries=settings.webhooks_queue_entries,
    )
    return Delivering(partition, tenure, stage, settings, sender)


async def _check(redis: Redis, store: Store, settings: Settings, stop: asyncio.Event) -> None:
    """Check the layout; what is away is waited for."""
    pace = Pace(1)
    while not stop.is_set():
        try:
            await check_layout(redis, store, settings.names)
        except Transient as failure:
            log.warning("waiting for Redis, MongoDB or a migration", error=str(failure))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pace.slower())
        else:
            return
