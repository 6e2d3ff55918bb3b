"""Writing files of a volume: small ones in one request, big ones in parts that one last request makes a file."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import xxhash

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.errors import Conflict, DatastoresError, PathExists, PathNotFound, Unavailable
from airflow_azureml_datastores.stores._content import counted, regrouped
from airflow_azureml_datastores.stores._databricks_errors import upstream_errors
from airflow_azureml_datastores.stores._dbfs_room import Room
from airflow_azureml_datastores.stores._dbfs_versions import Seconds, describe_file, seconds_of
from airflow_azureml_datastores.stores._dbfs_volume_api import PART, FilesApi, NoCloud, is_not_offered
from airflow_azureml_datastores.stores._dbfs_volume_reading import VolumeReader

PARTS_AT_ONCE = 3
"""Parts of one file that are on their way while the next one is made ready: what the memory of a write is made of."""
MAX_PARTS = 10_000
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html; Azure takes more."""


@dataclass
class _Upload:
    """An upload in parts.

    :param token: what the service calls it.
    :ivar size: bytes so far.
    :ivar etags: what cloud storage says of the parts.
    """

    path: str
    token: str
    size: int = 0
    digest: xxhash.xxh3_128 = field(default_factory=xxhash.xxh3_128)
    etags: list[str] = field(default_factory=list)

    def take(self, content: bytes) -> bytes:
        self.size += len(content)
        self.digest.update(content)
        return content


