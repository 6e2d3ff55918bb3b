"""Reading files of a share: in order, one version only, several requests in flight.

The service has no conditional requests, and SMB clients write in place. So the ETag of each answer is compared, and
after the last byte the file is asked for it once more.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import Changed, DatastoresError, InvalidInput, PathNotFound, Unavailable
from airflow_azureml_datastores.stores._azure_errors import code_of, status_of
from airflow_azureml_datastores.stores._file_names import check_file_name
from airflow_azureml_datastores.stores._file_share import PART, PARTS_AT_ONCE, FileShare, described


class Part(NamedTuple):
    """Some bytes of a file, and which file they are of.

    :param size: of the whole file, in bytes.
    :param etag: without quotes.
    """

    content: bytes
    size: int
    etag: str


class _PastTheEnd(Exception):
    """The range starts where the file has ended already."""


def stat_file(share: FileShare, path: str) -> ObjectInfo:
    """Describe a file. :raises PathNotFound: there is none, or it is a folder."""
    check_file_name(path)
    try:
        return described(path, share.file(path).get_file_properties())
    except share.errors.upstream as error:
        raise _meant(share, error, path) from None


def read_file(share: FileShare, path: str, *, start: int, length: int | None, if_match: str | None) -> Iterator[bytes]:
    """Yield a file's bytes as :meth:`FileStore.read` promises. Closed early, it ends its threads."""
    check_file_name(path)
    if start < 0 or (length is not None and length < 0):
        raise InvalidInput(f"start and length of a read cannot be negative (got {start} and {length}).")
    wanted = PART if length is None else min(length, PART)
    content, size, etag = _first_part(share, path, start, wanted, if_match)
    if not content:
        return
    yield content
    del content  # which nobody needs while the rest comes
    end = size if length is None else min(size, start + length)
    begin = start + PART
    if begin < end:
        yield from _rest(share, path, range(begin, end, PART), end, etag)
    _check_unchanged(share, path, etag)


def _first_part(share: FileShare, path: str, start: int, length: int, if_match: str | None) -> Part:
    if length:
        try:
            return _fetch(share, path, start, length, if_match)
        except _PastTheEnd:
            pass
    found = stat_file(share, path)
    if if_match is not None and found.etag != if_match:
        raise _changed(share, path)
    return Part(b"", found.size, found.etag)


def _rest(share: FileShare, path: str, offsets: range, end: int, etag: str) -> Iterator[bytes]:
    """All parts but the first, each compared with the first one's version, ``PARTS_AT_ONCE`` of them on their way."""
    pool = ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="read-file")

    def ask(offset: int) -> Future[Part]:
        return pool.submit(_fetch, share, path, offset, min(PART, end - offset), etag)

    coming = iter(offsets)
    asked = deque(ask(offset) for offset in islice(coming, PARTS_AT_ONCE))
    try:
        while asked:
            yield asked.popleft().result().content
            asked.extend(ask(offset) for offset in islice(coming, 1))
    except _PastTheEnd:
        raise _changed(share, path) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _fetch(share: FileShare, path: str, start: int, length: int, if_match: str | None) -> Part:
    """Get a range of a file, shorter where the file ends before; again where the answer broke off on its way."""
    pauses = share.pauses()
    while True:
        try:
            part = _fetch_once(share, path, start, length)
        except share.errors.upstream as error:
            if status_of(error) == 416:
                raise _PastTheEnd from None
            pause = next(pauses, None)
            # With another status than these it was the service that refused, after all retries of the client.
            if status_of(error) not in (200, 206) or pause is None:
                raise _meant(share, error, path) from None
            time.sleep(pause)
            continue
        if if_match is not None and part.etag != if_match:
            raise _changed(share, path)
        if len(part.content) != min(length, part.size - start):
            raise Unavailable(f"{show(path)} in {share.url}: only {len(part.content)} bytes of {length} came.")
        return part


def _fetch_once(share: FileShare, path: str, start: int, length: int) -> Part:
    download = share.file(path).download_file(offset=start, length=length, decompress=False)
    found = download.properties  # whose size is that of the range
    whole = (found.content_range or "").rpartition("/")[2]
    return Part(download.readall(), int(whole), found.etag.strip('"'))


def _meant(share: FileShare, error: Exception, path: str) -> DatastoresError:
    """The error to raise for one of looking at a file: a folder is none."""
    if code_of(error) == "ResourceTypeMismatch":
        return PathNotFound(f"{show(path)} in {share.url}: it is a folder, no file.")
    return share.errors.translate(error, path)


def _check_unchanged(share: FileShare, path: str, etag: str) -> None:
    """:raises Changed: the file is another version by now, so that what came may be of both."""
    try:
        now = stat_file(share, path).etag
    except PathNotFound:
        now = None
    if now != etag:
        raise _changed(share, path)


def _changed(share: FileShare, path: str) -> Changed:
    return Changed(f"{show(path)} in {share.url}: it is not, or no longer, the version that was asked for.")
