import base64
import time
from collections.abc import Callable

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from backplane.keys import generate, rotate
from backplane.settings import Settings, SettingsError, load_settings
from gateway.tokens import LEEWAY_SECONDS, BadToken, Tokens
from schemas.ids import SessionId, UserId

KEY = Ed25519PrivateKey.generate()
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
USER, SESSION = UserId("11111111-1111-4111-8111-111111111111"), SessionId("22222222-2222-4222-8222-222222222222")


def make_settings(**overrides: object) -> Settings:
    return load_settings({}, **{"signing_key": PEM, **overrides})


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(make_settings())


def now_ms() -> int:
    return int(time.time() * 1000)


def crafted(
    tokens: Tokens, *, key: object = KEY, algorithm: str = "EdDSA", header: object = None, **claims: object
) -> str:
    """A token that is right in everything but what is given; a claim given as None is left out."""
    now = int(time.time())
    right = {
        "iss": "headrace",
        "aud": "headrace",
        "sub": USER,
        "sid": SESSION,
        "iat": now,
        "nbf": now,
        "exp": now + 60,
        "jti": "j",
    }
    payload = {name: value for name, value in (right | claims).items() if value is not None}
    headers = {"typ": "at+jwt", "kid": tokens.jwks.keys[0].kid} | (header or {})
    return jwt.encode(payload, key, algorithm=algorithm, headers=headers)


def test_an_issued_token_speaks_for_its_session(tokens: Tokens) -> None:
    issued_ms = now_ms()
    identity = tokens.verify(tokens.issue(USER, SESSION, now_ms=issued_ms))
    assert (identity.user_id, identity.session_id) == (USER, SESSION)
    assert identity.expires_ms == issued_ms // 1000 * 1000 + 600_000


def test_a_person_s_token_has_no_scopes_and_a_bot_s_has_its_own(tokens: Tokens) -> None:
    person = tokens.verify(tokens.issue(USER, SESSION, now_ms=now_ms()))
    assert person.scopes is None
    assert person.lacks("person") is person.lacks("webhooks") is person.lacks("anybody") is None
    bot = tokens.verify(tokens.issue(USER, SESSION, now_ms=now_ms(), scopes=["webhooks", "messages:read"]))
    assert bot.scopes == {"messages:read", "webhooks"}
    assert bot.lacks("messages:read") is bot.lacks("anybody") is None
    assert "`messages:write`" in (bot.lacks("messages:write") or "")
    assert bot.lacks("person")


@pytest.mark.parametrize("scope", ["", "admin", "messages:read2 root"])
def test_scopes_that_are_none_of_ours_are_good_for_nothing(tokens: Tokens, scope: str) -> None:
    assert tokens.verify(crafted(tokens, scope=scope)).scopes == frozenset()


def test_a_scope_claim_that_is_no_text_is_refused(tokens: Tokens) -> None:
    with pytest.raises(BadToken):
        tokens.verify(crafted(tokens, scope=["messages:read"]))


def test_a_crafted_token_with_nothing_wrong_passes(tokens: Tokens) -> None:
    """Else the refusals below would prove nothing."""
    assert tokens.verify(crafted(tokens)).user_id == USER


def test_two_gateways_with_the_same_key_take_each_others_tokens(tokens: Tokens) -> None:
    assert Tokens(make_settings()).verify(tokens.issue(USER, SESSION, now_ms=now_ms())).session_id == SESSION


def test_a_foreign_key_is_refused_even_under_our_key_id(tokens: Tokens) -> None:
    with pytest.raises(BadToken, match="authentication_failed"):
        tokens.verify(crafted(tokens, key=Ed25519PrivateKey.generate()))


def test_without_a_key_every_process_has_its_own() -> None:
    one, other = (Tokens(load_settings({}, environment="development")) for _ in range(2))
    with pytest.raises(BadToken, match="authentication_failed"):
        other.verify(one.issue(USER, SESSION, now_ms=now_ms()))


def test_an_unsigned_token_is_refused(tokens: Tokens) -> None:
    for algorithm in ("none", "None", "NONE"):
        header = {"alg": algorithm, "typ": "at+jwt", "kid": tokens.jwks.keys[0].kid}
        body = crafted(tokens).split(".")[1]
        encoded = base64.urlsafe_b64encode(msgspec.json.encode(header)).rstrip(b"=").decode()
        with pytest.raises(BadToken, match="authentication_failed"):
            tokens.verify(f"{encoded}.{body}.")


def test_a_token_signed_with_the_public_key_as_a_shared_secret_is_refused(tokens: Tokens) -> None:
    """RFC 8725, 2.1."""
    public = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    with pytest.raises(BadToken, match="authentication_failed"):
        tokens.verify(crafted(tokens, key=public, algorithm="HS256"))


@pytest.mark.parametrize(
    "header", [{"typ": "JWT"}, {"typ": None}, {"kid": "other"}, {"kid": ""}, {"crit": ["x"], "x": 1}], ids=str
)
def test_a_wrong_header_is_refused(tokens: Tokens, header: dict[str, object]) -> None:
    with pytest.raises(BadToken, match="authentication_failed"):
        tokens.verify(crafted(tokens, header=header))


