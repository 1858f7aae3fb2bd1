"""What one member knows of one conversation, and the frame that this makes of an operation. Pure.

Which message is read, edited or reacted to follows from what has been seen, as with people; who does which kind of thing where does not.
"""

from collections import deque
from typing import Any, assert_never

from bench.mixture import Operation

EMOJI = ("👍", "❤️", "😂", "🎉", "😮", "😢", "🙏", "🔥", "👀", "💯")
"""As many as one person may put on one message."""
RECENT = 10
RECENT_OWN = 5
TEXT = "x" * 300

ClientFrame = dict[str, Any]


class View:
    """One member's view of one conversation."""

    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.newest = 0
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._own: deque[str] = deque(maxlen=RECENT_OWN)
        self._reacted: set[tuple[str, str]] = set()
        self._typing = False

    def saw(self, message_id: str, seq: int, *, own: bool) -> None:
        """A message came; a repeat changes nothing."""
        if seq <= self.newest:
            return
        self.newest = seq
        self._recent.append(message_id)
        if own:
            self._own.append(message_id)

    def frame(self, operation: Operation, number: int, mark: str) -> ClientFrame | None:
        """The operation's frame; None if there is nothing to do it to. `mark` is what it is known by: a UUID."""
        where = {"conversation_id": self.conversation_id}
        match operation.kind:
            case "send":
                return {"type": "message.send", "id": number, "client_msg_id": mark, "content": {"text": TEXT}, **where}
            case "read":
                return {"type": "receipt", "read_seq": self.newest, **where} if self.newest else None
            case "type":
                self._typing = not self._typing
                return {"type": "typing", "state": "start" if self._typing else "stop", **where}
            case "react":
                return self._reaction(operation.draw, {"id": number, "client_op_id": mark, **where})
            case "edit":
                if not self._own:
                    return None
                message_id = self._own[int(operation.draw * len(self._own))]
                # Another text each time: an edit that changes nothing is told to nobody else.
                content = {"text": f"{number:08d} {TEXT[9:]}"}
                known = {"id": number, "client_op_id": mark, **where}
                return {"type": "message.edit", "message_id": message_id, "content": content, **known}
            case _ as never:
                assert_never(never)

    def _reaction(self, draw: float, known: ClientFrame) -> ClientFrame | None:
        """One that this member has not given yet: a repeat is told to nobody else."""
        pairs = [(message_id, emoji) for emoji in EMOJI for message_id in self._recent]
        start = int(draw * len(pairs))
        for pair in pairs[start:] + pairs[:start]:
            if pair not in self._reacted:
                self._reacted.add(pair)
                return {"type": "reaction.add", "message_id": pair[0], "emoji": pair[1], **known}
        return None
