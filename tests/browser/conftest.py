"""A whole deployment as real processes, and one Chromium, once a session; windows of people who signed up."""

import asyncio
import contextlib
import re
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from schemas.stages import SCAN, STAGES
from tests.browser.scenery import PASSWORD, Somebody, enter
from tests.door import Door
from tests.objects import opened, settings_for, when_it_serves
from tests.services import SeaweedServer, Server, clamd_server
from tests.system.stack import Stack, run_stack

OPS_TOKEN = "for the operators' eyes, and long enough"
TOKEN_SECONDS = 30
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_program() -> str | None:
    """An installed one."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Any]:
    """A browser, headless, with a fresh profile."""
    program = chromium_program()
    if program is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed (make dev)")
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server | None]:
    """clamd, where it is installed."""
    server = clamd_server(tmp_path_factory.mktemp("clamd"))
    if server is not None:
        server.start()
    yield server
    if server is not None:
        server.kill()


@pytest.fixture(scope="session")
async def stack(
    chromium: Any, tmp_path_factory: pytest.TempPathFactory, s3: SeaweedServer, scanner: Server | None
) -> AsyncIterator[Stack]:
    """One gateway, one process of consumers, and what they need."""
    files = settings_for(s3)
    async with opened(files) as objects:
        await when_it_serves(objects)
    assert files.s3_access_key
    assert files.s3_secret_key
    async with run_stack(
        tmp_path_factory.mktemp("stack"),
        gateways=1,
        consumers=1,
        stages=(*STAGES, *([SCAN] if scanner else [])),
        access_token_seconds=str(TOKEN_SECONDS),
        ops_token=OPS_TOKEN,
        s3_url=files.s3_url or "",
        s3_access_key=files.s3_access_key.get_secret_value(),
        s3_secret_key=files.s3_secret_key.get_secret_value(),
        s3_bucket=files.s3_bucket,
        s3_quarantine_bucket=files.s3_quarantine_bucket,
        scanner_url=f"unix://{scanner.folder / 'clamd.ctl'}" if scanner else "",
        allowed_origins="*",
    ) as stack:
        yield stack


@pytest.fixture(scope="session")
async def door(stack: Stack) -> AsyncIterator[Door]:
    """The way to the gateway: the network, which can be cut."""
    async with Door.to(stack.gateways[0].port) as door:
        yield door


@pytest.fixture(scope="session")
async def http(door: Door) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=door.url, trust_env=False, timeout=30) as http:
        yield http


@pytest.fixture
def join(http: httpx2.AsyncClient) -> Callable[..., Awaitable[Somebody]]:
    """Somebody new."""

    async def join(name: str) -> Somebody:
        return await enter(http, f"{name.lower()}-{uuid.uuid4().hex[:8]}", name)

    return join


@dataclass
class Window:
    """A page of somebody who is signed in, and what it complained about."""

    page: Any
    url: str
    complaints: list[str] = field(default_factory=list[str])
    sockets: list[str] = field(default_factory=list[str])

    async def sign_in(self, somebody: Somebody) -> None:
        await self.page.goto(self.url)
        await self.page.get_by_label("Username").fill(somebody.username)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.get_by_role("button", name="Sign in", exact=True).click()
        await self.page.wait_for_selector("hr-sidebar")

    async def open(self, name: str) -> None:
        await self.page.locator("hr-sidebar .room-link", has_text=name).click()
        await self.page.wait_for_selector("hr-room .compose-text")

    async def write(self, text: str) -> None:
        await self.page.locator("hr-room .compose-text").fill(text)
        await self.page.keyboard.press("Enter")

    async def holds(self, text: str) -> None:
        """Wait until this is where one writes."""
        await self.page.wait_for_function(
            "text => document.querySelector('hr-room .compose-text')?.value === text", arg=text
        )

    async def until(self, look: str, arg: Any = None) -> None:
        """Wait until the page says yes; `look` may be asynchronous, whose promise `wait_for_function` takes for a yes."""
        async with asyncio.timeout(15):
            while True:
                if await self.page.evaluate(look, arg):
                    return
                await asyncio.sleep(0.05)

    async def wake(self) -> None:
        """What a browser says when the network is back: the next try is now."""
        await self.page.evaluate("window.dispatchEvent(new Event('online'))")

    def row(self, text: str) -> Any:
        """The message whose text has this: what stands beside it, such as the time, does not count."""
        return self.page.locator(
            "hr-room article.row", has=self.page.locator(".text", has_text=re.compile(re.escape(text)))
        )

    async def texts(self) -> list[str]:
        """What stands there, in order."""
        return await self.page.locator("hr-room .bubble .text").all_inner_texts()

    async def state(self, text: str, *states: str) -> None:
        """Wait until one's own message has come this far."""
        wanted = ", ".join(f'[data-state="{one}"]' for one in states)
        await self.row(text).locator(wanted).wait_for(state="attached", timeout=20_000)


@pytest.fixture
async def window(chromium: Any, door: Door) -> AsyncIterator[Callable[..., Awaitable[Window]]]:
    """Windows, each with storage of its own unless it is told which context to open in; at the end none has complained."""
    contexts: list[Any] = []
    windows: list[Window] = []

    async def window(
        somebody: Somebody | None = None, *, beside: Window | None = None, worker: bool = False, **options: Any
    ) -> Window:
        if beside is not None:
            context = beside.page.context
        else:
            size = {"width": 1280, "height": 800}
            workers = "allow" if worker else "block"
            context = await chromium.new_context(**({"viewport": size, "service_workers": workers} | options))
            contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(15_000)
        made = Window(page, door.url)
        windows.append(made)
        page.on("pageerror", lambda error: made.complaints.append(str(error)))
        page.on("console", lambda said: "Content Security" in said.text and made.complaints.append(said.text))
        page.on("websocket", lambda socket: made.sockets.append(socket.url))
        if somebody is not None:
            await made.sign_in(somebody)
        return made

    yield window
    for context in contexts:
        with contextlib.suppress(Exception):
            await context.close()
    assert [one.complaints for one in windows if one.complaints] == []


@pytest.fixture
async def pair(join: Callable[..., Awaitable[Somebody]], window: Callable[..., Awaitable[Window]]) -> "Pair":
    """Two people in a conversation, each before it."""
    ann, ben = await asyncio.gather(join("Ann"), join("Ben"))
    room = await ann.direct(ben)
    hers, his = await asyncio.gather(window(ann), window(ben))
    await hers.open("Ben")
    await his.open("Ann")
    return Pair(ann, ben, room, hers, his)


@dataclass
class Pair:
    """Ann and Ben."""

    ann: Somebody
    ben: Somebody
    room: str
    hers: Window
    his: Window
