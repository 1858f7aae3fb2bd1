"""The message that holds a file is told what became of it, by an intent in its conversation's partition (hole C12)."""

from time import time

from uuid_utils import uuid7

from backplane.store.attachments import StoredAttachment, carried
from backplane.streams import Intents
from schemas.ids import SYSTEM, ClientOpId, IntentId
from schemas.intents import SetAttachment, encode_intent
from schemas.names import Names


class Teller:
    """Asks persist for the change. To ask twice does no harm: the key is made of what is told."""

    def __init__(self, names: Names, intents: Intents) -> None:
        self._names, self._intents = names, intents

    async def tell(self, attachment: StoredAttachment) -> None:
        """Tell the message that holds the file; if none does, one that comes will show what is known then. Raises `Transient`."""
        if attachment.message_id is None or attachment.conversation_id is None:
            return
        intent = SetAttachment(
            intent_id=IntentId(str(uuid7())),
            conversation_id=attachment.conversation_id,
            actor_id=SYSTEM,
            client_op_id=ClientOpId(
                f"attachment:{attachment.attachment_id}:{attachment.message_id}:{attachment.version}"
            ),
            at_ms=int(time() * 1000),
            message_id=attachment.message_id,
            carried=carried(attachment),
        )
        await self._intents.append(self._names.partition_of(attachment.conversation_id), encode_intent(intent))
