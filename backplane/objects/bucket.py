"""One bucket: look at an object, read it, write it, delete it, and list what is old."""

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Any, Final

from backplane.errors import Permanent, Transient
from backplane.objects.driver import PART_SECONDS, Driver
from backplane.objects.failures import Absent, Misconfigured
from backplane.objects.parts import WHOLE_BYTES, cut, part_bytes
from backplane.objects.shapes import ObjectInfo

PAGE: Final = 1000
CHUNK_BYTES: Final = 256 * 1024
_CHUNKS_AT_ONCE: Final = 16
"""Of what is only summed up: a change of threads for each chunk would take a third more of the processor."""
ABORT_SECONDS: Final = 5.0
SOURCE_ETAG: Final = "source-etag"
"""The metadata of what was promoted: which content it was."""


class Bucket:
    """A bucket by its name.

    Every method raises `Transient` while S3 is away or slow, `Unknown` when that happened to a write on its way, and
    `Misconfigured` if there is no such bucket or the keys are wrong.
    """

    def __init__(self, driver: Driver, name: str) -> None:
        self._driver, self.name = driver, name

    async def exists(self) -> bool:
        """Whether there is such a bucket."""
        try:
            await self._driver.read(f"look at bucket {self.name}", lambda s3: s3.head_bucket(Bucket=self.name))
        except Absent:
            return False
        return True

    async def head(self, key: str) -> ObjectInfo | None:
        """What is said of an object; None if there is none."""
        try:
            answer: Any = await self._driver.read(
                self._what("head"), lambda s3: s3.head_object(Bucket=self.name, Key=key)
            )
        except Absent:
            await self._must_exist()
            return None
        return ObjectInfo(
            key=key,
            size=answer["ContentLength"],
            etag=unquoted(answer["ETag"]),
            modified_ms=_ms(answer["LastModified"]),
            content_type=answer.get("ContentType"),
            source_etag=answer.get("Metadata", {}).get(SOURCE_ETAG),
        )

    async def read(self, key: str, *, etag: str) -> AsyncGenerator[bytes]:
        """The content in chunks of at most 256 KiB, if it still has this ETag.

        Nothing is read ahead, and no thread is held between two chunks. Who stops early closes it (`contextlib.aclosing`),
        and with it the connection.

        Raises:
            Changed: it has another ETag.
            Absent: there is no such object.
            Transient: S3 is away, or was lost on the way.
        """
        body = await self._open(key, etag)

        def close(_: bytes | None = None) -> None:
            body.close()

        while chunk := await self._driver.once(self._what("read"), lambda: body.read(CHUNK_BYTES), lost=close):
            try:
                yield chunk
            except BaseException:
                close()
                raise

    async def sha256(self, key: str, *, etag: str) -> str:
        """The digest of the content, in hex, made in the thread that reads it, a few MiB at a time. Raises as `read`."""
        body = await self._open(key, etag)
        digest = hashlib.sha256()

        def go_on() -> bool:
            for _ in range(_CHUNKS_AT_ONCE):
                if not (chunk := body.read(CHUNK_BYTES)):
                    return False
                digest.update(chunk)
            return True

        while await self._driver.once(self._what("read"), go_on, lost=lambda _: body.close()):
            pass
        return digest.hexdigest()

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes], content_type: str, size: int) -> str:
        """Store a stream of exactly `size` bytes; holds at most 8 MiB of it. Returns the ETag.

        Raises:
            WrongSize: it is longer or shorter; nothing was stored.
        """
        parts = cut(chunks, size, part_bytes(size))
        async with aclosing(parts):
            if size > WHOLE_BYTES:
                return await self._put_parts(key, parts, content_type)
            (whole,) = [part async for part in parts]

        def put(s3: Any) -> str:
            whole.seek(0)
            stored = s3.put_object(Bucket=self.name, Key=key, Body=whole, ContentType=content_type, ContentLength=size)
            return unquoted(stored["ETag"])

        return await self._driver.write(self._what("write"), put, seconds=PART_SECONDS)

    async def delete(self, key: str) -> None:
        """Delete an object; done already is done."""
        with suppress(Absent):
            await self._driver.write(self._what("delete"), lambda s3: s3.delete_object(Bucket=self.name, Key=key))

    async def list_older(self, prefix: str, before_ms: int, *, page: int = PAGE) -> AsyncGenerator[ObjectInfo]:
        """The objects under a prefix that were last written before a moment, by their keys."""
        following: dict[str, str] = {}
        while True:
            answer: Any = await self._driver.read(
                self._what("list"),
                lambda s3, after=following: s3.list_objects_v2(Bucket=self.name, Prefix=prefix, MaxKeys=page, **after),
            )
            for one in answer.get("Contents", ()):
                if (modified_ms := _ms(one["LastModified"])) < before_ms:
                    yield ObjectInfo(one["Key"], one["Size"], unquoted(one["ETag"]), modified_ms)
            if not answer.get("IsTruncated"):
                return
            following = {"ContinuationToken": answer["NextContinuationToken"]}

    async def abort_older(self, prefix: str, before_ms: int, *, page: int = PAGE) -> int:
        """End uploads in parts that were begun before a moment and never ended; returns how many. They take room, and no list shows them."""
        ended, following = 0, dict[str, str]()
        while True:
            answer: Any = await self._driver.read(
                self._what("list"),
                lambda s3, after=following: s3.list_multipart_uploads(
                    Bucket=self.name, Prefix=prefix, MaxUploads=page, **after
                ),
            )
            for one in answer.get("Uploads", ()):
                if _ms(one["Initiated"]) < before_ms:
                    await self._abort(one["Key"], one["UploadId"])
                    ended += 1
            markers = {name: answer.get(f"Next{name}") for name in ("KeyMarker", "UploadIdMarker")}
            following = {name: marker for name, marker in markers.items() if marker}  # SeaweedFS names one alone
            if not answer.get("IsTruncated") or not following:
                return ended

    async def _open(self, key: str, etag: str) -> Any:
        """The body of an answer, to be read on. Raises as `read`."""
        try:
            answer: Any = await self._driver.read(
                self._what("read"),
                lambda s3: s3.get_object(Bucket=self.name, Key=key, IfMatch=f'"{etag}"'),
                lost=_close_answer,
            )
        except Absent:
            await self._must_exist()
            raise
        return answer["Body"]

    async def _must_exist(self) -> None:
        """What is absent may be the bucket: the answer to HEAD has no words, and not every server says so where there is a condition."""
        if not await self.exists():
            raise Misconfigured(f"S3: there is no bucket {self.name}") from None

    async def _put_parts(self, key: str, parts: AsyncGenerator[io.BytesIO], content_type: str) -> str:
        begun: Any = await self._driver.write(
            self._what("write"),
            lambda s3: s3.create_multipart_upload(Bucket=self.name, Key=key, ContentType=content_type),
            again=False,  # each call begins another upload
        )
        upload: str = begun["UploadId"]
        try:
            etags = [await self._put_part(key, upload, number, part) async for number, part in _numbered(parts)]
            listed = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
            ended: Any = await self._driver.write(
                self._what("write"),
                lambda s3: s3.complete_multipart_upload(
                    Bucket=self.name, Key=key, UploadId=upload, MultipartUpload={"Parts": listed}
                ),
                again=False,  # the second call of two finds no upload
            )
        except BaseException:
            # Of what goes wrong here `abort_older` and the bucket's own rule take care.
            with suppress(Transient, Permanent, TimeoutError):
                async with asyncio.timeout(ABORT_SECONDS):
                    await self._abort(key, upload)
            raise
        return unquoted(ended["ETag"])

    async def _put_part(self, key: str, upload: str, number: int, part: io.BytesIO) -> str:
        def put(s3: Any) -> str:
            part.seek(0)
            stored = s3.upload_part(Bucket=self.name, Key=key, UploadId=upload, PartNumber=number, Body=part)
            return stored["ETag"]

        return await self._driver.write(self._what("write"), put, seconds=PART_SECONDS)

    async def _abort(self, key: str, upload: str) -> None:
        with suppress(Absent):
            await self._driver.write(
                self._what("abort an upload"),
                lambda s3: s3.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload),
            )

    def _what(self, verb: str) -> str:
        return f"{verb} in bucket {self.name}"


async def _numbered(parts: AsyncGenerator[io.BytesIO]) -> AsyncGenerator[tuple[int, io.BytesIO]]:
    number = 0
    async for part in parts:
        number += 1
        yield number, part


def _close_answer(answer: Any) -> None:
    if answer is not None:
        answer["Body"].close()


def unquoted(etag: str) -> str:
    """An ETag as we keep it: some answers quote it, some do not."""
    return etag.strip('"')


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
