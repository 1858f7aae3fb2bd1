"""The object store of a deployment: two buckets, forms for what comes in, links to what is clean, and the one way between."""

import base64
import time
from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import urlsplit

from backplane.objects import preparation
from backplane.objects.bucket import SOURCE_ETAG, Bucket
from backplane.objects.disposition import disposition
from backplane.objects.driver import READ_SECONDS, Driver, make_client
from backplane.objects.failures import Absent, Changed, Misconfigured, writing
from backplane.objects.shapes import INLINE_TYPES, ObjectInfo, Upload
from backplane.objects.threads import Threads
from backplane.settings import Settings

SIGNING_SECONDS: Final = 10.0
SIGNING_WAITING: Final = 256


class Objects:
    """The connections of one process to S3. Made once, closed once.

    `quarantine` holds what came in, `clean` what may be served; both are a `Bucket`, and methods fail as its do.
    """

    def __init__(self, settings: Settings, driver: Driver, signer: Any, links: Any) -> None:
        self._settings, self._driver, self._signer, self._links = settings, driver, signer, links
        # Of its own: a link is signed without S3, and so never waits behind calls to one that is away.
        self._signing = Threads("s3-signing", 1, SIGNING_WAITING)
        self.quarantine = Bucket(driver, settings.s3_quarantine_bucket)
        self.clean = Bucket(driver, settings.s3_bucket)

    @classmethod
    async def open(cls, settings: Settings, *, read_seconds: float = READ_SECONDS) -> Self:
        """Make the clients; connects lazily, so this succeeds while S3 is away.

        Raises:
            SettingsError: there is no object store, or the CA can not be used.
        """
        driver = Driver.open(settings, read_seconds=read_seconds)
        own, public = settings.s3_url or "", settings.s3_public_url or settings.s3_url or ""
        signer = make_client(settings, public)
        # What a CDN asks for, it asks under the store's own name: that one is signed for.
        return cls(settings, driver, signer, make_client(settings, own) if settings.s3_cdn_url else signer)

    async def close(self) -> None:
        """Let calls under way end, and close every connection."""
        await self._driver.close()
        await self._signing.close()

    async def ping(self) -> float:
        """Seconds until both buckets have answered.

        Raises:
            Misconfigured: one of them is not there, or the keys are wrong.
        """
        started = time.perf_counter()
        for bucket in (self.quarantine, self.clean):
            if not await bucket.exists():
                raise Misconfigured(f"S3: there is no bucket {bucket.name}; run `headrace migrate`")
        return time.perf_counter() - started

    async def ensure_buckets(self) -> list[str]:
        """Make what is missing: both buckets, the web origins that may upload, the rule for what is forgotten.

        Idempotent; returns what was done, and what the server does not take, in words.
        """
        region = self._settings.s3_region
        done: list[str] = []
        for bucket in (self.quarantine, self.clean):
            done += await preparation.make(self._driver, bucket, region)
        origins = self._settings.allowed_origins
        done += await preparation.allow_origins(self._driver, self.quarantine, origins, "upload to")
        done += await preparation.allow_origins(self._driver, self.clean, origins, "read")
        return done + await preparation.forget_by_itself(self._driver, self.quarantine)

    async def presign_upload(
        self,
        key: str,
        content_type: str,
        *,
        min_bytes: int,
        max_bytes: int,
        seconds: int,
        sha256: bytes | None = None,
    ) -> Upload:
        """A form that puts one object of this key, type, size and, if given, SHA-256 into quarantine, until it expires.

        It can be used more than once: what counts is the ETag of what was looked at.
        """
        fields = {"Content-Type": content_type}
        if sha256 is not None:
            checksum = base64.b64encode(sha256).decode()
            fields |= {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": checksum}
        expires_ms = (int(time.time()) + seconds) * 1000  # the form itself says whole seconds
        form = await self._sign(
            lambda: self._signer.generate_presigned_post(
                self.quarantine.name,
                key,
                Fields=fields,
                Conditions=conditions(fields, min_bytes, max_bytes),
                ExpiresIn=seconds,
            )
        )
        return Upload(form["url"], form["fields"], expires_ms)

    async def presign_download(
        self, key: str, seconds: int, *, file_name: str, content_type: str, inline: bool = False
    ) -> str:
        """A link to a clean object, under this name and type whatever is stored with it.

        `inline` counts for images of `INLINE_TYPES` alone: anything else a browser saves, never shows. Nothing on the way keeps the answer
        for anybody else, and a browser no longer than the link is good for.
        """
        shown = inline and content_type in INLINE_TYPES
        params = {
            "Bucket": self.clean.name,
            "Key": key,
            "ResponseContentDisposition": disposition(file_name, inline=shown),
            "ResponseContentType": content_type,
            "ResponseCacheControl": f"private, max-age={seconds}",
        }
        link: str = await self._sign(
            lambda: self._links.generate_presigned_url("get_object", Params=params, ExpiresIn=seconds)
        )
        return _through(self._settings.s3_cdn_url, link)

    async def promote(self, source_key: str, etag: str, target_key: str, content_type: str) -> ObjectInfo:
        """Copy what was looked at from quarantine to the clean bucket, inside the server, under our own type. Returns the copy.

        Promoted already is promoted, also when the source is gone by now. At most 5 GiB.

        Raises:
            Changed: the source has another ETag by now, or the target is something else.
            Absent: there is neither.
        """
        what = f"promote to bucket {self.clean.name}"
        try:
            await self._driver.write(
                what,
                lambda s3: s3.copy_object(
                    Bucket=self.clean.name,
                    Key=target_key,
                    CopySource={"Bucket": self.quarantine.name, "Key": source_key},
                    CopySourceIfMatch=f'"{etag}"',
                    IfNoneMatch="*",
                    MetadataDirective="REPLACE",
                    ContentType=content_type,
                    Metadata={SOURCE_ETAG: etag},
                ),
            )
            refused = None
        except (Changed, Absent) as failure:  # of the source, or because the target is there
            refused = failure
        there = await self.clean.head(target_key)
        if there is None:
            raise refused or Absent(f"S3: {what}: it was copied, and is gone")
        if (there.source_etag, there.content_type) != (etag, content_type):
            raise Changed(f"S3: {what}: the target is something else")
        return there

    async def _sign(self, call: Any) -> Any:
        def run() -> Any:
            with writing("sign"):
                return call()

        return await self._signing.run(run, seconds=SIGNING_SECONDS)


def _through(cdn_url: str | None, link: str) -> str:
    """The same link by way of a CDN, if there is one."""
    if cdn_url is None:
        return link
    front, asked = urlsplit(cdn_url), urlsplit(link)
    return asked._replace(scheme=front.scheme, netloc=front.netloc).geturl()


def conditions(fields: Mapping[str, str], min_bytes: int, max_bytes: int) -> list[Any]:
    """What a form is bound to, beside bucket and key: the driver makes a field no condition by itself, and would let it be changed."""
    return [*({name: value} for name, value in fields.items()), ["content-length-range", min_bytes, max_bytes]]