class _Body:
    """Chunks as the body of one request.

    :ivar size: bytes so far.
    :ivar error: that of their source, if it was that which broke.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.size = 0
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks:
                self.size += len(chunk)
                yield chunk
        except Exception as error:
            self.error = error
            raise


class _SizedBody(_Body):
    """The same of known length, which requests then tells in advance."""

    def __init__(self, chunks: Iterable[bytes], size: int) -> None:
        super().__init__(chunks)
        self._length = size

    def __len__(self) -> int:
        return self._length


class VolumeWriter:
    """Writes below one root, which is there.

    :param check_version: raises :class:`Changed` if a file is not the version that is to be replaced.
    """

    def __init__(self, api: FilesApi, seconds: Seconds, check_version: Callable[[str, str | None], None]) -> None:
        self._api = api
        self._databricks = api.databricks
        self._seconds = seconds
        self._check_version = check_version
        self._reader = VolumeReader(api)
        self._room = Room(api)

    def write(self, path: str, chunks: Iterable[bytes], size: int | None, create: bool, if_match: str | None) -> str:
        """As :meth:`FileStore.write` promises. Errors of ``chunks`` come out as they are."""
        parts = regrouped(counted(chunks, size, path), part_size(size or 0))
        begun = list(islice(parts, 2))
        self._check_version(path, if_match)
        if len(begun) < 2:
            return self._put(path, b"".join(begun), create)
        try:
            return self._put_parts(path, begun, parts, create, if_match)
        except NoCloud:
            return self._put_stream(path, chain(begun, parts), size, create)

    def _put(self, path: str, content: bytes, create: bool) -> str:
        """One request. After a lost answer the file that is there may be our own."""
        attempts = 0

        def attempt() -> str | None:
            nonlocal attempts
            attempts += 1
            return self._send(path, content, create)

        with self._seconds.alone(path, len(content)):
            try:
                sent = self._room.for_file(path, lambda: self._databricks.patiently(attempt, path))
            except PathExists:
                if attempts == 1 or not self._is(path, content):
                    raise
                sent = None
            return self._etag(path, len(content), sent)

    def _send(self, path: str, data: Any, create: bool) -> str | None:
        """Put a whole file, once; returns when, as the service says."""
        url = f"{self._api.url(path)}?overwrite={'false' if create else 'true'}"
        return self._databricks.send("PUT", url, data=data).headers.get("Date")

    def _is(self, path: str, content: bytes) -> bool:
        """Whether this is what is there."""
        try:
            if self._api.stat(path).size != len(content):
                return False
            return b"".join(self._reader.read(path, start=0, length=None, if_match=None)) == content
        except DatastoresError:
            return False

    def _etag(self, path: str, size: int, sent: str | None) -> str:
        """The etag of what was written, as the service shows it; somebody else may have replaced it at once."""
        with suppress(PathNotFound):
            found = self._api.stat(path)
            if found.size == size:
                return found.etag
        return describe_file(path, size, seconds_of(sent)).etag

    def _put_parts(
        self, path: str, begun: list[bytes], parts: Iterable[bytes], create: bool, if_match: str | None
    ) -> str:
        """Upload the two parts of ``begun``, which is emptied so that nothing keeps them, and then the others.

        :raises NoCloud: there is no way for parts; ``begun`` and the others are as they were.
        """
        upload = self._room.for_file(path, lambda: self._databricks.patiently(lambda: self._begin(path, create), path))
        try:
            # Alone, as it shows whether cloud storage is to be reached.
            upload.etags.append(self._send_part(upload, 1, upload.take(begun[0])))
            del begun[0]
            self._send_others(upload, chain((begun.pop(),), parts))
            with self._seconds.alone(path, upload.size):
                self._check_version(path, if_match)
                self._complete(upload)
                return self._etag(path, upload.size, None)
        except BaseException:
            with suppress(DatastoresError):
                self._databricks.patiently(lambda: self._abort(upload), path, retries=3)
            raise

    def _begin(self, path: str, create: bool) -> _Upload:
        answer = self._api.upload(path, "initiate", {"overwrite": not create})
        if not answer.get("multipart_upload"):
            raise NoCloud
        return _Upload(path, answer["multipart_upload"]["session_token"])

    def _abort(self, upload: _Upload) -> None:
        self._api.upload(upload.path, "abort", {"upload_type": "multipart", "session_token": upload.token})

    def _send_others(self, upload: _Upload, parts: Iterable[bytes]) -> None:
        """Upload all parts but the first, ``PARTS_AT_ONCE`` of them on their way."""
        pool = ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="write-volume")
        sending: deque[Future[str]] = deque()
        try:
            for number, content in enumerate(parts, 2):
                if len(sending) == PARTS_AT_ONCE:
                    upload.etags.append(sending.popleft().result())
                sending.append(pool.submit(self._send_part, upload, number, upload.take(content)))
            upload.etags += [done.result() for done in sending]
        except NoCloud:
            raise Unavailable(f"{show(upload.path)}: cloud storage took a part of it, and then no more.") from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _send_part(self, upload: _Upload, number: int, content: bytes) -> str:
        """By a URL of its own, which each attempt asks for anew; they expire. Returns the part's etag."""

        def attempt() -> str:
            asked = {"path": self._api.place(upload.path), "session_token": upload.token}
            try:
                answer = self._api.presigned("upload-part-urls", {}, {**asked, "start_part_number": number, "count": 1})
            except upstream_errors() as error:
                if is_not_offered(error):
                    raise NoCloud from None
                raise
            (signed,) = answer["upload_part_urls"]
            return self._api.send_to_cloud("PUT", signed, data=content).headers.get("ETag", "")

        return self._api.by_cloud(attempt, upload.path)

    def _complete(self, upload: _Upload) -> None:
        """Make the parts a file. The answer may get lost, and the next attempt then meets our own file."""
        attempts = 0
        parts = [{"part_number": number, "etag": etag} for number, etag in enumerate(upload.etags, 1)]

        def attempt() -> None:
            nonlocal attempts
            attempts += 1
            query = {"upload_type": "multipart", "session_token": upload.token}
            self._api.upload(upload.path, "complete", query, {"parts": parts})

        try:
            self._room.for_file(upload.path, lambda: self._databricks.patiently(attempt, upload.path))
        except (Conflict, PathNotFound) as error:
            if attempts > 1 and self._is_upload(upload):
                return
            if isinstance(error, PathNotFound):
                raise Unavailable(f"{show(upload.path)}: the service has lost what was uploaded of it.") from None
            raise

    def _is_upload(self, upload: _Upload) -> bool:
        """Whether what is there is what was uploaded."""
        digest = xxhash.xxh3_128()
        try:
            if self._api.stat(upload.path).size != upload.size:
                return False
            for chunk in self._reader.read(upload.path, start=0, length=None, if_match=None):
                digest.update(chunk)
        except DatastoresError:
            return False
        return digest.digest() == upload.digest.digest()

    def _put_stream(self, path: str, chunks: Iterable[bytes], size: int | None, create: bool) -> str:
        """All in one request, of up to 5 GiB, which cannot be made again: where there is no other way.

        How big a file is that comes without a size shows at the end. So such a one waits for others of that kind only.
        """
        body = _Body(chunks) if size is None else _SizedBody(chunks, size)
        self._room.clear(path)
        with self._seconds.alone(path, -1 if size is None else size):
            try:
                sent = self._databricks.patiently(lambda: self._send(path, body, create), path, retries=0)
            except DatastoresError:
                if body.error is not None:
                    raise body.error from None
                raise
            return self._etag(path, body.size, sent)


def part_size(size: int) -> int:
    """Bytes per part for so many bytes in all: a multiple of ``PART`` that keeps within ``MAX_PARTS``."""
    return PART * max(1, -(-size // (PART * MAX_PARTS)))
