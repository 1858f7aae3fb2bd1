"""What the doctor says of secrets and URLs."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from backplane.inspection.checks import Check
from backplane.inspection.settings import judge, refused
from backplane.keys import generate
from backplane.settings import load_settings


def pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def judged(*, production: bool = True, **values: Any) -> dict[str, Check]:
    settings = load_settings({}, environment="development", **values)
    return {check.what: check for check in judge(settings, production=production)}


def test_every_fault_that_stops_a_process_is_a_finding() -> None:
    checks = refused("HEADRACE_PORT: too large\nHEADRACE_OPS_TOKEN is weak")
    assert [(check.level, check.seen.split()[0].strip(":")) for check in checks] == [
        ("error", "HEADRACE_PORT"),
        ("error", "HEADRACE_OPS_TOKEN"),
    ]
    assert all(check.fix for check in checks)


def test_signing_keys_are_ed25519_and_can_be_rotated() -> None:
    ring = generate(100)
    good = judged(signing_key=ring.encode().decode())["signing key"]
    assert (good.level, good.fix) == ("ok", None)
    assert judged(signing_key=ring.public().encode().decode())["signing key"].level == "ok"
    single = pem(ed25519.Ed25519PrivateKey.generate())
    assert judged(signing_key=single)["signing key"].level == "warning"
    assert judged(production=False, signing_key=single)["signing key"].level == "ok"
    for wrong in ("not a key", "{}", pem(rsa.generate_private_key(65537, 2048))):
        check = judged(signing_key=wrong)["signing key"]
        assert check.level == "error"
        assert "headrace keys generate" in str(check.fix)
        assert wrong not in check.seen


@pytest.mark.parametrize("production", [True, False])
def test_only_gateways_need_keys(production: bool) -> None:
    assert judged(production=production)["signing key"].level == "ok"


@pytest.mark.parametrize(
    ("token", "level"),
    [(None, "ok"), ("short", "warning"), ("ab" * 20, "warning"), ("0123456789abcdef" * 4, "ok")],
)
def test_an_ops_token_is_long_and_varied(token: str | None, level: str) -> None:
    assert judged(ops_token=token)["ops token"].level == level


@pytest.mark.parametrize(
    ("url", "password", "tls"),
    [
        ("redis://127.0.0.1:6379/0", "warning", "ok"),
        ("redis://localhost/0", "warning", "ok"),
        ("redis://[::1]:6379/0", "warning", "ok"),
        ("unix:///run/redis.sock", "warning", "ok"),
        ("redis://gateway:secret@redis.example:6379/0", "ok", "warning"),
        ("redis://redis.example/0?password=secret", "ok", "warning"),
        ("rediss://gateway:secret@redis.example:6379/0", "ok", "ok"),
        ("rediss://gateway@redis.example/0?ssl_ca_certs=/ca.pem", "warning", "ok"),
        ("rediss://gateway:secret@redis.example/0?ssl_cert_reqs=none", "ok", "warning"),
        ("rediss://gateway:secret@redis.example/0?ssl_check_hostname=false", "ok", "warning"),
    ],
)
def test_the_url_of_redis_has_a_password_and_tls_to_other_machines(url: str, password: str, tls: str) -> None:
    checks = judged(redis_url=url)
    assert (checks["redis password"].level, checks["redis TLS"].level) == (password, tls)
    assert all(check.fix for check in checks.values() if check.level != "ok")
    checked = url.replace("=none", "=required").replace("=false", "=true")
    assert {check.level for check in judged(production=False, redis_url=checked).values()} == {"ok"}


@pytest.mark.parametrize(
    ("url", "password", "tls"),
    [
        ("mongodb://127.0.0.1:27017,localhost:27018/?replicaSet=rs0", "warning", "ok"),
        ("mongodb://[::1]:27017/", "warning", "ok"),
        ("mongodb://%2Ftmp%2Fmongodb-27017.sock/", "warning", "ok"),
        ("mongodb://a:b@127.0.0.1,mongo-2.example/?replicaSet=rs0", "ok", "warning"),
        ("mongodb://a:b@mongo-1.example/?tls=true", "ok", "ok"),
        ("mongodb://a:b@mongo-1.example/?ssl=true", "ok", "ok"),
        ("mongodb://mongo-1.example/?tls=true&authMechanism=MONGODB-X509", "ok", "ok"),
        ("mongodb+srv://a:b@cluster.example/", "ok", "ok"),
        ("mongodb+srv://a:b@cluster.example/?tls=false", "ok", "warning"),
        ("mongodb://a:b@mongo-1.example/?tls=true&tlsAllowInvalidCertificates=true", "ok", "warning"),
        ("mongodb://a:b@mongo-1.example/?tls=true&tlsInsecure=true", "ok", "warning"),
    ],
)
def test_the_url_of_mongodb_has_a_password_and_tls_to_other_machines(url: str, password: str, tls: str) -> None:
    checks = judged(mongodb_url=url)
    assert (checks["mongodb password"].level, checks["mongodb TLS"].level) == (password, tls)


def test_findings_do_not_say_a_password() -> None:
    checks = judged(redis_url="redis://a:hunter2@redis.example/0", mongodb_url="mongodb://a:hunter2@mongo.example/")
    assert "hunter2" not in str(checks)
