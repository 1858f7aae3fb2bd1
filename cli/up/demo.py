"""The demo: three people and a group, made through the REST interface of a running gateway, once.

The passwords are written down before the first request, so that a crash in between only means asking again: every
request is a repeat of the same one (a taken username is signed in, a group has an idempotency key).
"""

import asyncio
import json
import secrets
import urllib.error
import urllib.request
from typing import Any, Final

import orjson

from cli.up.folder import DataFolder, write_private

PEOPLE: Final = ("alice", "bob", "carol")
GROUP: Final = "Demo"
IDEMPOTENCY_KEY: Final = "headrace-demo"
REQUEST_SECONDS: Final = 20.0


class DemoFailed(Exception):
    """The demo could not be set up; the message says why. Everything else works."""


async def set_up(folder: DataFolder, url: str) -> list[tuple[str, ...]]:
    """Make the people and their group where they are missing; the rows to show: who, password or id.

    Raises:
        DemoFailed: the gateway refused.
    """
    people = _passwords(folder)
    ids: dict[str, str] = {}
    token = ""
    for username, password in people.items():
        session = await asyncio.to_thread(_session, url, username, password)
        ids[username] = session["user"]["user_id"]
        token = token or session["access_token"]  # the first one makes the group
    body = {"kind": "group", "title": GROUP, "member_ids": list(ids.values())}
    group = await asyncio.to_thread(_post, url, "/api/conversations", body, token)
    conversation = {"conversation_id": group["conversation_id"], "title": GROUP}
    _remember(folder, url, people, [conversation])
    return [
        *((username, f"password {password}") for username, password in people.items()),
        (GROUP, f"conversation {conversation['conversation_id']}"),
    ]


def _passwords(folder: DataFolder) -> dict[str, str]:
    if folder.demo_path.exists():
        return {user["username"]: user["password"] for user in orjson.loads(folder.demo_path.read_bytes())["users"]}
    people = {username: secrets.token_urlsafe(9) for username in PEOPLE}
    _remember(folder, "", people, [])
    return people


def _remember(folder: DataFolder, url: str, people: dict[str, str], conversations: list[dict[str, str]]) -> None:
    users = [{"username": username, "password": password} for username, password in people.items()]
    content = {"url": url, "users": users, "conversations": conversations}
    write_private(folder.demo_path, json.dumps(content, indent=2).encode())


def _session(url: str, username: str, password: str) -> dict[str, Any]:
    body = {"username": username, "password": password}
    try:
        return _post(url, "/api/auth/register", body | {"display_name": username.capitalize()})
    except _Refused as refusal:
        if refusal.code != "username_taken":
            raise
    try:
        return _post(url, "/api/auth/login", body)
    except _Refused as refusal:
        raise DemoFailed(f"{username} is somebody else's here: {refusal}") from refusal


class _Refused(DemoFailed):
    """A problem document (RFC 9457)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _post(url: str, path: str, body: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Idempotency-Key": IDEMPOTENCY_KEY}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url + path, orjson.dumps(body), headers)  # noqa: S310 our own gateway
    # No proxy: what the environment names for the world is not asked for this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=REQUEST_SECONDS) as answer:
            return orjson.loads(answer.read())
    except urllib.error.HTTPError as failure:
        raise _refusal(failure) from None
    except (OSError, orjson.JSONDecodeError) as failure:
        raise DemoFailed(f"{path}: {failure}") from failure


def _refusal(failure: urllib.error.HTTPError) -> _Refused:
    try:
        problem = orjson.loads(failure.read())
        return _Refused(str(problem["code"]), str(problem.get("detail") or problem["title"]))
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return _Refused("", f"HTTP {failure.code}")
