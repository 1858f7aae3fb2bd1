"""No token, password or message text gets into any log, whatever is asked, refused or broken."""

import asyncio
import uuid
from pathlib import Path

import httpx2
import msgspec
import pytest
from websockets.asyncio.client import connect

from tests.system.stack import Stack, run_stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TEXT = "the-text-of-a-private-message"
PASSWORD = "the-password-of-a-person"


class Run:
    """Everything that is secret in a run."""

    def __init__(self, stack: Stack, http: httpx2.AsyncClient) -> None:
        self.stack, self.http = stack, http
        self.secrets = {
            TEXT,
            PASSWORD,
            "the-new-password-of-a-person",
            "a-wrong-password",
            "not-a-token-but-sent-as-one",
        }

    async def ask(self, method: str, path: str, token: str | None = None, **kwargs) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"http://{self.stack.addresses[0]}{path}"
        answer = await self.http.request(method, url, headers=headers | kwargs.pop("headers", {}), **kwargs)
        for name in ("access_token", "refresh_token", "token", "secret"):
            if answer.headers.get("content-type") == "application/json" and isinstance(
                found := answer.json().get(name), str
            ):
                self.secrets.add(found)
        return answer

    async def sign_in_and_out(self) -> str:
        body = {"username": f"u{uuid.uuid4().hex[:12]}", "password": PASSWORD}
        first = (await self.ask("POST", "/api/auth/register", json=body)).json()
        for wrong in (
            body | {"password": "a-wrong-password"},
            body | {"password": ["a-wrong-password"]},
            body | {"a-wrong-password": 1},
        ):
            await self.ask("POST", "/api/auth/login", json=wrong)
        await self.ask(
            "POST",
            "/api/auth/login",
            content=b'{"password": "a-wrong-password"',
            headers={"Content-Type": "application/json"},
        )
        cookie = await self.ask("POST", "/api/auth/login", json=body | {"cookie": True})
        self.secrets.add(cookie.headers["set-cookie"].partition("=")[2].partition(";")[0])
        second = (await self.ask("POST", "/api/auth/refresh", json={"refresh_token": first["refresh_token"]})).json()
        third = (await self.ask("POST", "/api/auth/refresh", json={"refresh_token": second["refresh_token"]})).json()
        token = third["access_token"]
        change = {"current_password": PASSWORD, "new_password": "the-new-password-of-a-person"}
        assert (await self.ask("POST", "/api/auth/password", token, json=change)).status_code == 204
        bot = (await self.ask("POST", "/api/bots", token, json={"username": f"b{uuid.uuid4().hex[:12]}"})).json()
        self.secrets.add(bot["token"])
        await self.ask("POST", "/api/auth/bot", json={"token": bot["token"]})
        await self.ask("GET", "/api/me", "not-a-token-but-sent-as-one")
        await self.ask("GET", "/api/me?access_token=not-a-token-but-sent-as-one")
        await self.ask("POST", "/api/auth/refresh", json={"refresh_token": "not-a-token-but-sent-as-one"})
        return token

    async def talk(self, token: str) -> None:
        room = (
            await self.ask("POST", "/api/conversations", token, json={"kind": "group", "member_ids": [], "title": TEXT})
        ).json()
        async with connect(f"ws://{self.stack.addresses[0]}/ws", subprotocols=["headrace.v1"]) as socket:
            await socket.send(msgspec.json.encode({"type": "connect", "token": token, "client": {}}).decode())
            for frame in (
                {"content": {"text": TEXT}},
                {"content": {"text": TEXT, "more": TEXT}},
                {"content": TEXT},
                {"content": {"text": TEXT}, TEXT: 1},
                {"content": {"text": "\u0000" + TEXT}},
            ):
                whole = {
                    "type": "message.send",
                    "id": 1,
                    "conversation_id": room["conversation_id"],
                    "client_msg_id": str(uuid.uuid4()),
                }
                await socket.send(msgspec.json.encode(whole | frame).decode())
            await socket.send(f'{{"type":"{TEXT}"')
            await asyncio.sleep(1)
        async with connect(f"ws://{self.stack.addresses[0]}/ws", subprotocols=["headrace.v1"]) as socket:
            await socket.send('{"type":"connect","token":"not-a-token-but-sent-as-one","client":{}}')
            await socket.wait_closed()


async def test_the_logs_of_a_whole_run_hold_no_secret(tmp_path: Path) -> None:
    async with run_stack(tmp_path, log_level="debug") as stack, httpx2.AsyncClient(timeout=30) as http:
        run = Run(stack, http)
        token = await run.sign_in_and_out()
        await run.talk(token)
        stack.redis_server.kill()
        await run.ask("POST", "/api/auth/login", json={"username": "somebody", "password": PASSWORD})
        stack.redis_server.start()
        stack.mongodb_server.kill()
        await run.ask("POST", "/api/auth/login", json={"username": "somebody", "password": PASSWORD})
        stack.mongodb_server.start()
        await stack.ready()
        await run.talk(token)
        for process in stack.processes:
            await process.terminate()
        lines = [line for process in stack.processes for line in process.lines()]
    assert len(lines) > 50
    assert len(run.secrets) > 12
    key = str(stack.settings.signing_key and stack.settings.signing_key.get_secret_value()).splitlines()[1]
    assert [line for line in lines if any(secret in line for secret in (*run.secrets, key))] == []
    assert not [line for line in lines if "eyJ" in line or "Traceback" in line]
