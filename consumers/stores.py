"""What persist needs of `backplane.store`, so that its decisions can be tried against any store."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from backplane.store.attachments import StoredAttachment
from backplane.store.audit import AuditEntry
from backplane.store.blocks import StoredBlock
from backplane.store.conversations import Counters, StoredConversation, StoredMember
from backplane.store.messages import StoredMessage, Thread
from backplane.store.operations import StoredOperation
from schemas.ids import AttachmentId, ConversationId, MessageId, OperationId


class MessageStore(Protocol):
    """What persist needs of `backplane.store.messages.Messages`."""

    async def find(self, ids: Sequence[MessageId]) -> dict[MessageId, StoredMessage]:
        """Those that exist."""
        ...

    async def insert(self, documents: Sequence[StoredMessage]) -> int:
        """In order, up to the first that is refused; returns how many went in."""
        ...

    async def unraised(self, conversation_id: ConversationId, after_rev: int) -> list[StoredMessage]:
        """All changed after a number."""
        ...

    async def between(
        self, conversation_id: ConversationId, after_seq: int, up_to_seq: int
    ) -> dict[MessageId, StoredMessage]:
        """Those above one number, up to another."""
        ...

    async def change(self, changes: Sequence[tuple[StoredMessage, StoredMessage]]) -> bool:
        """Compare and set; False if somebody else was in between."""
        ...

    async def count_replies(self, roots: Sequence[StoredMessage]) -> dict[MessageId, Thread]:
        """The threads of these roots."""
        ...


class ConversationStore(Protocol):
    """What persist needs of `backplane.store.conversations.Conversations`."""

    async def find(self, ids: Sequence[ConversationId]) -> dict[ConversationId, StoredConversation]:
        """Those that exist."""
        ...

    async def members(self, ids: Sequence[ConversationId]) -> dict[ConversationId, list[StoredMember]]:
        """All members, those who left too."""
        ...

    async def create(self, conversation: StoredConversation, members: Sequence[StoredMember]) -> StoredConversation:
        """Write unless it exists; returns what is stored."""
        ...

    async def change(self, changes: Sequence[tuple[StoredConversation, StoredConversation]]) -> bool:
        """Compare and set title and settings; False if somebody else was in between."""
        ...

    async def change_members(
        self, changes: Sequence[tuple[StoredMember | None, StoredMember]], listed_ms: Mapping[ConversationId, int]
    ) -> bool:
        """Compare and set memberships; False if somebody else was in between."""
        ...

    async def raise_counters(self, counters: Sequence[Counters]) -> None:
        """Raise the numbers where they are lower."""
        ...


class OperationStore(Protocol):
    """What persist needs of `backplane.store.operations.Operations`."""

    async def find(self, ids: Sequence[OperationId]) -> dict[OperationId, StoredOperation]:
        """Those that are recorded."""
        ...

    async def record(self, operations: Sequence[StoredOperation]) -> None:
        """Record what was done."""
        ...


class BlockStore(Protocol):
    """What persist needs of `backplane.store.blocks.Blocks`."""

    async def find(self, ids: Sequence[ConversationId]) -> dict[ConversationId, list[StoredBlock]]:
        """The blocks in these direct conversations."""
        ...

    async def change(self, changes: Sequence[tuple[StoredBlock | None, StoredBlock]]) -> bool:
        """Compare and set; False if somebody else was in between."""
        ...


class AuditStore(Protocol):
    """What persist needs of `backplane.store.audit.Audit`."""

    async def record(self, entries: Sequence[AuditEntry]) -> None:
        """Note what was done."""
        ...


class AttachmentStore(Protocol):
    """What persist needs of `backplane.store.attachments.Attachments`."""

    async def find(self, ids: Sequence[AttachmentId]) -> dict[AttachmentId, StoredAttachment]:
        """Those that exist."""
        ...

    async def change(self, changes: Sequence[tuple[StoredAttachment, StoredAttachment]]) -> bool:
        """Compare and set; False if somebody else was in between."""
        ...


class Stores(NamedTuple):
    """Everything that persist reads and writes."""

    messages: MessageStore
    conversations: ConversationStore
    operations: OperationStore
    blocks: BlockStore
    audit: AuditStore
    attachments: AttachmentStore
