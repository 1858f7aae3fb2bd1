"""What one was doing survives what happens around it: drafts, panels, the place where one reads, focus, clicks."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.browser.conftest import Pair, Window
from tests.browser.scenery import PASSWORD, Somebody

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


FRAMES = "async () => { for (let frame = 0; frame < 3; frame += 1) await new Promise(requestAnimationFrame); }"
# The texts that are on screen as a whole.
IN_VIEW = """() => {
  const { top, bottom } = document.querySelector('hr-room .port').getBoundingClientRect();
  return [...document.querySelectorAll('hr-room .bubble .text')]
    .filter((one) => one.getBoundingClientRect().top >= top && one.getBoundingClientRect().bottom <= bottom)
    .map((one) => one.innerText);
}"""
# As if the upload got on all the time.
PROGRESS = """() => {
  const { uploads } = document.querySelector('hr-room hr-composer');
  setInterval(() => uploads.dispatchEvent(new Event('changed')), 10);
}"""
# What this device keeps of people who were signed in.
LEFT = """() => new Promise((done) => {
  indexedDB.open('headrace').onsuccess = ({ target: { result: db } }) => {
    const reading = db.transaction(['drafts', 'outbox', 'rooms', 'facts']);
    const asked = ['drafts', 'outbox', 'rooms'].map((name) => reading.objectStore(name).getAll());
    asked.push(reading.objectStore('facts').getAll(IDBKeyRange.bound(['view'], ['view', []])));
    reading.oncomplete = () => {
      db.close();
      done([...asked.flatMap((one) => one.result), ...Object.keys(localStorage).filter((name) => name.startsWith('headrace.people'))]);
    };
  };
})"""
FOCUSED = """() => {
  const at = document.activeElement;
  return at === document.body ? 'nothing' : (at.getAttribute('aria-label') ?? at.innerText);
}"""
# As Safari says it.
ENTER = """(place) => document.querySelector(place).dispatchEvent(
  new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229, bubbles: true, cancelable: true }))"""


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
    await asyncio.gather(*(ann.say(room, f"line {n}") for n in range(30)))
    hers = await window(ann)
    await hers.open("Ben")
    await hers.row("line 29").wait_for()
    assert await hers.page.evaluate(CREEP) > 400


async def test_older_messages_that_fail_to_come_are_not_asked_for_in_a_hurry(join: Join, window: Open) -> None:
    ann, ben = await join("Ann"), await join("Ben")
    room = await ann.direct(ben)
    root = await ann.say(room, "root")
    await asyncio.gather(*(ann.say(room, f"line {n}", thread_root_id=root["message_id"]) for n in range(30)))
    hers = await window()
    await hers.page.add_init_script("Math.random = () => 0.5")  # what is left to chance of a pause
    asked: list[float] = []
    thrice = asyncio.Event()

    async def refuse(route: Any) -> None:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) == 3:
            thrice.set()
        await route.fulfill(status=503, content_type="application/problem+json", body='{"code":"unavailable"}')

    older = f"**/api/conversations/{room}/messages?*before_seq*"
    await hers.page.route(older, refuse)
    await hers.sign_in(ann)
    await hers.open("Ben")
    async with asyncio.timeout(10):
        await thrice.wait()
    assert asked[2] - asked[0] > 0.6
    await hers.page.unroute(older)
    await hers.row("root").wait_for()


@pytest.mark.parametrize("doing", ["writing", "scrolling"])
async def test_who_does_something_before_the_unread_has_come_stays_there(join: Join, window: Open, doing: str) -> None:
    ann, ben = await join("Ann"), await join("Ben")
    room = await ann.direct(ben)
    await asyncio.gather(*(ben.say(room, f"line {n}") for n in range(80)))
    hers = await window(ann)
    go_on = asyncio.Event()

    async def hold(route: Any) -> None:
        await go_on.wait()
        await route.continue_()

    await hers.page.route(f"**/api/conversations/{room}/messages?*", hold)
    async with hers.page.expect_request(lambda one: "before_seq" in one.url):
        await hers.open("Ben")
    if doing == "writing":
        await hers.write("mine")
        await hers.row("mine").wait_for()
        looked_at = "mine"
    else:
        await hers.page.locator("hr-room .port").evaluate("port => { port.scrollTop += 200; }")
        looked_at = (await hers.page.evaluate(IN_VIEW))[1]
    async with hers.page.expect_response(lambda one: "after_seq" in one.url) as answer:
        go_on.set()
    await (await answer.value).finished()
    await hers.page.evaluate(FRAMES)
    seen = await hers.page.evaluate(IN_VIEW)
    assert looked_at in seen


async def test_who_jumps_before_the_unread_has_come_gets_there(join: Join, window: Open) -> None:
    ann, ben = await join("Ann"), await join("Ben")
    room = await ann.direct(ben)
    lines = await asyncio.gather(*(ben.say(room, f"line {n}") for n in range(160)))
    middle = sorted(lines, key=lambda line: line["seq"])[50]
    text = middle["content"]["text"]
    hers = await window(ann)
    go_on, jumped = asyncio.Event(), asyncio.Event()

    async def hold(route: Any) -> None:
        if not jumped.is_set():
            await go_on.wait()
        await route.continue_()

    await hers.page.route(f"**/api/conversations/{room}/messages?*", hold)
    async with hers.page.expect_request(lambda one: "before_seq" in one.url):
        await hers.open("Ben")
    jumped.set()
    await hers.page.evaluate("id => { document.querySelector('hr-room').jump(id); }", middle["message_id"])
    await hers.page.wait_for_timeout(500)  # what is asked for now is answered first
    go_on.set()
    await hers.page.wait_for_function(f"async () => {{ await ({FRAMES})(); return ({IN_VIEW})().includes('{text}'); }}")
    await hers.page.wait_for_timeout(500)
    assert text in await hers.page.evaluate(IN_VIEW)


async def test_a_file_on_its_way_can_be_removed_and_waits_where_it_was_put(join: Join, window: Open) -> None:
    ann, ben = await join("Ann"), await join("Ben")
    await ann.group("Mill", ben)
    await ann.group("Wheel", ben)
    hers = await window(ann)
    page = hers.page
    go_on = asyncio.Event()

    async def hold(route: Any) -> None:
        await go_on.wait()
        with contextlib.suppress(Exception):  # what was removed is not asked for any more
            await route.continue_()

    await page.route("**/api/attachments", hold)
    await hers.open("Mill")
    chips = page.locator("hr-room .chip")
    for name in ("one.txt", "two.txt"):
        file = {"name": name, "mimeType": "text/plain", "buffer": b"water"}
        await page.locator("hr-room input[type=file]").set_input_files([file])
    await chips.nth(1).wait_for()
    await page.evaluate(PROGRESS)
    at = await page.get_by_role("button", name="Remove one.txt").bounding_box()
    await page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2, delay=110)
    await page.get_by_role("button", name="Remove one.txt").wait_for(state="detached", timeout=2000)
    await page.get_by_role("button", name="Remove two.txt").focus()
    await page.evaluate(FRAMES)
    assert await page.evaluate("document.activeElement.getAttribute('aria-label')") == "Remove two.txt"
    await hers.open("Wheel")
    await page.get_by_role("heading", name="Wheel", level=1).wait_for()
    assert await chips.count() == 0
    go_on.set()
    await hers.open("Mill")
    # Here it has got on, or was refused where there is no scanner.
    await page.locator('hr-room .chip:not([data-upload="busy"])', has_text="two.txt").wait_for()
    await page.get_by_role("button", name="Remove two.txt").click()
    assert await chips.count() == 0


async def test_nothing_of_whoever_signs_out_stays_on_the_device(join: Join, window: Open) -> None:
    ann, ben = await join("Ann"), await join("Ben")
    room = await ann.direct(ben)
    await ben.say(room, "hello")
    go_on = asyncio.Event()

    async def hold(route: Any) -> None:
        answer = await route.fetch()
        await go_on.wait()
        await route.fulfill(response=answer)

    first = await window()
    await first.page.route(f"**/api/users/{ben.user_id}", hold)
    await first.sign_in(ann)
    await first.page.locator("hr-sidebar .room-link").click()
    await first.row("hello").wait_for()
    second = await window(beside=first)
    await second.page.goto(f"{second.url}/c/{room}")
    await second.row("hello").wait_for()
    await second.page.locator("hr-room .compose-text").fill("half a tho")
    await second.until(f"async () => JSON.stringify(await ({LEFT})()).includes('half a tho')")
    await first.page.bring_to_front()
    async with first.page.expect_response(f"**/api/users/{ben.user_id}"):
        await first.page.get_by_role("button", name="You: settings").click()
        await first.page.get_by_role("menuitem", name="Settings").click()
        await first.page.get_by_role("button", name="Sign out", exact=True).click()
        await first.page.get_by_text("You are signed out.").wait_for()
        await second.page.get_by_text("You are signed out.").wait_for()
        go_on.set()
    await first.page.evaluate(FRAMES)
    assert await first.page.evaluate("import('/web/app/state.js').then(({ state }) => state.people.all())") == []
    await first.until(f"async () => JSON.stringify(await ({LEFT})()) === '[]'")
    await first.page.get_by_label("Username").fill(ann.username)
    await first.page.get_by_label("Password").fill(PASSWORD)
    await first.page.get_by_role("button", name="Sign in", exact=True).click()
    await first.open("Ben")
    await first.row("hello").wait_for()
    await first.holds("")


async def test_what_has_the_focus_keeps_it_while_messages_change(pair: Pair) -> None:
    hers, page = pair.hers, pair.hers.page
    root = await pair.ben.say(pair.room, "root")
    reply = await pair.ben.say(pair.room, "reply", thread_root_id=root["message_id"])
    # A button of the bar at a message that changes.
    await hers.row("root").hover()
    await page.locator("hr-room hr-tools").get_by_role("button", name="Reply", exact=True).focus()
    await pair.ben.react(root, "👍")
    await hers.row("root").locator(".reaction").wait_for()
    assert await page.evaluate(FOCUSED) == "Reply"
    # The message that a thread began with, when another comes.
    await hers.row("root").locator(".thread-link").click()
    await page.locator("hr-thread article.row", has_text="reply").wait_for()
    await page.locator("hr-thread .thread-root .reaction").focus()
    await pair.ben.react(reply, "👍")
    await page.locator("hr-thread hr-timeline .reaction").wait_for()
    assert "thumbsup" in await page.evaluate(FOCUSED)


@pytest.mark.parametrize("moves", [True, False], ids=["moved", "inserted"])
async def test_a_list_that_is_sorted_anew_keeps_the_focus(join: Join, window: Open, *, moves: bool) -> None:
    ann, ben, eve = await join("Ann"), await join("Ben"), await join("Eve")
    mill = await ann.group("Mill", ben)
    wheel = await ann.group("Wheel", ben)
    await ann.say(wheel, "newest")
    hers = await window()
    if not moves:
        await hers.page.add_init_script("delete Element.prototype.moveBefore")
    await hers.sign_in(ann)
    links = hers.page.locator("hr-sidebar .rooms").first.locator(".room-link")
    await links.nth(1).get_by_text("Mill").wait_for()
    await links.nth(1).focus()
    await ben.say(mill, "first now")
    await links.nth(0).get_by_text("Mill").wait_for()
    assert "Mill" in await hers.page.evaluate(FOCUSED)
    # Somebody who was found stays under one's finger, too.
    await hers.page.get_by_label("Search conversations and people").fill(eve.username)
    found = hers.page.locator(".rooms-more .room-link", has_text=eve.username)
    await found.focus()
    unread = await hers.page.title()
    await ben.say(wheel, "once more")
    await hers.page.wait_for_function("unread => document.title !== unread", arg=unread)
    await hers.page.evaluate(FRAMES)
    assert eve.username in await hers.page.evaluate(FOCUSED)


async def test_the_enter_that_ends_a_composition_sends_nothing_and_goes_nowhere(pair: Pair) -> None:
    hers = pair.hers
    await hers.page.locator("hr-room .compose-text").fill("にほん")
    await hers.page.evaluate(ENTER, "hr-room .compose-text")
    await hers.holds("にほん")
    await hers.page.keyboard.press("Control+k")
    await hers.page.evaluate(ENTER, ".switcher input")
    assert await hers.page.locator(".switcher").count() == 1
