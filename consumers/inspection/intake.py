"""One pass over an upload: what can be judged while it streams is; archives and images are kept aside, and looked into at the end."""

import codecs
from collections.abc import AsyncGenerator, AsyncIterator
from typing import BinaryIO

from consumers.inspection.archives import Format, archive_format, inspect_archive
from consumers.inspection.budget import Limits, hidden_zip
from consumers.inspection.declared import is_text_type, judge_type, served_type, takes_any_text
from consumers.inspection.hidden import Tail
from consumers.inspection.kinds import HEAD_BYTES, OCTETS, SHOWN_IMAGES, may_be_text, sniff
from consumers.inspection.office import judge_office
from consumers.inspection.problems import Problem, Refused
from consumers.inspection.promise import Promise, Tally


class Intake:
    """Looks at the bytes of one upload on their way to the scanner, and holds none of them but the first few.

    Args:
        declared: the media type that its sender says it has.
        aside: an empty temporary file; an archive, or an image that may be shown, is written there, of at most the promised size.
            The caller closes it.
    """

    def __init__(self, promise: Promise, declared: str, aside: BinaryIO) -> None:
        self._tally, self._declared, self._aside = Tally(promise), declared, aside
        self._first = bytearray()
        self._head: bytes | None = None
        self._form: Format | None = None
        self._is_kept = False
        self._tail = Tail()
        self._text = codecs.getincrementaldecoder("utf-8")() if is_text_type(declared) else None
        self._is_utf8 = True
        self._sha256: bytes | None = None

    async def through(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """The same chunks.

        Raises:
            Refused: what came is not what was promised or declared; nothing more is asked for.
        """
        async for chunk in chunks:
            self._tally.add(chunk)
            self._look(chunk)
            yield chunk
        sha256 = self._tally.end()
        if self._head is None:
            self._judge()
        self._read_text(b"", final=True)
        if self._form is None and self._tail.ends_a_zip(sniff(self._head or b"").media):
            raise hidden_zip()
        self._sha256 = sha256

    @property
    def ended(self) -> bool:
        """Whether all of it was seen."""
        return self._sha256 is not None

    @property
    def served_type(self) -> str:
        """The media type that a clean upload is served with."""
        return served_type(self._declared, self._head or b"") if self._is_utf8 else OCTETS

    @property
    def is_image(self) -> bool:
        """Whether it is an image that may be shown, by its first bytes and by the type that it is served with; it is kept aside, then."""
        return self.served_type in SHOWN_IMAGES and sniff(self._head or b"").media == self.served_type

    @property
    def sha256(self) -> bytes:
        """The digest of what came, in 32 bytes.

        Raises:
            RuntimeError: the stream is not at its end.
        """
        return self._seen_to_its_end()

    def finish(self, limits: Limits) -> Problem | None:
        """What is wrong inside of an archive. Blocks: for a thread.

        Raises:
            RuntimeError: the stream is not at its end: there is nothing yet that could be vouched for.
        """
        self._seen_to_its_end()
        if self._form is None:
            return None
        return inspect_archive(self._aside, limits) or judge_office(self._declared, self._aside, limits)

    def _seen_to_its_end(self) -> bytes:
        if self._sha256 is None:
            raise RuntimeError("an upload is finished before its end was seen")
        return self._sha256

    def _look(self, chunk: bytes) -> None:
        if self._form is None:
            self._tail.add(chunk)
        if self._head is None:
            self._first += chunk
        self._read_text(chunk, final=False)
        if self._head is not None:
            self._keep(chunk)
        elif len(self._first) >= HEAD_BYTES:
            self._judge()

    def _judge(self) -> None:
        first, self._first = bytes(self._first), bytearray()
        self._head = first[:HEAD_BYTES]
        if problem := judge_type(self._declared, self._head):
            raise Refused(problem.code, problem.sentence)
        self._form = archive_format(self._head)
        self._is_kept = self._form is not None or self.is_image
        self._keep(first)

    def _keep(self, chunk: bytes) -> None:
        if self._is_kept:
            self._aside.write(chunk)

    def _read_text(self, chunk: bytes, *, final: bool) -> None:
        if self._text is None:
            return
        start = bytes((self._head or self._first)[:2])
        if b"\0" in chunk and not may_be_text(start + b"\0"):
            raise _no_text()
        if self._is_utf8:
            try:
                self._text.decode(chunk, final)
            except UnicodeDecodeError:
                self._is_utf8 = False
        if not self._is_utf8 and not takes_any_text(self._declared):
            raise _no_text()


def _no_text() -> Refused:
    return Refused("wrong_type", "The file was announced as text, but it is not.")
