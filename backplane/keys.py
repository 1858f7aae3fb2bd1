"""The keys that sign access tokens: a ring of Ed25519 keys, as a JWK Set (RFC 7517, RFC 8037). Pure.

One key is `current` and signs. `next` is published before it signs, so that whoever keeps the set for a while knows it in time; `previous`
has signed and is published until its last token has ended. A key without its private half only checks.
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from msgspec.structs import replace

from backplane.settings import PREFIX, Settings, SettingsError

ALGORITHM: Final = "EdDSA"
CACHE_SECONDS: Final = 300
"""How long others may keep the published set."""

Status = Literal["next", "current", "previous"]


class BadKeys(ValueError):
    """They are not of the form; the message says what is wrong, and nothing of a key."""


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One key. `d` is its private half."""

    kid: str
    x: str
    status: Status
    created_at: int
    """Seconds since 1970."""
    d: str | None = None
    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = ALGORITHM
    use: str = "sig"

    @property
    def public(self) -> Ed25519PublicKey:
        """What checks its signatures."""
        return Ed25519PublicKey.from_public_bytes(_bytes(self.x))

    @property
    def private(self) -> Ed25519PrivateKey | None:
        """What makes them; None if it only checks."""
        return None if self.d is None else Ed25519PrivateKey.from_private_bytes(_bytes(self.d))


class KeyRing(msgspec.Struct, frozen=True):
    """Keys, of which exactly one is current. Made by `read_keys`, `generate` and `rotate`."""

    keys: tuple[Key, ...]

    @property
    def current(self) -> Key:
        """The key that signs."""
        return next(key for key in self.keys if key.status == "current")

    def public(self) -> "KeyRing":
        """The same for those who only check."""
        return KeyRing(tuple(replace(key, d=None) for key in self.keys))

    def encode(self) -> bytes:
        """As JSON, for `read_keys`."""
        # Told in full: what has a default is part of the standard's form.
        return msgspec.json.format(msgspec.json.encode({"keys": [_whole(key) for key in self.keys]}), indent=2) + b"\n"


def configured(settings: Settings) -> KeyRing | None:
    """The keys that the settings give; None if they give none, which is right in development alone.

    Raises:
        SettingsError: a gateway can not serve with these settings.
    """
    example = "(e.g. from `headrace keys generate`)"
    if settings.signing_key is None and not settings.development:
        raise SettingsError(f"{PREFIX}SIGNING_KEY is needed in production {example}")
    if settings.signing_key is None:
        return None
    try:
        return read_keys(settings.signing_key.get_secret_value())
    except BadKeys as failure:
        raise SettingsError(f"{PREFIX}SIGNING_KEY: {failure} {example}") from None


def generate(now_s: int) -> KeyRing:
    """A new ring: a key that signs, and the next one."""
    return KeyRing((_new("current", now_s), _new("next", now_s)))


def rotate(ring: KeyRing, now_s: int) -> KeyRing:
    """The next key signs, the one that did only checks, the one before that goes.

    Raises:
        BadKeys: there is no next key, or no private half of it.
    """
    following = next((key for key in ring.keys if key.status == "next"), None)
    if following is None or following.d is None:
        raise BadKeys("there is no next key with its private half")
    former = replace(ring.current, status="previous")
    return KeyRing((_new("next", now_s), replace(following, status="current"), former))


def single(private: Ed25519PrivateKey) -> KeyRing:
    """A ring of one key."""
    return KeyRing((_key(private, "current", 0),))


def read_keys(text: str) -> KeyRing:
    """Read a JWK Set as `encode` writes it, or one private key in PEM.

    Raises:
        BadKeys: it is neither.
    """
    if not text.lstrip().startswith("{"):
        return single(_read_pem(text))
    try:
        ring = msgspec.json.decode(text, type=KeyRing)
        for key in ring.keys:
            _check(key)
    except (msgspec.DecodeError, ValueError) as failure:
        raise BadKeys(f"the JWK Set can not be read: {failure}") from None
    statuses = [key.status for key in ring.keys]
    if statuses.count("current") != 1 or statuses.count("next") > 1:
        raise BadKeys("the JWK Set needs exactly one key with status `current`, and at most one with `next`")
    if len({key.kid for key in ring.keys}) != len(ring.keys):
        raise BadKeys("two keys of the JWK Set have the same `kid`")
    return ring


def _read_pem(text: str) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKeys("it is neither a JWK Set nor an Ed25519 private key in PEM")
    return key


def _check(key: Key) -> None:
    if (key.kty, key.crv, key.alg) != ("OKP", "Ed25519", ALGORITHM):
        raise BadKeys(f"key {key.kid} is not of the kind OKP, Ed25519, {ALGORITHM}")
    private = key.private
    if private is not None and _public_text(private) != key.x:
        raise BadKeys(f"the halves of key {key.kid} do not belong together")
    if key.kid != _thumbprint(key.x):
        raise BadKeys(f"the `kid` {key.kid} is not the key's thumbprint")
    assert key.public  # noqa: S101 - raises ValueError if it is none


def _new(status: Status, now_s: int) -> Key:
    return _key(Ed25519PrivateKey.generate(), status, now_s)


def _key(private: Ed25519PrivateKey, status: Status, now_s: int) -> Key:
    x = _public_text(private)
    return Key(kid=_thumbprint(x), x=x, d=_text(private.private_bytes_raw()), status=status, created_at=now_s)


def _whole(key: Key) -> dict[str, object]:
    return {name: value for name, value in msgspec.structs.asdict(key).items() if value is not None}


def _public_text(private: Ed25519PrivateKey) -> str:
    return _text(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def _thumbprint(x: str) -> str:
    """The key's id: SHA-256 over its required members, sorted, without white space (RFC 7638, RFC 8037 A.3)."""
    canonical = msgspec.json.encode({"crv": "Ed25519", "kty": "OKP", "x": x}, order="sorted")
    return _text(hashlib.sha256(canonical).digest())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def too_early(ring: KeyRing, now_s: int, *, seconds: int) -> int:
    """Seconds until everybody knows the next key, if sets are kept and tokens live `seconds` in all; 0: it may sign."""
    waiting: Sequence[int] = [key.created_at + seconds - now_s for key in ring.keys if key.status == "next"]
    return max(0, *waiting) if waiting else 0
