"""Tokens that somebody made: each is refused with its exact code, over REST, at `connect` and at `refresh` (RFC 8725)."""

import base64
import statistics
import time
from collections.abc import Callable
from typing import Any

import httpx2
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets.asyncio.client import connect

from backplane.keys import generate
from backplane.settings import Settings
from backplane.store.mongo import Store
from tests.integration.gateway.rest.conftest import Person, make_settings
from tests.services import Server

pytestmark = pytest.mark.anyio

RING = generate(100)
THIEF = Ed25519PrivateKey.generate()
PUBLIC = RING.current.public.public_bytes(Encoding.Raw, PublicFormat.Raw)
SUBJECT = {"sub": "11111111-1111-4111-8111-111111111111", "sid": "22222222-2222-4222-8222-222222222222"}


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


def crafted(
    *, key: Any = None, algorithm: str = "EdDSA", header: dict[str, Any] | None = None, **claims: object
) -> str:
    """A token that is right in everything but what is given; None leaves a claim out."""
    now = int(time.time())
    right = {"iss": "headrace", "aud": "headrace", "iat": now, "nbf": now, "exp": now + 60, "jti": "j", **SUBJECT}
    payload = {name: value for name, value in (right | claims).items() if value is not None}
    given = {"typ": "at+jwt", "kid": RING.current.kid} | (header or {})
    headers = {name: value for name, value in given.items() if value is not None}
    return jwt.encode(payload, key or RING.current.private, algorithm=algorithm, headers=headers)


def unsigned(name: str) -> str:
    return f"{encoded({'alg': name, 'typ': 'at+jwt', 'kid': RING.current.kid})}.{crafted().split('.')[1]}."


def thief_s_jwk() -> dict[str, str]:
    x = THIEF.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(x).rstrip(b"=").decode()}


def soon(seconds: int) -> int:
    return int(time.time()) + seconds


WRONG: dict[str, tuple[str, Callable[[], str]]] = {
    "alg none": ("authentication_failed", lambda: unsigned("none")),
    "alg None": ("authentication_failed", lambda: unsigned("None")),
    "alg of no meaning": ("authentication_failed", lambda: unsigned("")),
    "HS256 with the public key": ("authentication_failed", lambda: crafted(key=PUBLIC, algorithm="HS256")),
    "a thief's key under our kid": ("authentication_failed", lambda: crafted(key=THIEF)),
    "another kid": ("authentication_failed", lambda: crafted(header={"kid": "other"})),
    "no kid": ("authentication_failed", lambda: crafted(header={"kid": None})),
    "the next key's kid": ("authentication_failed", lambda: crafted(header={"kid": RING.keys[1].kid})),
    "a jku": ("authentication_failed", lambda: crafted(key=THIEF, header={"jku": "https://thief.example/keys"})),
    "a jwk": ("authentication_failed", lambda: crafted(key=THIEF, header={"jwk": thief_s_jwk()})),
    "an x5u": ("authentication_failed", lambda: crafted(key=THIEF, header={"x5u": "file:///etc/passwd"})),
    "crit": ("authentication_failed", lambda: crafted(header={"crit": ["exp"]})),
    "another typ": ("authentication_failed", lambda: crafted(header={"typ": "JWT"})),
    "an ID token's typ": ("authentication_failed", lambda: crafted(header={"typ": "id_token+jwt"})),
    "another issuer": ("authentication_failed", lambda: crafted(iss="https://thief.example")),
    "another audience": ("authentication_failed", lambda: crafted(aud="another")),
    "several audiences": ("authentication_failed", lambda: crafted(aud=["headrace", "another"])),
    "no subject": ("authentication_failed", lambda: crafted(sub=None)),
    "no session": ("authentication_failed", lambda: crafted(sid=None)),
    "no end": ("authentication_failed", lambda: crafted(exp=None)),
    "expired": ("token_expired", lambda: crafted(exp=soon(-1))),
    "not yet valid": ("authentication_failed", lambda: crafted(nbf=soon(3600))),
    "from the future": ("authentication_failed", lambda: crafted(iat=soon(3600))),
    "nested": ("authentication_failed", lambda: crafted(header={"cty": "JWT"}, sub=crafted(), sid={"jwt": crafted()})),
    "a token in a token": ("authentication_failed", lambda: f"{encoded({'alg': 'EdDSA'})}.{crafted()}"),
    "five parts": ("authentication_failed", lambda: crafted() + ".a.b"),
    "one bit of the signature": ("authentication_failed", lambda: crafted()[:-4] + "AAAA"),
    "deep": ("authentication_failed", lambda: f"{base64.urlsafe_b64encode(b'[' * 2000).decode()}.e30.e30"),
}


@pytest.fixture(scope="module")
async def rest_settings(redis: Server, mongodb: Server) -> Settings:
    settings = make_settings(redis, mongodb, signing_key=RING.encode().decode())
    store = await Store.open(settings)
    await store.migrate(settings.names)
    await store.close()
    return settings


async def said_to(address: str, token: str) -> dict[str, Any]:
    """What a connection with this token is told first."""
    async with connect(address, subprotocols=["headrace.v1"]) as socket:
        await socket.send(msgspec.json.encode({"type": "connect", "token": token, "client": {}}).decode())
        return msgspec.json.decode(await socket.recv())


async def test_a_crafted_token_with_nothing_wrong_passes(http: httpx2.AsyncClient, address: str) -> None:
    """Else the refusals below would prove nothing."""
    answer = await http.get("/api/sync", headers={"Authorization": f"Bearer {crafted()}"})
    assert answer.json()["code"] == "account_disabled"  # there is no such account, but the token is right
    assert (await said_to(address, crafted()))["type"] == "connected"


@pytest.mark.parametrize("what", WRONG)
async def test_a_crafted_token_is_refused_everywhere(
    what: str, http: httpx2.AsyncClient, address: str, alice: Person
) -> None:
    expected, make = WRONG[what]
    answer = await http.get("/api/me", headers={"Authorization": f"Bearer {make()}"})
    assert (answer.status_code, answer.json()["code"]) == (401, expected)
    said = await said_to(address, make())
    assert (said["type"], said["reconnect"]) == ("disconnect", expected == "token_expired")
    assert said["code"] == {"authentication_failed": 4500, "token_expired": 4004}[expected]
    async with connect(address, subprotocols=["headrace.v1"]) as socket:
        right = {"type": "connect", "token": alice.tokens["access_token"], "client": {}}
        await socket.send(msgspec.json.encode(right).decode())
        assert msgspec.json.decode(await socket.recv())["type"] == "connected"
        await socket.send(msgspec.json.encode({"type": "refresh", "id": 1, "token": make()}).decode())
        while (reply := msgspec.json.decode(await socket.recv()))["type"] != "reply":
            pass
        assert reply["error"]["code"] == expected


async def test_unknown_people_and_wrong_passwords_take_the_same_time(http: httpx2.AsyncClient, alice: Person) -> None:
    async def seconds(username: str) -> float:
        began = time.perf_counter()
        answer = await http.post("/api/auth/login", json={"username": username, "password": "wrong horse"})
        assert answer.status_code == 401
        return time.perf_counter() - began

    known, unknown = [], []
    for _ in range(15):  # in turns, so that a noisy neighbour meets both
        known.append(await seconds(alice.username))
        unknown.append(await seconds("nobody-of-that-name"))
    assert 0.75 < statistics.median(known) / statistics.median(unknown) < 1.33
