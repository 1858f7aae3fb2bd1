"""What thumbnails look like, whatever they are made of; through the confined process, in which late imports fail."""

import io

import pytest
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from consumers.imaging.drawing import encoded
from tests.unit.consumers.imaging.photos import BLUE, RED, gradient, halves, near, opened, rendered, saved

SECRET = "48.2082N, at home"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_every_format_that_may_be_shown(form: str) -> None:
    picture = rendered(saved(halves(1200, 300), form))
    assert picture
    assert (picture.width, picture.height) == (1200, 300)
    assert (picture.thumbnail_width, picture.thumbnail_height) == (512, 128)
    small = opened(picture)
    assert near(small, (100, 64), RED)
    assert near(small, (400, 64), BLUE)


@pytest.mark.parametrize("form", ["TIFF", "BMP", "ICO", "PPM", "TGA", "PDF", "JPEG2000", "EPS"])
def test_no_other_format_is_opened(form: str) -> None:
    assert rendered(saved(halves(64, 64), form)) is None


@pytest.mark.parametrize("size", [(1, 1), (512, 512), (30, 20)])
def test_what_is_small_is_not_enlarged(size: tuple[int, int]) -> None:
    assert opened(rendered(saved(halves(*size), "PNG"))).size == size


@pytest.mark.parametrize("size", [(20_000, 1), (1, 20_000)])
def test_a_line_keeps_a_pixel(size: tuple[int, int]) -> None:
    assert min(opened(rendered(saved(halves(*size), "PNG"))).size) == 1


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 2, 5, 6, 8])
def test_it_is_upright(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(halves(1200, 600), form, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    picture = rendered(content)
    assert picture
    assert (picture.width, picture.height) == upright.size
    small = opened(picture)
    assert small.size == ((512, 256) if orientation < 5 else (256, 512))
    for at in ((0.1, 0.1), (0.9, 0.1), (0.1, 0.9)):
        expected = upright.convert("RGB").getpixel((int(upright.width * at[0]), int(upright.height * at[1])))
        assert isinstance(expected, tuple)
        assert near(small, (int(small.width * at[0]), int(small.height * at[1])), expected)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_damaged_exif_spoils_no_photo(exif: bytes) -> None:
    assert opened(rendered(saved(halves(60, 40), "JPEG", exif=exif))).size == (60, 40)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_what_is_transparent_stays_so(form: str) -> None:
    image = Image.new("RGBA", (1000, 1000), (0, 0, 255, 0))
    image.paste((255, 0, 0, 255), (500, 0, 1000, 1000))
    small = opened(rendered(saved(image, form)))
    assert small.mode == "RGBA"
    assert small.getchannel("A").getpixel((100, 256)) == 0
    assert near(small, (400, 256), (255, 0, 0, 255))
    assert near(small, (258, 256), (255, 0, 0, 255)), "what can not be seen does not shine through at the edge"


@pytest.mark.parametrize(
    ("image", "form", "options"),
    [
        (Image.new("P", (900, 900), 3), "GIF", {"transparency": 3}),
        (Image.new("P", (900, 900), 0), "PNG", {"transparency": 0}),
        (Image.new("L", (900, 900), 3), "PNG", {"transparency": 3}),
        (Image.new("1", (900, 900), 0), "PNG", {"transparency": 0}),
        (Image.new("RGB", (900, 900), (1, 2, 3)), "PNG", {"transparency": (1, 2, 3)}),
        (Image.new("LA", (900, 900), (200, 0)), "PNG", {}),
    ],
    ids=["gif", "palette", "grey", "bits", "colours", "grey-alpha"],
)
def test_a_colour_that_stands_for_nothing_is_transparent(
    image: Image.Image, form: str, options: dict[str, object]
) -> None:
    assert opened(rendered(saved(image, form, **options))).getchannel("A").getextrema() == (0, 0)


def test_sixteen_bits_are_not_clipped() -> None:
    small = opened(rendered(saved(Image.new("I;16", (900, 900), 40_000), "PNG")))
    assert near(small, (100, 100), (155, 155, 155))


def test_bits_become_greys() -> None:
    image = Image.new("1", (1024, 1024))
    image.putdata([(x + y) % 2 for y in range(1024) for x in range(1024)])
    small = opened(rendered(saved(image, "PNG")))
    assert near(small, (100, 100), (127, 127, 127))


def test_a_photo_for_print() -> None:
    small = opened(rendered(saved(Image.new("CMYK", (900, 600), (0, 255, 255, 0)), "JPEG")))
    assert near(small, (100, 100), RED)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_what_moves_the_first_frame(form: str) -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in (RED, BLUE, BLUE)]
    content = saved(frames[0], form, save_all=True, append_images=frames[1:], duration=100)
    small = opened(rendered(content))
    assert not getattr(small, "is_animated", False)
    assert near(small, (30, 30), RED)


def test_a_telephone_s_photo_of_several_images_is_its_first() -> None:
    content = saved(Image.new("RGB", (640, 480), RED), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 48))])
    assert near(opened(rendered(content)), (30, 30), RED)


def swapped_profile() -> bytes:
    """sRGB, but for its primaries: what it calls red is green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def test_colours_are_those_of_the_profile() -> None:
    content = saved(Image.new("RGB", (900, 600), RED), "JPEG", icc_profile=swapped_profile(), subsampling=0)
    assert near(opened(rendered(content)), (100, 100), (0, 255, 0))


@pytest.mark.parametrize("profile", [b"no profile", swapped_profile()[:200]])
def test_a_damaged_profile_spoils_no_photo(profile: bytes) -> None:
    assert near(opened(rendered(saved(Image.new("RGB", (90, 60), RED), "JPEG", icc_profile=profile))), (10, 10), RED)


def talkative(form: str, mode: str = "RGB") -> bytes:
    """An image that says where it was made, in every way that its format knows."""
    exif = Image.Exif()
    exif[0x010E] = SECRET
    exif.get_ifd(0x8825)[29] = SECRET
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRET)
    text.add_itxt("XML:com.adobe.xmp", SECRET)
    options: dict[str, object] = {"exif": exif, "icc_profile": swapped_profile() + SECRET.encode()}
    more = {
        "PNG": {"pnginfo": text},
        "JPEG": {"comment": SECRET, "xmp": SECRET.encode()},
        "WEBP": {"xmp": SECRET.encode()},
    }
    content = saved(halves(300, 200, mode), form, **options, **more[form])
    assert SECRET.encode() in content
    return content


@pytest.mark.parametrize(
    ("form", "mode"), [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "RGB"), ("WEBP", "RGBA")]
)
def test_a_thumbnail_tells_nothing_but_pixels(form: str, mode: str) -> None:
    small = opened(rendered(talkative(form, mode)))
    assert not small.getexif()
    assert set(small.info) <= {"loop", "background", "timestamp", "duration"}


@pytest.mark.parametrize(("mode", "media", "form"), [("RGB", "image/jpeg", "JPEG"), ("RGBA", "image/png", "PNG")])
def test_without_webp_there_are_the_other_two(mode: str, media: str, form: str) -> None:
    found, content = encoded(gradient(64, 64).convert(mode), webp=False)
    assert found == media
    with Image.open(io.BytesIO(content), formats=[form]) as image:
        assert image.mode == mode
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
