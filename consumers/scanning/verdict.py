"""What a look at a file comes to. Pure."""

from dataclasses import dataclass
from typing import Final, Literal

from backplane.scanner import Clean, Infected, Unscannable, Verdict
from backplane.store.attachments import StoredAttachment, next_version
from consumers.imaging.pictures import Picture
from consumers.inspection.problems import Problem
from schemas.attachments import Thumbnail

Final_ = Literal["clean", "infected", "unscannable", "error"]
_BROKEN_PROMISES: Final = frozenset({"wrong_size", "wrong_checksum", "wrong_type", "active_content"})
"""What is wrong with the file that its sender could mend; of everything else nobody can say what is in it."""
CLEAN: Final = "clean"
INFECTED: Final = "infected:"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reason, a code or the name of a signature.

    Attributes:
        digest: of what was seen, in hex; None if not all of it was.
        scanned: what the scanner said, where it would say the same again.
    """

    status: Final_
    reason: str | None = None
    digest: str | None = None
    scanned: str | None = None
    served_type: str | None = None
    picture: Picture | None = None


def refused(problem: Problem) -> Judgement:
    """Of a file with a problem."""
    return Judgement("error" if problem.code in _BROKEN_PROMISES else "unscannable", problem.code)


def not_clean(verdict: Infected | Unscannable, digest: str | None) -> Judgement:
    """Of a file that the scanner does not vouch for."""
    match verdict:
        case Infected(signature):
            return Judgement("infected", signature, digest, said(verdict))
        case Unscannable(why):
            return Judgement("unscannable", why, digest)


def said(verdict: Verdict) -> str | None:
    """What is kept of a scanner's verdict; None of one that depends on the moment, or on the scanner's settings."""
    match verdict:
        case Clean():
            return CLEAN
        case Infected(signature):
            return INFECTED + signature
        case Unscannable():
            return None


def heard(kept: str) -> Verdict | None:
    """The verdict of which this was kept."""
    if kept == CLEAN:
        return Clean()
    return Infected(kept.removeprefix(INFECTED)) if kept.startswith(INFECTED) else None


def decided(before: StoredAttachment, judgement: Judgement, signatures: str | None, now_ms: int) -> StoredAttachment:
    """The file with its verdict. `signatures` is the scanner's version; without one nothing is kept for the same file's next time."""
    picture = judgement.picture
    kept = judgement.digest if judgement.scanned and signatures else None
    return next_version(
        before,
        status=judgement.status,
        reason=judgement.reason,
        decided_ms=now_ms,
        digest=kept,
        signatures=signatures,
        scanned=judgement.scanned,
        served_type=judgement.served_type,
        width=picture.width if picture else 0,
        height=picture.height if picture else 0,
        thumbnail=Thumbnail(picture.thumbnail_width, picture.thumbnail_height) if picture else None,
        thumbnail_type=picture.thumbnail_type if picture else None,
        check_ms=now_ms if before.message_id else None,
    )


def rescanned(
    before: StoredAttachment, verdict: Verdict, signatures: str | None, now_ms: int
) -> StoredAttachment | None:
    """A clean file after another look by a newer scanner: withdrawn if it is infected, else clean as before.

    None where the scanner can not tell this time: what was vouched for once stays so.
    """
    match verdict:
        case Clean():
            return next_version(before, signatures=signatures, scanned=CLEAN)
        case Infected(signature):
            return next_version(
                before,
                status="infected",
                reason=signature,
                decided_ms=now_ms,
                signatures=signatures,
                scanned=said(verdict),
                width=0,
                height=0,
                thumbnail=None,
                thumbnail_type=None,
                check_ms=now_ms if before.message_id else None,
            )
        case Unscannable():
            return None
