"""Makes the pictures of docs/images: a deployment, six people who talk, and Chromium that looks (`make screenshots`).

With Debian's `fonts-inter` and `fonts-noto-color-emoji` they look as they do in the repository.
"""

import asyncio
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image
from playwright.async_api import async_playwright

from schemas.stages import SCAN, STAGES
from tests.browser.conftest import ARGUMENTS, OPS_TOKEN, chromium_program
from tests.browser.scenery import PASSWORD, enter, set_scene
from tests.objects import opened, settings_for, when_it_serves
from tests.services import clamd_server, seaweedfs_server
from tests.system.stack import run_stack

IMAGES = Path(__file__).parents[2] / "docs" / "images"
MOST_BYTES = 150_000
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include>/etc/fonts/fonts.conf</include>
<match target="pattern"><edit name="family" mode="prepend_first"><string>Inter</string></edit></match>
</fontconfig>"""


async def main() -> None:
    """Write them all."""
    program = chromium_program()
    if program is None:
        sys.exit("chromium is not installed (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory(prefix="screenshots-") as name:
        folder = Path(name)
        (folder / "fonts.conf").write_text(FONTS)
        s3, clamd = seaweedfs_server(folder / "s3"), clamd_server(folder / "clamd")
        s3.start()
        if clamd is not None:
            clamd.start()
        try:
            files = settings_for(s3)
            async with opened(files) as objects:
                await when_it_serves(objects)
            assert files.s3_access_key
            assert files.s3_secret_key
            async with run_stack(
                folder / "stack",
                gateways=1,
                consumers=1,
                stages=(*STAGES, *([SCAN] if clamd else [])),
                ops_token=OPS_TOKEN,
                s3_url=files.s3_url or "",
                s3_access_key=files.s3_access_key.get_secret_value(),
                s3_secret_key=files.s3_secret_key.get_secret_value(),
                s3_bucket=files.s3_bucket,
                s3_quarantine_bucket=files.s3_quarantine_bucket,
                scanner_url=f"unix://{clamd.folder / 'clamd.ctl'}" if clamd else "",
            ) as stack:
                url = f"http://{stack.addresses[0]}"
                async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
                    await set_scene(http, files=clamd is not None)
                    await shoot(program, url, http, folder)
        finally:
            s3.kill()
            if clamd is not None:
                clamd.kill()


async def shoot(program: str, url: str, http: httpx2.AsyncClient, folder: Path) -> None:
    """Look at every main screen."""
    IMAGES.mkdir(exist_ok=True)
    environ = os.environ | {"FONTCONFIG_FILE": str(folder / "fonts.conf")}
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=program, args=ARGUMENTS, env=environ)
        for scheme in ("light", "dark"):
            page = await window(browser, url, scheme, 1280, 800)
            await page.locator(".room-link", has_text="Release 1.0").click()
            await page.locator("hr-room .row", has_text="promise made shorter").wait_for()
            await settled(page)
            save(await page.screenshot(), f"room-{scheme}")
            await page.locator("hr-room .port").evaluate("port => { port.scrollTop = 0; }")
            await page.locator(".thread-link").first.click()
            await page.locator("hr-thread .row", has_text="Then I believe it").wait_for()
            await settled(page)
            save(await page.screenshot(), f"thread-{scheme}")
            phone = await window(browser, url, scheme, 390, 780, has_touch=True, is_mobile=True, device_scale_factor=2)
            await settled(phone)
            shots = [await phone.screenshot()]
            await phone.locator(".room-link", has_text="Release 1.0").tap()
            await phone.locator("hr-room .row", has_text="promise made shorter").wait_for()
            await settled(phone)
            shots.append(await phone.screenshot())
            save(side_by_side(shots), f"phone-{scheme}")
            await page.goto(f"{url}/ops")
            await page.get_by_label("Ops token").fill(OPS_TOKEN)
            await page.keyboard.press("Enter")
            await busy(http, page, scheme)
            save(await page.screenshot(), f"ops-{scheme}")
        await browser.close()


async def window(browser: Any, url: str, scheme: str, width: int, height: int, **more: Any) -> Any:
    """Mara's."""
    size = {"width": width, "height": height}
    context = await browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce", **more)
    page = await context.new_page()
    await page.goto(url)
    await page.get_by_label("Username").fill("mara")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await page.locator(".room-link", has_text="Release 1.0").wait_for()
    return page


async def settled(page: Any) -> None:
    """Names have come and pictures are loaded; nobody hovers."""
    await page.mouse.move(2, 2)
    await page.wait_for_load_state("networkidle")
    await page.wait_for_function("() => !document.querySelector('.picture img:not(.loaded)')")
    await page.evaluate("document.activeElement?.blur()")
    await page.wait_for_timeout(400)


async def busy(http: httpx2.AsyncClient, page: Any, scheme: str) -> None:
    """Half a minute of people who write, so that there is something to draw."""
    one, other = await enter(http, f"one-{scheme}", "One"), await enter(http, f"other-{scheme}", "Other")
    room = await one.direct(other)
    for n in range(14):
        await asyncio.gather(*(one.say(room, "so it goes") for _ in range(3 + (n * 5) % 9)), asyncio.sleep(1.6))
    await page.wait_for_timeout(500)


def side_by_side(shots: list[bytes]) -> bytes:
    """Two screens of a phone, half a size."""
    images = [Image.open(io.BytesIO(shot)).convert("RGB") for shot in shots]
    images = [one.resize((one.width * 3 // 4, one.height * 3 // 4), Image.Resampling.LANCZOS) for one in images]
    width, height = images[0].size
    both = Image.new("RGB", (width * 2 + 24, height), (128, 136, 142))
    for at, one in enumerate(images):
        both.paste(one, (at * (width + 24), 0))
    out = io.BytesIO()
    both.save(out, "PNG")
    return out.getvalue()


def save(shot: bytes, name: str) -> None:
    """With all colours, if they fit."""
    path = IMAGES / f"{name}.png"
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    image.save(path, optimize=True)
    if path.stat().st_size >= MOST_BYTES:
        image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.FLOYDSTEINBERG).save(
            path, optimize=True
        )
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    asyncio.run(main())
