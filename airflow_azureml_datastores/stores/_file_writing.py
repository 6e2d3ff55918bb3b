"""Writing files of a share: into a draft, several ranges at once, which one rename makes the file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.errors import Unsupported
from airflow_azureml_datastores.stores._content import counted, regrouped
from airflow_azureml_datastores.stores._file_commit import Committer, Condition
from airflow_azureml_datastores.stores._file_drafts import Draft, Drafts
from airflow_azureml_datastores.stores._file_names import check_file_name, folder_of
from airflow_azureml_datastores.stores._file_share import PART, PARTS_AT_ONCE, FileShare

if TYPE_CHECKING:
    from azure.storage.fileshare import ShareFileClient

LARGEST = 4 << 40
"""Bytes: https://learn.microsoft.com/azure/storage/files/storage-files-scale-targets"""
_GROWTH = 2
"""How many times as long a draft becomes that turns out too short, as its size was not known."""


class FileWriter:
    """Writes into one share."""

    def __init__(self, share: FileShare, drafts: Drafts, committer: Committer) -> None:
        self._share = share
        self._drafts = drafts
        self._committer = committer

    def write(self, path: str, chunks: Iterable[bytes], size: int | None, condition: Condition) -> str:
        """Write a file as :meth:`FileStore.write` promises; returns its etag.

        Errors of ``chunks`` come out as they are.
        """
        check_file_name(path)
        parts = regrouped(counted(chunks, size, path), PART)
        first, second = next(parts, b""), next(parts, None)
        if second is not None:
            self._committer.check(path, condition)
        room = len(first) if second is None else size or _GROWTH * PART
        content = first if second is None else b""

        def make(client: ShareFileClient, **rights: Any) -> dict[str, Any]:
            as_given: dict[str, Any] = {"file_property_semantics": "Restore"} if rights else {}
            return client.create_file(room, data=content or None, **rights, **as_given)

        with self._drafts.new(path, make) as (draft, made):
            if second is not None:
                self._fill(path, draft, chain((first, second), parts), room)
            etag = self._committer.commit(Draft(draft, made["file_id"]), path, condition)
        self._drafts.sweep(folder_of(draft))
        return etag

    def _fill(self, path: str, draft: str, parts: Iterable[bytes], room: int) -> None:
        """Upload parts, ``PARTS_AT_ONCE`` of them on their way, into a draft that is ``room`` bytes long."""
        client = self._share.file(draft)
        pool = ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="write-file")

        def send(offset: int, content: bytes) -> None:
            with self._share.errors.translated(path):
                client.upload_range(content, offset, len(content))

        def resize(size: int) -> int:
            if size > LARGEST:
                raise Unsupported(f"{show(path)} in {self._share.url}: files there have at most {LARGEST} bytes.")
            with self._share.errors.translated(path):
                client.resize_file(size)
            return size

        sending: deque[Future[None]] = deque()
        end = 0
        try:
            for content in parts:
                begin, end = end, end + len(content)
                if end > room:
                    room = resize(max(end, min(_GROWTH * room, LARGEST)))
                if len(sending) == PARTS_AT_ONCE:
                    sending.popleft().result()
                sending.append(pool.submit(send, begin, content))
            for sent in sending:
                sent.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if end != room:
            resize(end)
