"""What `headrace migrate` will make of the object store: again does no harm, and nothing of others is lost."""

import pytest

from backplane.objects.preparation import lifecycle_rule
from tests.integration.objects.test_bucket import driver
from tests.objects import opened, settings_for
from tests.services import Server

pytestmark = pytest.mark.anyio


async def test_buckets_are_made_once(s3: Server) -> None:
    settings = settings_for(s3, allowed_origins="https://a.example,https://b.example")
    async with opened(settings) as objects:
        done = await objects.ensure_buckets()
        assert [sentence.partition(" ")[0] for sentence in done] == ["made", "made", "let", "let", "let"]
        assert await objects.ensure_buckets() == []
        assert await objects.ping() > 0


async def test_origins_follow_the_settings(s3: Server) -> None:
    settings = settings_for(s3, allowed_origins="https://a.example")
    raw = driver(settings)
    async with opened(settings) as objects:
        await objects.ensure_buckets()
        name = objects.quarantine.name
        clean = objects.clean.name
    for bucket, methods in ((name, ["POST"]), (clean, ["GET", "HEAD"])):
        (rule,) = raw.get_bucket_cors(Bucket=bucket)["CORSRules"]
        assert (rule["AllowedOrigins"], rule["AllowedMethods"]) == (["https://a.example"], methods)
    async with opened(settings.model_copy(update={"allowed_origins": ()})) as objects:
        assert await objects.ensure_buckets() == [
            f"let no other web origin upload to the bucket {name}",
            f"let no other web origin read the bucket {clean}",
        ]
        for bucket in (name, clean):
            with pytest.raises(raw.exceptions.ClientError, match="NoSuchCORSConfiguration"):
                raw.get_bucket_cors(Bucket=bucket)
        assert await objects.ensure_buckets() == []


async def test_an_operator_s_own_rules_stay(s3: Server) -> None:
    settings = settings_for(s3)
    raw = driver(settings)
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 9}}
    raw.create_bucket(Bucket=settings.s3_quarantine_bucket)
    raw.put_bucket_lifecycle_configuration(
        Bucket=settings.s3_quarantine_bucket, LifecycleConfiguration={"Rules": [theirs]}
    )
    async with opened(settings) as objects:
        await objects.ensure_buckets()
    rules = raw.get_bucket_lifecycle_configuration(Bucket=settings.s3_quarantine_bucket)["Rules"]
    assert theirs in rules
    assert lifecycle_rule() in rules
