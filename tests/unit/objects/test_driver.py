"""The driver's client comes from the settings alone; and what the settings refuse."""

from pathlib import Path

import pytest

from backplane.objects.driver import Driver, make_client
from backplane.objects.s3 import Objects
from backplane.objects.shapes import Upload
from backplane.settings import Settings, SettingsError, load_settings
from tests.tls import Authority

GIVEN = {
    "HEADRACE_S3_URL": "https://s3.example",
    "HEADRACE_S3_ACCESS_KEY": "the-access-key",
    "HEADRACE_S3_SECRET_KEY": "the-secret-key",
}


def settings(**changed: str) -> Settings:
    return load_settings(GIVEN | {f"HEADRACE_{name}": value for name, value in changed.items()})


def test_variables_of_the_driver_do_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("[profile other]\nendpoint_url = https://file.example\nregion = mars-1\n")
    for name, value in {
        "AWS_PROFILE": "no-such-profile",
        "AWS_CONFIG_FILE": str(config),
        "AWS_ENDPOINT_URL": "https://environment.example",
        "AWS_ACCESS_KEY_ID": "another-key",
        "AWS_SESSION_TOKEN": "a-token",
        "AWS_DEFAULT_REGION": "mars-1",
        "AWS_CA_BUNDLE": "/no/such/file",
        "AWS_MAX_ATTEMPTS": "9",
        "HTTPS_PROXY": "http://proxy.example:3128",
    }.items():
        monkeypatch.setenv(name, value)
    client = make_client(settings(S3_REGION="eu-1"), "https://s3.example")
    url = client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "key"}, ExpiresIn=60)
    assert url.startswith("https://s3.example/bucket/key?")
    assert "the-access-key%2F" in url
    assert "%2Feu-1%2Fs3%2F" in url
    assert "Token" not in url
    assert client.meta.config.proxies == {}
    assert client.meta.config.retries["total_max_attempts"] == 1


def test_a_ca_that_can_not_be_used_is_wrong_settings(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for path in (broken, tmp_path / "absent.pem"):
        with pytest.raises(SettingsError, match=f"HEADRACE_S3_CA_FILE: {path}"):
            Driver.open(settings(S3_CA_FILE=str(path)), read_seconds=1)
    make_client(settings(S3_CA_FILE=str(Authority(tmp_path / "ca").path)), "https://s3.example")


@pytest.mark.anyio
async def test_without_an_object_store_there_is_none() -> None:
    with pytest.raises(SettingsError, match="HEADRACE_S3_URL is not set"):
        await Objects.open(load_settings({}))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"S3_URL": "s3.example"}, "HEADRACE_S3_URL must be http"),
        ({"S3_URL": "ftp://s3.example"}, "HEADRACE_S3_URL must be http"),
        ({"S3_URL": "https://user:secret@s3.example"}, "HEADRACE_S3_URL must be http"),
        ({"S3_URL": "https://s3.example/bucket"}, "HEADRACE_S3_URL must be http"),
        ({"S3_URL": "https://s3.example:notaport"}, "HEADRACE_S3_URL must be http"),
        ({"S3_PUBLIC_URL": "https://s3.example?x=1"}, "HEADRACE_S3_PUBLIC_URL must be http"),
        ({"S3_ACCESS_KEY": ""}, "are needed with HEADRACE_S3_URL"),
        ({"S3_SECRET_KEY": ""}, "are needed with HEADRACE_S3_URL"),
        ({"S3_BUCKET": "same", "S3_QUARANTINE_BUCKET": "same"}, "must be two buckets"),
        ({"S3_BUCKET": "Not_A_Bucket"}, "HEADRACE_S3_BUCKET"),
    ],
)
def test_settings_that_can_not_be_meant_are_refused(changed: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        settings(**changed)
    assert "secret@" not in str(caught.value)


def test_settings_that_are_whole(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-a-file\n")
    environ = GIVEN | {"HEADRACE_S3_URL": "http://127.0.0.1:9000/", "HEADRACE_S3_SECRET_KEY_FILE": str(secret)}
    read = load_settings(environ)
    assert read.s3_secret_key is not None
    assert read.s3_secret_key.get_secret_value() == "from-a-file"
    assert "from-a-file" not in repr(read)


def test_a_form_is_not_logged_by_accident() -> None:
    assert "signed" not in repr(Upload("https://s3.example", {"policy": "signed"}, 0))
