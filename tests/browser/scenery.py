"""People who talk, for looking at: made through the REST interface of a running gateway."""

import asyncio
import io
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx2
from PIL import Image, ImageDraw, ImageFilter

PASSWORD = "a long walk by the water"

CAST = {
    "mara": "Mara Lindqvist",
    "jonas": "Jonas Weber",
    "aiko": "Aiko Tanaka",
    "samir": "Samir Haddad",
    "priya": "Priya Nair",
    "leo": "Leo Moreau",
}


@dataclass
class Somebody:
    """An account, and its requests."""

    http: httpx2.AsyncClient
    username: str
    user_id: str
    token: str
    spoken: int = field(default=0)

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": str(uuid.uuid4())}
        answer = await self.http.request(method, path, headers=headers, json=body or None)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def say(self, room: str, text: str, **more: Any) -> Any:
        return await self.ask("POST", "/api/messages", conversation_id=room, content={"text": text}, **more)

    async def group(self, title: str, *others: "Somebody") -> str:
        ids = [one.user_id for one in others]
        made = await self.ask("POST", "/api/conversations", kind="group", title=title, member_ids=ids)
        return made["conversation_id"]

    async def direct(self, other: "Somebody") -> str:
        made = await self.ask("POST", "/api/conversations", kind="direct", member_ids=[other.user_id])
        return made["conversation_id"]

    async def react(self, message: Any, emoji: str) -> None:
        await self.ask("POST", f"/api/messages/{message['message_id']}/reactions", emoji=emoji)

    async def read(self, room: str, seq: int) -> None:
        await self.ask("POST", f"/api/conversations/{room}/read", read_seq=seq)

    async def attach(self, name: str, content_type: str, content: bytes) -> str:
        """Upload through the gateway; a scan is asked for."""
        made = await self.ask("POST", "/api/attachments", name=name, content_type=content_type, size=len(content))
        path = f"/api/attachments/{made['attachment_id']}"
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/octet-stream"}
        answer = await self.http.put(f"{path}/content", headers=headers, content=content)
        assert answer.status_code < 300, answer.text
        return made["attachment_id"]

    async def judged(self, attachment_id: str) -> None:
        async with asyncio.timeout(30):
            while True:
                found = await self.ask("GET", f"/api/attachments/{attachment_id}")
                if found["status"] not in {"uploading", "pending"}:
                    return
                await asyncio.sleep(0.1)


