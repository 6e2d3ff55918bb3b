"""Reading files of a volume: in order, one version only, big ones from cloud storage by several requests at once."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from email.utils import formatdate
from itertools import islice
from typing import Any, NamedTuple

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import Changed, PathNotFound
from airflow_azureml_datastores.stores._databricks import Answer
from airflow_azureml_datastores.stores._databricks_errors import Refused, upstream_errors
from airflow_azureml_datastores.stores._dbfs_store import check_range
from airflow_azureml_datastores.stores._dbfs_versions import describe_file, seconds_of
from airflow_azureml_datastores.stores._dbfs_volume_api import PART, FilesApi, NoCloud, is_not_offered

RANGE = 4 << 20
"""Bytes per further request of a file that did not come with the first one."""
RANGES_AT_ONCE = 4

_RANGE = re.compile(r"bytes \d+-\d+/(\d+)")


class Part(NamedTuple):
    """Some bytes of a file, and which file they are of.

    :param etag: that cloud storage gives the content; None where it was not asked.
    """

    content: bytes
    file: ObjectInfo
    etag: str | None = None


class _PastTheEnd(Exception):
    """The range starts where the file has ended already."""


class VolumeReader:
    """Reads below one root."""

    def __init__(self, api: FilesApi) -> None:
        self._api = api

    def read(self, path: str, *, start: int, length: int | None, if_match: str | None) -> Iterator[bytes]:
        """Yield a file's bytes as :meth:`FileStore.read` promises. Closed early, it ends its threads."""
        check_range(start, length)
        wanted = PART if length is None else min(length, PART)
        part = self._first_part(path, start, wanted)
        if if_match not in (None, part.file.etag):
            raise _changed(path)
        if part.content:
            yield part.content
        file = part.file
        del part  # which nobody needs while the rest comes
        end = file.size if length is None else min(file.size, start + length)
        begin = start + PART
        if begin < end:
            yield from self._rest(range(begin, end, RANGE), end, _Source(self._api, file))

    def _first_part(self, path: str, start: int, length: int) -> Part:
        if length:
            try:
                return self._api.databricks.patiently(lambda: self.fetch(path, start, length), path)
            except _PastTheEnd:
                pass
        return Part(b"", self._api.stat(path))

    def fetch(self, path: str, start: int, length: int) -> Part:
        """Get a range of a file from the workspace, once; shorter where the file ends before."""
        return _get(self._api.databricks.send, self._api.url(path), path, start, length)

    def _rest(self, offsets: range, end: int, source: _Source) -> Iterator[bytes]:
        """All parts but the first, ``RANGES_AT_ONCE`` of them on their way."""
        pool = ThreadPoolExecutor(RANGES_AT_ONCE, thread_name_prefix="read-volume")

        def ask(offset: int) -> Future[bytes]:
            return pool.submit(source.fetch, offset, min(RANGE, end - offset))

        coming = iter(offsets)
        asked = deque(ask(offset) for offset in islice(coming, RANGES_AT_ONCE))
        try:
            while asked:
                yield asked.popleft().result()
                asked.extend(ask(offset) for offset in islice(coming, 1))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Source:
    """One version of one file, by a presigned URL while that works, and from the workspace otherwise.

    Of versions that only differ within a second, cloud storage tells those apart of which it gives parts.
    """

    def __init__(self, api: FilesApi, file: ObjectInfo) -> None:
        self._api = api
        self._file = file
        self._unless_modified = {"If-Unmodified-Since": formatdate(file.modified.timestamp(), usegmt=True)}
        self._lock = threading.Lock()
        self._signed: dict[str, Any] | None = None
        self._etag: str | None = None

    def fetch(self, start: int, length: int) -> bytes:
        """:raises Changed: the file is no longer this version."""
        path = self._file.path
        try:
            try:
                part = self._api.by_cloud(lambda: self._from_cloud(start, length), path)
            except NoCloud:
                part = self._api.databricks.patiently(lambda: self._from_workspace(start, length), path)
        except (_PastTheEnd, PathNotFound):
            raise _changed(path) from None
        if part.file != self._file or part.etag not in (None, self._first_etag(part)):
            raise _changed(path)
        return part.content

    def _first_etag(self, part: Part) -> str | None:
        with self._lock:
            self._etag = self._etag or part.etag
            return self._etag

    def _from_workspace(self, start: int, length: int) -> Part:
        url, send = self._api.url(self._file.path), self._api.databricks.send
        part = _get(send, url, self._file.path, start, length, self._unless_modified)
        return part._replace(etag=None)  # the workspace's, if it gives one, need not be that of cloud storage

    def _from_cloud(self, start: int, length: int) -> Part:
        signed = self._sign()

        def send(method: str, url: str, **options: Any) -> Answer:
            try:
                return self._api.send_to_cloud(method, signed, **options)
            except Refused as error:
                if error.status == 503:  # which is also what a URL is that has expired
                    self._forget(signed)
                raise

        return _get(send, signed["url"], self._file.path, start, length, self._unless_modified)

    def _sign(self) -> dict[str, Any]:
        """One URL for all parts, asked for when the first one is fetched, or the last URL has expired."""
        with self._lock:
            if self._signed is None:
                try:
                    self._signed = self._api.presigned("download-url", {"path": self._api.place(self._file.path)})
                except upstream_errors() as error:
                    if is_not_offered(error):
                        raise NoCloud from None
                    raise
            return self._signed

    def _forget(self, signed: Mapping[str, Any]) -> None:
        with self._lock:
            if self._signed is signed:
                self._signed = None


def _get(send: Any, url: str, path: str, start: int, length: int, headers: Mapping[str, str] | None = None) -> Part:
    """A range of a file, by one request.

    :raises _PastTheEnd: the file ends before.
    """
    try:
        answer: Answer = send(
            "GET", url, headers={"Range": f"bytes={start}-{start + length - 1}", **(headers or {})}, most=length
        )
    except Refused as error:
        if error.status == 416:
            raise _PastTheEnd from None
        raise
    content, told = answer.content, answer.headers
    ranged = _RANGE.fullmatch(told.get("Content-Range", ""))
    if answer.status == 206 and ranged:
        size = int(ranged[1])
        expected = min(length, size - start)
    else:  # the whole, which is only taken for a range from the start
        size = expected = int(told.get("Content-Length") or len(content))
    if len(content) != expected or not (start == 0 or ranged):
        raise Refused(502, said=f"{len(content)} bytes came of {expected}")
    return Part(content, describe_file(path, size, seconds_of(told.get("Last-Modified"))), told.get("ETag"))


def _changed(path: str) -> Changed:
    return Changed(f"{show(path)}: it is not, or no longer, the version that was asked for.")
