"""What one was doing survives what happens around it: drafts, panels, the place where one reads, focus, clicks."""

from collections.abc import Awaitable, Callable

import pytest

from tests.browser.conftest import Pair, Window
from tests.browser.scenery import Somebody

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.timeout(90)]

Join = Callable[..., Awaitable[Somebody]]
Open = Callable[..., Awaitable[Window]]

# Scroll up in small steps; every few frames the room is drawn again. How far it came.
CREEP = """async () => {
  const timeline = document.querySelector('hr-room hr-timeline');
  const { port } = timeline;
  const before = port.scrollTop;
  for (let frame = 0; frame < 60; frame += 1) {
    port.scrollTop -= 8;
    if (frame % 5 === 4) timeline.update(timeline.items);
    await new Promise(requestAnimationFrame);
  }
  return before - port.scrollTop;
}"""


async def test_a_panel_goes_with_its_room(join: Join, window: Open) -> None:
    ann, ben = await join("Ann"), await join("Ben")
    await ann.group("Mill", ben)
    await ann.group("Wheel", ben)
    hers = await window(ann)
    await hers.open("Mill")
    await hers.page.get_by_role("button", name="Members and settings").click()
    await hers.page.locator("hr-details h3", has_text="Mill").wait_for()
    await hers.open("Wheel")
    await hers.page.get_by_role("heading", name="Wheel", level=1).wait_for()
    assert await hers.page.locator("hr-details").count() == 0
    await hers.page.get_by_role("button", name="Members and settings").click()
    await hers.page.locator("hr-details h3", has_text="Wheel").wait_for()
    await hers.page.get_by_role("button", name="Close details").click()
    await hers.page.locator(".panel").wait_for(state="hidden")


async def test_an_edit_leaves_the_draft_and_its_reply_alone(pair: Pair) -> None:
    hers = pair.hers
    box, about = hers.page.locator("hr-room .compose-text"), hers.page.locator("hr-room .about")

    async def tool(text: str, name: str) -> None:
        await hers.row(text).hover()
        await hers.page.locator("hr-room hr-tools").get_by_role("button", name=name, exact=True).click()

    await hers.write("first")
    await hers.write("second")
    await hers.state("second", "sent", "delivered", "read")
    await tool("first", "Reply")
    await box.fill("half a tho")
    await tool("second", "Edit")
    await hers.holds("second")
    await hers.page.keyboard.press("Escape")
    await hers.holds("half a tho")
    await about.get_by_text("Reply to yourself").wait_for()
    await tool("second", "Edit")
    await hers.write("second thought")
    await hers.row("second thought").get_by_text("edited").wait_for()
    await hers.holds("half a tho")
    await tool("first", "Edit")
    await tool("second thought", "Reply")
    await hers.holds("half a tho")
    await about.get_by_text("second thought").wait_for()
    # What another tab writes meanwhile is for the draft, not for the edit.
    await tool("second thought", "Edit")
    await hers.page.evaluate(
        """async (id) => {
          const { state } = await import('/web/app/state.js');
          await state.client.drafts.set(id, { text: 'from elsewhere', replyTo: null });
        }""",
        pair.room,
    )
    await hers.holds("second thought")
    await hers.page.keyboard.press("Escape")
    await hers.holds("from elsewhere")


async def test_who_scrolls_up_a_little_is_not_taken_back(join: Join, window: Open) -> None:
    ann, ben = await join("Ann"), await join("Ben")
    room = await ann.direct(ben)
    for n in range(30):
        await ann.say(room, f"line {n}")
    hers = await window(ann)
    await hers.open("Ben")
    await hers.row("line 29").wait_for()
    assert await hers.page.evaluate(CREEP) > 400
