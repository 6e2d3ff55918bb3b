"""Writing blobs: small ones in one request, big ones as blocks that one last request makes a blob."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakValueDictionary

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.errors import (
    Changed,
    Conflict,
    DatastoresError,
    PathExists,
    PathNotFound,
    Unavailable,
)
from airflow_azureml_datastores.stores._blob_container import PART, PARTS_AT_ONCE, BlobContainer
from airflow_azureml_datastores.stores._blob_reading import fetch, quoted, stat_blob
from airflow_azureml_datastores.stores._content import counted, regrouped

if TYPE_CHECKING:
    from obstore import PutMode

MAX_BLOCKS = 50_000
"""https://learn.microsoft.com/rest/api/storageservices/put-block-list"""


@dataclass(frozen=True, slots=True)
class Condition:
    """What has to be true of the target when it is written."""

    create: bool = False
    if_match: str | None = None

    def __bool__(self) -> bool:
        return self.create or self.if_match is not None

    @property
    def for_sdk(self) -> dict[str, Any]:
        from azure.core import MatchConditions

        if self.create:
            return {"match_condition": MatchConditions.IfMissing}
        if self.if_match is not None:
            return {"etag": quoted(self.if_match), "match_condition": MatchConditions.IfNotModified}
        return {}

    @property
    def for_obstore(self) -> PutMode:
        if self.create:
            return "create"
        return "overwrite" if self.if_match is None else {"e_tag": quoted(self.if_match)}


class BlobWriter:
    """Writes into one container."""

    def __init__(self, container: BlobContainer) -> None:
        self._container = container
        self._turns: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._turns_guard = threading.Lock()

    def write(self, path: str, chunks: Iterable[bytes], size: int | None, condition: Condition) -> str:
        """Write a blob as :meth:`FileStore.write` promises; returns its etag.

        Errors of ``chunks`` come out as they are.
        """
        self._container.check_name(path)
        parts = regrouped(counted(chunks, size, path), block_size(size or 0))
        first, second = next(parts, b""), next(parts, None)
        if second is None:
            with self._gone_is_changed(path, condition):
                return self._container.in_free_place(path, lambda: self._put(path, first, condition))
        with self._turn(path):
            if condition.create:
                self._check_missing(path)
            blocks = self._stage(path, chain((first, second), parts))
            with self._gone_is_changed(path, condition):
                return self._container.in_free_place(path, lambda: commit(self._container, path, blocks, condition))

    def _put(self, path: str, content: bytes, condition: Condition) -> str:
        """One request. A first answer is final; after a lost one the blob that is there may be our own."""
        etag = self._put_once(path, content, condition)
        if etag is not None:
            return etag
        try:
            return self._put_patiently(path, content, condition)
        except (PathExists, Changed):
            written = self._written_before(path, content) if condition else None
            if written is None:
                raise
            return written

    def _put_once(self, path: str, content: bytes, condition: Condition) -> str | None:
        """One attempt; None if it was left open whether it succeeded."""
        fast = self._container.fast(path)
        if fast is None:
            try:
                return self._put_patiently(path, content, condition, retry_total=0)
            except Unavailable:
                return None

        import obstore
        from obstore.exceptions import BaseError

        try:
            result = obstore.put(fast, path, content, mode=condition.for_obstore, use_multipart=False)
        except (BaseError, FileNotFoundError) as error:
            answer = self._container.clear_answer(error, path)
            if answer:
                raise answer from None
            return None
        return (result["e_tag"] or "").strip('"')

    def _put_patiently(self, path: str, content: bytes, condition: Condition, **options: Any) -> str:
        with self._container.errors.translated(path):
            done = self._container.blob(path).upload_blob(
                content, length=len(content), overwrite=not condition.create, **_without_create(condition), **options
            )
        return str(done["etag"]).strip('"')

    def _written_before(self, path: str, content: bytes) -> str | None:
        """The etag of what is there if it is just this content."""
        try:
            part = fetch(self._container, path, 0, max(len(content), 1), None)
        except DatastoresError:
            return None
        return part.etag if (part.size, part.content) == (len(content), content) else None

    def _stage(self, path: str, parts: Iterable[bytes]) -> list[str]:
        """Upload blocks, ``PARTS_AT_ONCE`` of them on their way. What is not committed the service drops by itself."""
        blob, upload = self._container.blob(path), uuid4().hex
        pool = ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="write-blob")

        def stage(number: int, content: bytes) -> str:
            block = f"{upload}{number:08}"
            with self._container.errors.translated(path):
                blob.stage_block(block, content, length=len(content))
            return block

        staging: deque[Future[str]] = deque()
        staged: list[str] = []
        try:
            for number, content in enumerate(parts):
                if len(staging) == PARTS_AT_ONCE:
                    staged.append(staging.popleft().result())
                staging.append(pool.submit(stage, number, content))
            staged += [done.result() for done in staging]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return staged

    def _check_missing(self, path: str) -> None:
        """Learn of something in the way before the bytes travel, not only afterwards."""
        try:
            stat_blob(self._container, path)
        except PathNotFound:
            return
        raise PathExists(f"{show(path)} in {self._container.url}: there is something already.")

    @contextmanager
    def _gone_is_changed(self, path: str, condition: Condition) -> Iterator[None]:
        """What is to be replaced is another version if it is not there at all."""
        try:
            yield
        except PathNotFound:
            if condition.if_match is None:
                raise
            raise Changed(f"{show(path)} in {self._container.url}: it is gone.") from None

    @contextmanager
    def _turn(self, path: str) -> Iterator[None]:
        """Let the threads of this store write a big blob one after the other.

        The first commit discards the blocks of all who are just uploading to the same blob, and they would fail.
        """
        with self._turns_guard:
            turn = self._turns.setdefault(path, threading.Lock())
        with turn:
            yield


def commit(container: BlobContainer, path: str, blocks: list[str], condition: Condition) -> str:
    """Make staged blocks the blob's content; returns its etag.

    The answer to a commit that succeeded may get lost, and the next attempt then meets our own blob: the blocks tell.
    """
    from azure.storage.blob import BlobBlock

    try:
        with container.errors.translated(path):
            done = container.blob(path).commit_block_list([BlobBlock(block) for block in blocks], **condition.for_sdk)
    except Conflict:
        etag = _committed_before(container, path, blocks)
        if etag is None:
            raise
        return etag
    return str(done["etag"]).strip('"')


def _committed_before(container: BlobContainer, path: str, blocks: list[str]) -> str | None:
    """The etag of the blob if it consists of just these blocks."""
    try:
        etag = stat_blob(container, path).etag
        with container.errors.translated(path):
            committed, _ = container.blob(path).get_block_list("committed")
    except DatastoresError:
        return None
    return etag if [block.id for block in committed] == blocks else None


def block_size(size: int, unit: int = PART) -> int:
    """Bytes per block for so many bytes in all: a multiple of ``unit`` that keeps within ``MAX_BLOCKS``."""
    return unit * max(1, -(-size // (unit * MAX_BLOCKS)))


def _without_create(condition: Condition) -> dict[str, Any]:
    """The SDK's upload says create-only with ``overwrite``."""
    return {} if condition.create else condition.for_sdk