async def enter(http: httpx2.AsyncClient, username: str, display_name: str | None = None) -> Somebody:
    """Sign up."""
    body = {"username": username, "password": PASSWORD, "display_name": display_name or username.capitalize()}
    answer = await http.post("/api/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    return Somebody(http, username, made["user"]["user_id"], made["access_token"])


async def set_scene(http: httpx2.AsyncClient, *, files: bool) -> dict[str, str]:
    """Six people, their conversations; the ids of the rooms by name. `mara` is who looks."""
    cast = {username: await enter(http, username, name) for username, name in CAST.items()}
    mara, jonas, aiko, samir, priya, leo = cast.values()
    rooms = {
        "release": await mara.group("Release 1.0", jonas, aiko, samir, priya, leo),
        "walks": await jonas.group("Weekend walks", mara, aiko, leo),
        "office": await priya.group("Office", mara, samir, jonas),
        "aiko": await mara.direct(aiko),
        "samir": await samir.direct(mara),
        "leo": await leo.direct(mara),
    }
    await leo.say(rooms["leo"], "Thanks for the review — merged ✨")
    await priya.say(rooms["office"], "The plants are watered. All of them. Even the cactus.")
    await samir.say(rooms["office"], "The cactus did not ask for that 🌵")
    await samir.say(rooms["samir"], "Lunch at the harbour, 12:30?")
    last = await mara.say(rooms["samir"], "Yes! See you there.")
    await samir.read(rooms["samir"], last["seq"])
    await mara.say(rooms["aiko"], "Did the fonts arrive?")
    await aiko.say(rooms["aiko"], "They did, and they are lovely. Photos tomorrow.")
    await jonas.say(rooms["walks"], "The path along the headrace is open again. Saturday, nine?")
    await leo.say(rooms["walks"], "@mara bring the thermos!", mentions=[mara.user_id])
    await _talk(rooms["release"], cast, files=files)
    newest = await mara.ask("GET", f"/api/conversations/{rooms['release']}")
    await mara.read(rooms["release"], newest["last_seq"])
    for name in ("leo", "office", "aiko"):
        found = await mara.ask("GET", f"/api/conversations/{rooms[name]}")
        await mara.read(rooms[name], found["last_seq"] - (1 if name == "aiko" else 0))
    return rooms


async def _talk(room: str, cast: dict[str, Somebody], *, files: bool) -> None:
    mara, jonas, aiko, samir, priya, leo = cast.values()
    plan = await jonas.say(
        room, "Plan for today: freeze at noon, release at three. Checklist in the pinned message below."
    )
    await mara.say(room, "Sounds right. I take the changelog.")
    listed = await mara.say(
        room,
        "Checklist\n1. all tests green, twice\n2. migrations rehearsed on a copy\n3. `headrace doctor` says nothing\n4. cake 🎂",
    )
    await mara.ask("PUT", f"/api/messages/{listed['message_id']}/pin")
    await priya.react(listed, "🎂")
    await leo.react(listed, "🎂")
    await aiko.react(listed, "👍")
    await mara.react(listed, "👍")
    await samir.say(room, "Rehearsed on yesterday's copy: 4 min 12 s, no surprises.", reply_to=listed["message_id"])
    for one, text in ((priya, "Which copy, the big one?"), (samir, "The big one."), (priya, "Then I believe it.")):
        await one.say(room, text, thread_root_id=plan["message_id"])
    if files:
        picture = await aiko.attach("harbour.png", "image/png", picture_of_the_harbour())
        await aiko.judged(picture)
        await aiko.say(room, "New picture for the front page, what do you think?", attachments=[picture])
        notes = await leo.attach("release-notes.txt", "text/plain", b"Nothing is lost, nothing comes twice.\n" * 900)
        await leo.judged(notes)
        await leo.say(room, "", attachments=[notes])
    else:
        await aiko.say(room, "New picture for the front page is on its way.")
    praise = await priya.say(room, "Oh, that light! 😍")
    await mara.react(praise, "❤️")
    await aiko.react(praise, "❤️")
    await jonas.say(room, "@mara can you read the notes once more before three?", mentions=[mara.user_id])
    done = await mara.say(room, "Done. Two commas moved, one promise made shorter.")
    for one in (jonas, aiko, samir, priya, leo):
        await one.read(room, done["seq"])
    await jonas.react(done, "🙏")


def picture_of_the_harbour() -> bytes:
    """A small landscape, drawn: nobody's photograph."""
    image = Image.new("RGB", (960, 600))
    draw = ImageDraw.Draw(image)
    for y in range(600):
        warm = y / 600
        draw.line(((0, y), (960, y)), fill=(int(250 - 60 * warm), int(200 - 60 * warm), int(150 + 50 * warm)))
    draw.ellipse((610, 150, 730, 270), fill=(255, 236, 200))
    for n, colour in enumerate(((122, 134, 160), (88, 106, 138), (52, 74, 104))):
        base = 300 + 55 * n
        points = [
            (x, base + int(38 * ((x * (7 + n * 3) // 97 + n) % 3)) - (x * (n + 1)) % 70) for x in range(0, 1000, 60)
        ]
        draw.polygon([(0, 600), *points, (960, 600)], fill=colour)
    image = image.filter(ImageFilter.GaussianBlur(3))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 470, 960, 600), fill=(30, 62, 86))
    for n in range(26):
        draw.line(((600 - n * 9 + n % 3 * 60, 476 + n * 5), (740 + n * 6, 476 + n * 5)), fill=(235, 205, 170), width=1)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()
