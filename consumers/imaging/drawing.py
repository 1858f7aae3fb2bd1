"""What a thumbnail looks like: small, upright, in sRGB, and nothing but pixels."""

import contextlib
import io
from typing import Final

from PIL import Image, ImageCms
from PIL.WebPImagePlugin import SUPPORTED as WEBP

_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientations (CIPA DC-008, 4.6.5.1.6), but for 1 → what undoes them."""
_QUALITY: Final = 80


def thumbnail_of(image: Image.Image, size: int) -> Image.Image:
    """The first frame of an opened image, decoded, upright, fitting in a square of `size` pixels, never enlarged; RGB or RGBA.

    Raises:
        Exception: whatever Pillow raises of a file that can not be decoded.
    """
    small = _scalable(image)
    small.thumbnail((size, size))
    small = _in_srgb(_in_bytes(small), image.info.get("icc_profile"))
    method = _UPRIGHT.get(orientation_of(image))
    if method is not None:
        small = small.transpose(method)
    small.info = {}  # some formats are written with what is here: comments, profiles, EXIF
    return small


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 when there is none that can be read. A PNG has it only once it is decoded."""
    orientation = 1
    if "exif" in image.info:  # what browsers look at; Pillow would also take it from XMP and from text
        with contextlib.suppress(Exception):  # a photo with damaged EXIF is still a photo
            orientation = image.getexif().get(_ORIENTATION, 1)
    return orientation if orientation in _UPRIGHT else 1


def encoded(image: Image.Image, *, webp: bool = WEBP) -> tuple[str, bytes]:
    """Media type and bytes: WebP, or what there is without it: PNG where something is transparent, else JPEG."""
    file = io.BytesIO()
    if webp:
        media, form = "image/webp", "WEBP"
    else:
        media, form = ("image/png", "PNG") if image.mode == "RGBA" else ("image/jpeg", "JPEG")
    image.save(file, form, quality=_QUALITY)
    return media, file.getvalue()


def _scalable(image: Image.Image) -> Image.Image:
    """In a mode in which pixels can be mixed: numbers of colours can not, nor a colour that stands for nothing."""
    if image.mode in {"1", "L", "P", "PA", "RGB"} and image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in {"1", "P"}:
        return image.convert("L" if image.mode == "1" else "RGB")
    return image


def _in_bytes(image: Image.Image) -> Image.Image:
    """In a mode of eight bits. Pillow's own conversion of sixteen clips them: all but the darkest would be white."""
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    return image


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Without its profile, which is metadata, a photo of a telephone would be pale."""
    mode = "RGBA" if image.mode in {"LA", "RGBA"} else "RGB"
    if profile and image.mode in {"RGB", "RGBA", "CMYK"}:
        with contextlib.suppress(Exception):  # nobody is helped by no thumbnail, only because its profile is damaged
            ours = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            converted = ImageCms.profileToProfile(image, ours, srgb, outputMode=mode)
            if converted is not None:
                return converted
    return image.convert(mode)
