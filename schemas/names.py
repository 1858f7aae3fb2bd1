"""Every name that several processes must agree on: Redis keys and channels, MongoDB collections (design §2).

The braces are Redis Cluster hash tags: all keys of one atomic call share a tag and so a slot.
"""

from dataclasses import dataclass

from schemas.ids import ConversationId, UserId, partition_of, shard_of
from schemas.stages import PartitionStream

CONSUMER = "owner"
"""The one consumer of every group, whoever that is: a successor finds its predecessor's pending entries (design §3)."""

# Fields of stream entries: one letter, because every entry carries them.
INTENT_FIELD = b"i"  # intents: the encoded intent
FILE_FIELD = b"f"  # scans: the attachment's id
KIND_FIELD = b"k"  # scans: `scan`, `rescan` or `sweep`
AGAIN_FIELD = b"r"  # intents, receipts: an operator has appended this one again
MARK_FIELD = b"m"  # receipts: the encoded mark
HEADER_FIELD = b"h"  # events: the encoded EventHeader
BODY_FIELD = b"b"  # events and user logs: the frame's bytes after the position

USERS = "users"
SESSIONS = "sessions"
CONVERSATIONS = "conversations"
MEMBERS = "members"
MESSAGES = "messages"
OPERATIONS = "operations"
BLOCKS = "blocks"
MARKS = "marks"
ATTACHMENTS = "attachments"
AUDIT = "audit"
WEBHOOKS = "webhooks"
DELIVERIES = "webhook_deliveries"
BOT_TOKENS = "bot_tokens"
LAYOUT = "layout"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one deployment: its namespace and its layout, which never change after its birth."""

    namespace: str = "hr"
    partitions: int = 16
    shards: int = 16

    # One partition: hr:{p3}:…

    def partition_tag(self, partition: int) -> str:
        """What every key of a partition begins with: `hr:{p3}:`."""
        return f"{self.namespace}:{{p{partition}}}:"

    def partition_of(self, conversation_id: ConversationId) -> int:
        """The partition of a conversation."""
        return partition_of(conversation_id, self.partitions)

    def intents(self, partition: int) -> str:
        """The stream of client intents."""
        return f"{self.partition_tag(partition)}intents"

    def events(self, partition: int) -> str:
        """The stream of facts, in order."""
        return f"{self.partition_tag(partition)}events"

    def dead(self, partition: int) -> str:
        """The stream of what could not be handled, with why."""
        return f"{self.partition_tag(partition)}dead"

    def receipts(self, partition: int) -> str:
        """The stream of read and delivered marks."""
        return f"{self.partition_tag(partition)}receipts"

    def stream(self, kind: PartitionStream, partition: int) -> str:
        """A stream of a partition, by its kind."""
        match kind:
            case "intents":
                return self.intents(partition)
            case "receipts":
                return self.receipts(partition)
            case "events":
                return self.events(partition)
            case "dead":
                return self.dead(partition)

    def lease(self, partition: int, stage: str) -> str:
        """Who owns the partition for a stage; expires."""
        return f"{self.partition_tag(partition)}lease:{stage}"

    def token(self, partition: int, stage: str) -> str:
        """The fencing token of the latest owner; random, without expiry (hole A11)."""
        return f"{self.partition_tag(partition)}lease:{stage}:token"

    def attempts(self, partition: int, stage: str) -> str:
        """A hash of entry id → failed attempts, counted by the runner (hole B1)."""
        return f"{self.partition_tag(partition)}attempts:{stage}"

    def cursor(self, partition: int, stage: str) -> str:
        """Up to where a stage has settled everything: a lost group is re-created here (hole D6)."""
        return f"{self.partition_tag(partition)}cursor:{stage}"

    def skipped(self, partition: int) -> str:
        """A set of user shards set aside while they were away (hole B11)."""
        return f"{self.partition_tag(partition)}skipped"

    def watch(self, conversation_id: ConversationId) -> str:
        """The channel of a conversation's ephemera."""
        return f"{self.partition_tag(self.partition_of(conversation_id))}watch:{conversation_id}"

    # One user shard: hr:{u7}:…

    def shard_tag(self, shard: int) -> str:
        """What every key of a user shard begins with: `hr:{u7}:`."""
        return f"{self.namespace}:{{u{shard}}}:"

    def shard_of(self, user_id: UserId) -> int:
        """The user shard of a user."""
        return shard_of(user_id, self.shards)

    def user(self, user_id: UserId, what: str) -> str:
        """A key of one user: `log` (also the doorbell's channel), `epoch`, `presence`, `ended`, `may:<conversation>`."""
        return f"{self.shard_tag(self.shard_of(user_id))}{user_id}:{what}"

    def log(self, user_id: UserId) -> str:
        """The user's log, and the channel of its doorbell."""
        return self.user(user_id, "log")

    def epoch(self, user_id: UserId) -> str:
        """`<epoch> <era>`: exists only for users who connected lately."""
        return self.user(user_id, "epoch")

    def presence(self, user_id: UserId) -> str:
        """What the user's connections say of themselves, and the channel of what others see."""
        return self.user(user_id, "presence")

    def ended(self, user_id: UserId) -> str:
        """A hash of session → why it has ended, with the life of an access token."""
        return self.user(user_id, "ended")

    def may(self, user_id: UserId, conversation_id: ConversationId) -> str:
        """`<era> <rev> <0 or 1>`: whether the user may watch and type there, as of that `rev` of their membership (hole C19)."""
        return self.user(user_id, f"may:{conversation_id}")

    def done(self, shard: int, partition: int) -> str:
        """`<era> <event id>`: the newest event of a partition that was appended in this shard (hole B2)."""
        return f"{self.shard_tag(shard)}done:{partition}"

    # Rate limits: under the tag of what they are of, so that one call may take from several

    def user_limit(self, user_id: UserId, policy: str) -> str:
        """A rate limit of one person."""
        return self.user(user_id, f"limit:{policy}")

    def conversation_limit(self, conversation_id: ConversationId, policy: str) -> str:
        """A rate limit of one conversation."""
        return f"{self.partition_tag(self.partition_of(conversation_id))}limit:{policy}:{conversation_id}"

    def other_limit(self, subject: str, policy: str) -> str:
        """A rate limit of an address or of the name of an account."""
        return f"{self.namespace}:{{limit:{subject}}}:{policy}"

    # Both kinds of tag

    def run(self, tag: str) -> str:
        """The server's `run_id` last seen under a tag."""
        return f"{tag}run"

    def era(self, tag: str) -> str:
        """The era of what a tag holds: changes when the server may have forgotten something (holes A5, A6)."""
        return f"{tag}era"

    # The deployment

    def gateway(self, gateway_id: str) -> str:
        """The channel of replies to one gateway."""
        return f"{self.namespace}:{{g{gateway_id}}}"

    def workers(self, stage: str) -> str:
        """A sorted set of the live workers of a stage, scored by the end of their heartbeat."""
        return f"{self.namespace}:{{workers}}:{stage}"

    def scans(self) -> str:
        """The stream of files to be scanned; each entry is deleted once that is done."""
        return f"{self.namespace}:scans"

    def scanner(self) -> str:
        """What the scanner was when it was last asked; expires."""
        return f"{self.namespace}:scans:scanner"

    def sweeping(self) -> str:
        """Whose turn it is to look for files that were left; expires."""
        return f"{self.namespace}:scans:sweeping"

    def swept(self) -> str:
        """What the last look for files that were left has found; expires."""
        return f"{self.namespace}:scans:swept"

    def layout(self) -> str:
        """A copy of the layout that MongoDB keeps (hole C18)."""
        return f"{self.namespace}:layout"
