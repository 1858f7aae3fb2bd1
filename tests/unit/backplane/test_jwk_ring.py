import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from backplane.keys import BadKeys, generate, read_keys, rotate, too_early


def test_a_ring_survives_being_written_and_read() -> None:
    ring = generate(100)
    assert read_keys(ring.encode().decode()) == ring
    assert [key.status for key in ring.keys] == ["current", "next"]
    assert json.loads(ring.encode())["keys"][0].keys() >= {"kty", "crv", "alg", "use", "kid", "x", "d"}


def test_a_key_is_next_then_current_then_previous_then_gone() -> None:
    ring = generate(100)
    first, second = ring.keys
    ring = rotate(ring, 200)
    assert {key.kid: key.status for key in ring.keys if key.kid in {first.kid, second.kid}} == {
        first.kid: "previous",
        second.kid: "current",
    }
    assert ring.current.d == second.d
    ring = rotate(rotate(ring, 300), 400)
    assert not {first.kid, second.kid} & {key.kid for key in ring.keys}
    assert [key.status for key in ring.keys] == ["next", "current", "previous"]


def test_without_private_halves_it_checks_and_can_not_be_rotated() -> None:
    public = generate(100).public()
    assert b'"d"' not in public.encode()
    assert read_keys(public.encode().decode()).current.private is None
    with pytest.raises(BadKeys, match="no next key with its private half"):
        rotate(public, 200)


def test_a_next_key_waits_until_it_is_known() -> None:
    ring = generate(100)
    assert too_early(ring, 150, seconds=60) == 10
    assert too_early(ring, 160, seconds=60) == 0
    assert too_early(read_keys(ring.encode().decode()), 100, seconds=60) == 60


def spoilt(**changes: object) -> str:
    ring = json.loads(generate(100).encode())
    ring["keys"][0] |= changes
    return json.dumps(ring)


@pytest.mark.parametrize(
    "text",
    [
        "not a key",
        "{}",
        '{"keys": []}',
        "{",
        spoilt(status="next"),
        spoilt(status="retired"),
        spoilt(x="AAAA"),
        spoilt(d="A" * 43),
        spoilt(kid="other"),
        spoilt(kty="RSA"),
        spoilt(alg="HS256"),
        generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    ],
)
def test_what_is_no_ring_is_refused_without_telling_a_key(text: str) -> None:
    with pytest.raises(BadKeys) as refused:
        read_keys(text)
    assert len(str(refused.value)) < 200
    assert '"d"' not in str(refused.value)
