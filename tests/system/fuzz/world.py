"""People who signed up over REST and what they have: what a fuzzer puts in the place of ids that name nothing."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx2

PASSWORD = "correct horse"


@dataclass
class Person:
    """Somebody with an account."""

    http: httpx2.Client
    user_id: str
    access_token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}

    def __call__(self, method: str, path: str, **body: object) -> dict:
        answer = self.http.request(method, path, headers=self.headers, json=body or None)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        return answer.json()

    def group(self, *others: "Person") -> str:
        body = {"kind": "group", "title": "group", "member_ids": [other.user_id for other in others]}
        return self("POST", "/api/conversations", **body)["conversation_id"]

    def say(self, room: str, **fields: object) -> str:
        body = {"conversation_id": room, "content": {"text": "hi"}, "client_msg_id": str(uuid.uuid4())}
        return self("POST", "/api/messages", **body | fields)["message_id"]


def sign_up(http: httpx2.Client) -> Person:
    """A new account."""
    account = {"username": f"u{uuid.uuid4().hex[:12]}", "password": PASSWORD}
    answer = http.post("/api/auth/register", json=account)
    assert answer.status_code == 201, answer.text
    tokens = answer.json()
    return Person(http, tokens["user"]["user_id"], tokens["access_token"], tokens["refresh_token"])


@dataclass
class World:
    """Ada, who is attacked from, and two others; `pools` has what exists, by the names of parameters and fields."""

    http: httpx2.Client
    ada: Person = field(init=False)
    pools: dict[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ada, self._bob, self._cy = (sign_up(self.http) for _ in range(3))
        self.renew()

    def renew(self) -> None:
        """Rooms, messages, a bot and a hook that nothing was done to yet."""
        ada, bob, cy = self.ada, self._bob, self._cy
        bot = ada("POST", "/api/bots", username=f"b{uuid.uuid4().hex[:12]}")
        group, joined = ada.group(bob), bob.group(ada)
        root = ada.say(group)
        messages = [root, bob.say(group, thread_root_id=root), ada.say(joined)]
        hook = {"url": "http://127.0.0.1:1024/hook", "conversation_id": group}
        webhook = ada("POST", "/api/webhooks", **hook)["webhook_id"]
        users = [ada.user_id, bob.user_id, cy.user_id]
        position = ada("GET", "/api/sync")["position"]
        self.pools = {
            "user_id": users,
            "user_ids": users,
            "member_ids": users,
            "mentions": [*users, "all"],
            "conversation_id": [group, joined],
            "message_id": messages,
            "reply_to": messages,
            "thread_root_id": messages,
            "bot_id": [bot["bot"]["user_id"]],
            "token_id": [bot["bot"]["tokens"][0]["token_id"]],
            "webhook_id": [webhook],
            "token": [bot["token"]],
            "refresh_token": [ada.refresh_token],
            "url": ["http://127.0.0.1:1024/hook"],
            "emoji": ["\N{THUMBS UP SIGN}", ":ok:"],
            "after": [position],
            "cursor": ["before_seq-2", f"{position}:"],
        }
