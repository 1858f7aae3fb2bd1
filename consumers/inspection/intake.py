"""One pass over an upload: what can be judged while it streams is; an archive is kept aside and looked into at the end."""

import codecs
from collections.abc import AsyncIterator
from typing import BinaryIO

from consumers.inspection.archives import Format, archive_format, inspect_archive
from consumers.inspection.budget import Limits
from consumers.inspection.declared import is_text_type, judge_type, served_type
from consumers.inspection.kinds import HEAD_BYTES
from consumers.inspection.office import judge_office
from consumers.inspection.problems import Problem, Refused
from consumers.inspection.promise import Promise, Tally


class Intake:
    """Looks at the bytes of one upload on their way to the scanner, and holds none of them but the first few.

    Args:
        declared: the media type that its sender says it has.
        aside: an empty temporary file; an archive is written there, of at most the promised size. The caller closes it.
    """

    def __init__(self, promise: Promise, declared: str, aside: BinaryIO) -> None:
        self._tally, self._declared, self._aside = Tally(promise), declared, aside
        self._first = bytearray()
        self._head: bytes | None = None
        self._form: Format | None = None
        self._text = codecs.getincrementaldecoder("utf-8")() if is_text_type(declared) else None
        self._ended = False

    async def through(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same chunks.

        Raises:
            Refused: what came is not what was promised or declared; nothing more is asked for.
        """
        async for chunk in chunks:
            self._tally.add(chunk)
            self._look(chunk)
            yield chunk
        self._tally.end()
        if self._head is None:
            self._judge()
        self._read_text(b"", final=True)
        self._ended = True

    @property
    def served_type(self) -> str:
        """The media type that a clean upload is served with."""
        return served_type(self._declared, self._head or b"")

    def finish(self, limits: Limits) -> Problem | None:
        """What is wrong inside of an archive. Blocks: for a thread.

        Raises:
            RuntimeError: the stream is not at its end: there is nothing yet that could be vouched for.
        """
        if not self._ended:
            raise RuntimeError("an upload is finished before its end was seen")
        if self._form is None:
            return None
        return inspect_archive(self._aside, limits) or judge_office(self._declared, self._aside, limits)

    def _look(self, chunk: bytes) -> None:
        self._read_text(chunk, final=False)
        if self._head is not None:
            self._keep(chunk)
        else:
            self._first += chunk
            if len(self._first) >= HEAD_BYTES:
                self._judge()

    def _judge(self) -> None:
        first, self._first = bytes(self._first), bytearray()
        self._head = first[:HEAD_BYTES]
        if problem := judge_type(self._declared, self._head):
            raise Refused(problem.code, problem.sentence)
        self._form = archive_format(self._head)
        self._keep(first)

    def _keep(self, chunk: bytes) -> None:
        if self._form:
            self._aside.write(chunk)

    def _read_text(self, chunk: bytes, *, final: bool) -> None:
        if self._text is None:
            return
        try:
            self._text.decode(chunk, final)
        except UnicodeDecodeError:
            raise _no_text() from None
        if b"\0" in chunk:
            raise _no_text()


def _no_text() -> Refused:
    return Refused("wrong_type", "The file was announced as text, but it is not UTF-8.")
