"""The process that decodes one image: `python -I -m consumers.imaging.worker <size>`.

The image is the file that is its stdin. To stdout goes one line of JSON,
`{"width": …, "height": …, "thumbnail": {"width": …, "height": …, "content_type": …, "size": N}}`, and N bytes; width and height are those of
the image as it is shown. If it can not be rendered: exit 3, one word on stderr, nothing on stdout.

Before it reads a byte it gives up all that decoding does not need, so that who takes it over has gained one image.
"""

import contextlib
import copy
import json
import os
import resource
import sys
import warnings
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image, ImagePalette, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin

from consumers.imaging.drawing import encoded, orientation_of, thumbnail_of

FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP")
MOST_PIXELS: Final = 50_000_000
MOST_MEMORY: Final = 1 << 30
CPU_SECONDS: Final = 20
FAILED: Final = 3

_LIMITS: Final = (
    (resource.RLIMIT_AS, MOST_MEMORY),
    (resource.RLIMIT_CPU, CPU_SECONDS),
    (resource.RLIMIT_CORE, 0),  # a core would hold the image, and could be large
    (resource.RLIMIT_FSIZE, 0),  # no file can be written, not even the one that is stdin; pipes are none
    (resource.RLIMIT_NPROC, 0),
    (resource.RLIMIT_NOFILE, 3),  # no file can be opened, and no socket
)
_IMPORTED: Final = (copy, ImagePalette, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin)
"""What Pillow imports when it needs it, which would be too late: by then no file can be opened."""


def main(arguments: list[str]) -> int:
    """Render stdin's image; 0, or 3 when it can not be."""
    Image.preinit()
    try:
        confine()
        with open(0, "rb", closefd=False) as file:
            answer = render(file, int(arguments[0]))
    except Exception as failure:  # noqa: BLE001 -- decoders raise everything
        # Only what kind it is: messages may quote the file.
        with contextlib.suppress(OSError):
            os.write(2, f"{type(failure).__name__}\n".encode())
        return FAILED
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
    return 0


def confine() -> None:
    """Give up memory, time, files, sockets and children.

    Raises:
        OSError: this system does not know one of the limits.
        ValueError: the same.
    """
    with contextlib.suppress(OSError):
        # Where memory runs out, the kernel ends this process rather than one that serves; only Linux has it.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    for inherited in [int(path.name) for path in Path("/dev/fd").iterdir()]:
        if inherited > 2:  # uvloop hands on more than it is asked to
            with contextlib.suppress(OSError):  # the one of the listing is closed by now
                os.close(inherited)
    for limit, most in _LIMITS:
        _, hard = resource.getrlimit(limit)
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (value, value))


def render(file: BinaryIO, size: int) -> bytes:
    """What goes to stdout.

    Raises:
        Exception: it can not be rendered.
    """
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size  # before it is decoded: a JPEG is decoded small
        small = thumbnail_of(image, size)
        if orientation_of(image) >= 5:
            width, height = height, width
    media, content = encoded(small)
    thumbnail = {"width": small.width, "height": small.height, "content_type": media, "size": len(content)}
    line = json.dumps({"width": width, "height": height, "thumbnail": thumbnail})
    return line.encode("ascii") + b"\n" + content


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