def test_a_key_that_the_token_brings_along_is_not_looked_at(tokens: Tokens) -> None:
    """RFC 8725, 3.10."""
    thief = Ed25519PrivateKey.generate()
    x = base64.urlsafe_b64encode(thief.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).rstrip(b"=").decode()
    brought = {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}, "jku": "https://thief.example/keys"}
    with pytest.raises(BadToken, match="authentication_failed"):
        tokens.verify(crafted(tokens, key=thief, header=brought))
    assert tokens.verify(crafted(tokens, header=brought)).user_id == USER


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "somebody"},
        {"aud": "somebody"},
        {"aud": ["headrace", "somebody"]},
        {"sid": 7},
        {"exp": "soon"},
        *({name: None} for name in ("iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti")),
    ],
    ids=str,
)
def test_a_wrong_or_missing_claim_is_refused(tokens: Tokens, claims: dict[str, object]) -> None:
    with pytest.raises(BadToken, match="authentication_failed"):
        tokens.verify(crafted(tokens, **claims))


def test_an_expired_token_is_told_apart_and_gets_no_leeway(tokens: Tokens) -> None:
    with pytest.raises(BadToken, match="token_expired"):
        tokens.verify(crafted(tokens, exp=int(time.time()) - 1))


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_token_of_the_future_is_taken_only_within_the_leeway(tokens: Tokens, claim: str) -> None:
    now = int(time.time())
    assert tokens.verify(crafted(tokens, **{claim: now + LEEWAY_SECONDS - 10})).user_id == USER
    with pytest.raises(BadToken, match="authentication_failed"):
        tokens.verify(crafted(tokens, **{claim: now + LEEWAY_SECONDS + 10}))


def test_a_remembered_token_still_ends() -> None:
    tokens = Tokens(make_settings(access_token_seconds=30))
    token = tokens.issue(USER, SESSION, now_ms=now_ms() - 28_000)
    assert tokens.verify(token).user_id == USER
    with pytest.raises(BadToken, match="token_expired"):
        verify_until_refused(tokens, token)


def verify_until_refused(tokens: Tokens, token: str) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        tokens.verify(token)


@pytest.mark.parametrize(
    "spoil", [str.upper, lambda t: t + "x", lambda t: t[:-4], lambda _: "", lambda _: "a.b.c", lambda t: t * 50]
)
def test_garbage_is_refused(tokens: Tokens, spoil: Callable[[str], str]) -> None:
    with pytest.raises(BadToken, match="authentication_failed"):
        tokens.verify(spoil(tokens.issue(USER, SESSION, now_ms=now_ms())))


def test_the_key_id_is_the_thumbprint_of_rfc_8037() -> None:
    """The worked example of RFC 8037, appendix A.3."""
    seed = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = Ed25519PrivateKey.from_private_bytes(seed)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    published = Tokens(make_settings(signing_key=pem)).jwks.keys[0]
    assert published.x == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert published.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_published_key_verifies_our_tokens(tokens: Tokens) -> None:
    published = jwt.PyJWKSet.from_json(msgspec.json.encode(tokens.jwks).decode())
    token = tokens.issue(USER, SESSION, now_ms=now_ms())
    key = published[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, algorithms=["EdDSA"], audience="headrace", issuer="headrace")["sub"] == USER


def test_a_key_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="HEADRACE_SIGNING_KEY"):
        Tokens(make_settings(signing_key="not a key"))


def test_old_and_new_gateways_take_each_others_tokens_through_a_rotation() -> None:
    """Two rotations: what the first ring has signed is refused after the second, when all of it has long ended."""
    rings = [generate(100)]
    for _ in range(2):
        rings.append(rotate(rings[-1], 200))
    first, second, third = (Tokens(make_settings(signing_key=ring.encode().decode())) for ring in rings)
    for issuing, checking in ((first, second), (second, first), (second, third), (third, second)):
        assert checking.verify(issuing.issue(USER, SESSION, now_ms=now_ms())).user_id == USER
    with pytest.raises(BadToken, match="authentication_failed"):
        Tokens(make_settings(signing_key=rotate(rings[2], 300).encode().decode())).verify(
            first.issue(USER, SESSION, now_ms=now_ms())
        )
    assert len(second.jwks.keys) == 3


def test_a_gateway_with_public_halves_only_checks() -> None:
    ring = generate(100)
    issuing = Tokens(make_settings(signing_key=ring.encode().decode()))
    checking = Tokens(make_settings(signing_key=ring.public().encode().decode()))
    assert (issuing.issues, checking.issues) == (True, False)
    assert checking.verify(issuing.issue(USER, SESSION, now_ms=now_ms())).user_id == USER


def test_the_published_set_holds_no_private_half() -> None:
    ring = generate(100)
    published = msgspec.json.encode(Tokens(make_settings(signing_key=ring.encode().decode())).jwks).decode()
    assert [key["kid"] for key in msgspec.json.decode(published)["keys"]] == [key.kid for key in ring.keys]
    assert not [key for key in ring.keys if (key.d or "") in published]
