"""Files to send, and what is documented to become of each."""

import base64
import hashlib
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tests.services import EICAR
from tests.unit.consumers.imaging.photos import halves, saved
from tests.unit.consumers.inspection.samples import gzipped, tarred, zipped

Status = Literal["clean", "infected", "unscannable", "error", "uploading"]


@dataclass(frozen=True)
class Sample:
    """A file, as it is announced and as it comes.

    Attributes:
        status: that it ends with; `uploading` is one that the object store does not take.
        reason: how the reason begins.
        streamed: through the gateway, and not by the form.
        sha256: as announced.
    """

    kind: str
    media: str
    content: bytes
    status: Status = "clean"
    reason: str = ""
    streamed: bool = False
    sha256: str | None = None
    pictured: bool = False


Maker = Callable[[random.Random], Sample]


def _text(rng: random.Random) -> Sample:
    return _honest("text", "text/plain", _words(rng, rng.randrange(1, 200_000)))


def _picture(rng: random.Random) -> Sample:
    form = rng.choice(["PNG", "JPEG"])
    content = saved(halves(rng.randrange(20, 900), rng.randrange(20, 900)), form)
    return _honest("picture", f"image/{form.lower()}", content, pictured=True)


def _archive(rng: random.Random) -> Sample:
    inside = {f"{number}.txt": _words(rng, 2_000) for number in range(rng.randrange(1, 20))}
    media, pack = rng.choice([("application/zip", zipped), ("application/x-tar", tarred)])
    return _honest("archive", media, pack(inside))


def _noise(rng: random.Random) -> Sample:
    return _honest("noise", "application/octet-stream", b"\x01" + rng.randbytes(rng.randrange(1_000_000)))


def _unannounced(rng: random.Random) -> Sample:
    """Without a checksum, streamed: both may be."""
    return Sample("unannounced", "text/plain", _words(rng, 10_000), streamed=rng.random() < 0.5)


CLEAN: tuple[Maker, ...] = (_text, _picture, _archive, _noise, _unannounced)


def _infected(rng: random.Random) -> Sample:
    wrapped = {
        "plain": ("text/plain", EICAR),
        "zip": ("application/zip", zipped({"eicar.com": EICAR})),
        "zip in zip": ("application/zip", zipped({"inner.zip": zipped({"eicar.com": EICAR, "a": b"harmless"})})),
        "gzip": ("application/gzip", gzipped(EICAR)),
        "tar": ("application/x-tar", tarred({"a": b"harmless", "eicar.com": EICAR})),
        "in the middle": ("application/octet-stream", bytes(100_000) + EICAR + bytes(100_000)),
    }
    how = rng.choice(sorted(wrapped))
    media, content = wrapped[how]
    return _honest(
        f"EICAR, {how}", media, content, status="infected", reason="Eicar-Test-Signature", streamed=rng.random() < 0.3
    )


def _wrong_checksum(rng: random.Random) -> Sample:
    """The object store looks at what comes by the form, the scan at what comes through the gateway."""
    content, other = _words(rng, 5_000), hashlib.sha256(b"something else").hexdigest()
    if rng.random() < 0.5:
        return Sample("wrong checksum, form", "text/plain", content, "uploading", sha256=other)
    return Sample(
        "wrong checksum, streamed", "text/plain", content, "error", "wrong_checksum", streamed=True, sha256=other
    )


def _wrong_type(rng: random.Random) -> Sample:
    return _honest("wrong type", "image/png", _words(rng, 5_000), status="error", reason="wrong_type")


def _encrypted(rng: random.Random) -> Sample:
    """A zip that says that its entry is encrypted."""
    content = bytearray(zipped({"secret": _words(rng, 2_000)}, zipfile.ZIP_STORED))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return _honest("encrypted", "application/zip", bytes(content), status="unscannable", reason="encrypted")


def assortment(count: int, rng: random.Random) -> list[Sample]:
    """So many files in any order: a tenth infected, an eighth wrong in another way, the rest clean."""
    bad = [_infected] * (count // 10) + [_wrong_checksum] * (count // 20)
    bad += [_wrong_type] * (count // 30) + [_encrypted] * (count // 30)
    makers = [*bad, *(CLEAN[number % len(CLEAN)] for number in range(count - len(bad)))]
    return [maker(rng) for maker in rng.sample(makers, count)]


def _honest(kind: str, media: str, content: bytes, **more: Any) -> Sample:
    return Sample(kind, media, content, sha256=hashlib.sha256(content).hexdigest(), **more)


def _words(rng: random.Random, size: int) -> bytes:
    return base64.b64encode(rng.randbytes(size))[:size]
