"""How much of an archive may be looked into, and how much of that is used up: by what was seen, never by what is declared."""

from dataclasses import dataclass

from consumers.inspection.problems import Refused


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one upload, with all archives in it.

    `entries`: files, folders, links and gzip members, all together. `total_bytes`: inflated, on every level; also what a temporary file
    may take. `ratio`: inflated to packed, of an entry or of the upload, once it is over `ratio_from_bytes`. `depth`: archives in archives;
    a `.tar.gz` is two. `directory_bytes`: of a zip's central directory, which is read at once.
    """

    entries: int = 10_000
    total_bytes: int = 500_000_000
    ratio: int = 200
    ratio_from_bytes: int = 10_000_000
    depth: int = 4
    directory_bytes: int = 8_000_000


class Budget:
    """What of the limits is used up by one upload of `packed` bytes."""

    def __init__(self, limits: Limits, packed: int) -> None:
        self.limits, self._packed = limits, packed
        self._entries = self._total = 0

    @property
    def entries_left(self) -> int:
        """How many more entries there may be."""
        return self.limits.entries - self._entries

    def enter(self, depth: int) -> None:
        """An archive begins, in `depth - 1` others.

        Raises:
            Refused: that is too deep.
        """
        if depth > self.limits.depth:
            raise Refused("archive_depth", f"Archives lie more than {self.limits.depth} deep in one another.")

    def entry(self) -> None:
        """An entry begins.

        Raises:
            Refused: it is one too many.
        """
        self._entries += 1
        if self._entries > self.limits.entries:
            raise too_many(self.limits)

    def spend(self, count: int) -> None:
        """So many bytes came out.

        Raises:
            Refused: that is too much, or too much for what the upload is.
        """
        self._total += count
        if self._total > self.limits.total_bytes:
            raise Refused("archive_size", f"The archive unpacks to more than {self.limits.total_bytes} bytes.")
        self.judge_ratio(self._total, self._packed)

    def judge_ratio(self, unpacked: int, packed: int) -> None:
        """Compare what came out with what went in.

        Raises:
            Refused: it grows too much.
        """
        if unpacked > self.limits.ratio_from_bytes and unpacked > packed * self.limits.ratio:
            raise Refused("archive_ratio", f"The archive unpacks to more than {self.limits.ratio} times its size.")


class Meter:
    """One stream that is inflated."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._packed = self.unpacked = 0

    def take(self, count: int) -> None:
        """So many packed bytes went in."""
        self._packed += count

    def give(self, count: int) -> None:
        """So many bytes came out.

        Raises:
            Refused: that is too much.
        """
        self.unpacked += count
        self._budget.spend(count)
        self._budget.judge_ratio(self.unpacked, self._packed)


def too_many(limits: Limits) -> Refused:
    """What is raised of an archive with too many entries."""
    return Refused("archive_entries", f"The archive holds more than {limits.entries} entries.")


def hidden_zip() -> Refused:
    """What is raised of what programs would open as a zip, and does not begin like one."""
    return damaged("something lies before its entries")


def damaged(what: str) -> Refused:
    """What is raised of an archive that is not as its format wants; nobody can say what other programs would find in it."""
    return Refused("archive_damaged", f"The archive is damaged: {what}.")
