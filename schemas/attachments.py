"""What is known of an uploaded file, as far as others than its sender see it.

    uploading ─▶ pending ─▶ clean ─▶ infected        a newer set of signatures knows better: it is withdrawn
                     └────▶ infected | unscannable | error

Nothing is served but what is clean.
"""

from typing import Final, Literal

import msgspec

from schemas.ids import AttachmentId

AttachmentStatus = Literal["uploading", "pending", "clean", "infected", "unscannable", "error"]

REFUSED: Final = frozenset[AttachmentStatus]({"infected", "unscannable", "error"})
"""What ends a file's way: it is deleted, the verdict stays."""

MAX_MEDIA_TYPE: Final = 127


class Thumbnail(msgspec.Struct, frozen=True):
    """A small picture of an image, made by us; in pixels."""

    width: int
    height: int


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file; `content_type` and `size` in bytes are what its sender announced, and the scan has compared.

    `reason` says in a code why a file is not clean. `width` and `height`, in pixels, are of images as they are shown.
    """

    attachment_id: AttachmentId
    name: str
    content_type: str
    size: int
    status: AttachmentStatus
    reason: str | msgspec.UnsetType = msgspec.UNSET
    width: int | msgspec.UnsetType = msgspec.UNSET
    height: int | msgspec.UnsetType = msgspec.UNSET
    thumbnail: Thumbnail | msgspec.UnsetType = msgspec.UNSET


class Carried(msgspec.Struct, frozen=True):
    """An attachment as a message holds it. The one with the higher `version` is the newer one, whichever came last."""

    version: int
    attachment: Attachment

    @property
    def attachment_id(self) -> AttachmentId:
        """Which one."""
        return self.attachment.attachment_id
