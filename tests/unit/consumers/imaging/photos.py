"""Images for tests, and what runs the worker on them."""

import asyncio
import io
import struct
import tempfile
import zlib
from typing import Any

from PIL import Image

from consumers.imaging.pictures import Picture, picture_of

RED, BLUE = (255, 0, 0), (0, 0, 255)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    image.save(file := io.BytesIO(), form, **options)
    return file.getvalue()


def halves(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image.convert(mode)


def gradient(width: int, height: int) -> Image.Image:
    """Something that does not pack to nothing, made fast."""
    rows, columns = (
        Image.linear_gradient("L").resize((width, height)),
        Image.radial_gradient("L").resize((width, height)),
    )
    return Image.merge("RGB", (rows, columns, rows))


def png_by_hand(width: int, height: int, rows: bytes, *, depth: int = 1) -> bytes:
    """A grey PNG that says it is of that size, whatever `rows` hold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def bomb() -> bytes:
    """900 megapixels in a hundred kilobytes, and honest about it."""
    return png_by_hand(30_000, 30_000, bytes((1 + 30_000 // 8) * 30_000))


def rendered(content: bytes) -> Picture | None:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        return asyncio.run(picture_of(file))


def opened(picture: Picture | None) -> Image.Image:
    """A thumbnail that is what it was said to be."""
    assert picture
    image = Image.open(io.BytesIO(picture.thumbnail))
    assert image.size == (picture.thumbnail_width, picture.thumbnail_height)
    assert Image.MIME[image.format or ""] == picture.thumbnail_type
    image.load()
    return image


def near(image: Image.Image, at: tuple[int, int], colour: tuple[int, ...]) -> bool:
    """Whether a pixel is of about that colour: thumbnails lose a little."""
    found = image.convert("RGBA" if len(colour) == 4 else "RGB").getpixel(at)
    assert isinstance(found, tuple)
    return all(abs(one - other) <= 12 for one, other in zip(found, colour, strict=True))
