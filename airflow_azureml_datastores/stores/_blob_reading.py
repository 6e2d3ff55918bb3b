"""Reading blobs: in order, one version only, big ones with several requests in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import Changed, InvalidInput, Unavailable
from airflow_azureml_datastores.stores._azure_errors import code_of
from airflow_azureml_datastores.stores._blob_container import PART, BlobContainer

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient
    from obstore import GetOptions

RANGE = 4 << 20
"""Bytes per further request of a blob that did not come with the first one."""
RANGES_AT_ONCE = 4
"""Of these on their way; each takes up to three times its bytes while obstore joins what came."""


class Part(NamedTuple):
    """Some bytes of a blob, and which blob they are of.

    :param size: of the whole blob, in bytes.
    :param etag: without quotes.
    """

    content: bytes
    size: int
    etag: str


class _PastTheEnd(Exception):
    """The range starts where the blob has ended already."""


def quoted(etag: str) -> str:
    """An etag as conditions have it."""
    return f'"{etag}"'


def stat_blob(container: BlobContainer, path: str) -> ObjectInfo:
    """Describe a blob. :raises PathNotFound: there is none, or it is a directory."""
    container.check_name(path)
    found = _stat_fast(container, path)
    if found is None:
        with container.errors.translated(path):
            properties = container.blob(path).get_blob_properties()
        container.check_is_file(path, properties.metadata or {})
        found = ObjectInfo(path, properties.size, properties.etag.strip('"'), properties.last_modified)
    return found


def _stat_fast(container: BlobContainer, path: str) -> ObjectInfo | None:
    fast = container.fast(path)
    if fast is None:
        return None
    import obstore
    from obstore.exceptions import BaseError

    try:
        found = obstore.get(fast, path, options={"head": True})
    except (BaseError, FileNotFoundError):
        return None  # an answer to HEAD has no body, where obstore would find what it means
    container.check_is_file(path, dict(found.attributes))
    meta = found.meta
    return ObjectInfo(path, meta["size"], (meta["e_tag"] or "").strip('"'), meta["last_modified"])


def read_blob(
    container: BlobContainer, path: str, *, start: int, length: int | None, if_match: str | None
) -> Iterator[bytes]:
    """Yield a blob's bytes as :meth:`FileStore.read` promises. Closed early, it ends its threads."""
    if start < 0 or (length is not None and length < 0):
        raise InvalidInput(f"start and length of a read cannot be negative (got {start} and {length}).")
    wanted = PART if length is None else min(length, PART)
    content, size, etag = _first_part(container, path, start, wanted, if_match)
    if content:
        yield content
    del content  # which nobody needs while the rest comes
    end = size if length is None else min(size, start + length)
    begin = start + PART
    if begin < end:
        yield from _rest(container, path, range(begin, end, RANGE), end, etag)


def _first_part(container: BlobContainer, path: str, start: int, length: int, if_match: str | None) -> Part:
    if length:
        try:
            return fetch(container, path, start, length, if_match)
        except _PastTheEnd:
            pass
        except Changed:
            stat_blob(container, path)  # some services hold that what is missing is another version
            raise
    found = stat_blob(container, path)
    if if_match is not None and found.etag != if_match:
        raise _changed(container, path)
    return Part(b"", min(found.size, start), found.etag)


def _rest(container: BlobContainer, path: str, offsets: range, end: int, etag: str) -> Iterator[bytes]:
    """All parts but the first, each pinned to the first one's version, ``RANGES_AT_ONCE`` of them on their way."""
    pool = ThreadPoolExecutor(RANGES_AT_ONCE, thread_name_prefix="read-blob")

    def ask(offset: int) -> Future[Part]:
        return pool.submit(fetch, container, path, offset, min(RANGE, end - offset), etag)

    coming = iter(offsets)
    asked = deque(ask(offset) for offset in islice(coming, RANGES_AT_ONCE))
    try:
        while asked:
            yield asked.popleft().result().content
            asked.extend(ask(offset) for offset in islice(coming, 1))
    except _PastTheEnd:
        raise _changed(container, path) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def fetch(container: BlobContainer, path: str, start: int, length: int, if_match: str | None) -> Part:
    """Get a range of a blob, shorter where the blob ends before."""
    container.check_name(path)
    part = _fetch_fast(container, path, start, length, if_match)
    if part is None:
        with container.errors.translated(path):
            part = _fetch_patiently(container.blob(path), start, length, if_match)
    if len(part.content) != min(length, part.size - start):
        raise Unavailable(f"{show(path)} in {container.url}: only {len(part.content)} bytes of {length} came.")
    return part


def _fetch_fast(container: BlobContainer, path: str, start: int, length: int, if_match: str | None) -> Part | None:
    """Through obstore; None if the SDK should ask again."""
    fast = container.fast(path)
    if fast is None:
        return None
    import obstore
    from obstore.exceptions import BaseError

    options: GetOptions = {"range": (start, start + length)}
    if if_match is not None:
        options["if_match"] = quoted(if_match)
    try:
        found = obstore.get(fast, path, options=options)
        return Part(bytes(found.bytes()), found.meta["size"], (found.meta["e_tag"] or "").strip('"'))
    except (BaseError, FileNotFoundError) as error:
        if code_of(error) == "InvalidRange":
            raise _PastTheEnd from None
        answer = container.clear_answer(error, path)
        if answer:
            raise answer from None
        return None


def _fetch_patiently(blob: BlobClient, start: int, length: int, if_match: str | None) -> Part:
    from azure.core import MatchConditions
    from azure.core.exceptions import HttpResponseError

    condition: dict[str, Any] = {}
    if if_match is not None:
        condition = {"etag": quoted(if_match), "match_condition": MatchConditions.IfNotModified}
    try:
        download = blob.download_blob(offset=start, length=length, decompress=False, **condition)
    except HttpResponseError as error:
        if error.status_code == 416:
            raise _PastTheEnd from None
        raise
    found = download.properties  # whose size is that of the range
    whole = found.content_range.rpartition("/")[2] if found.content_range else found.size
    return Part(download.readall(), int(whole), found.etag.strip('"'))


def _changed(container: BlobContainer, path: str) -> Changed:
    return Changed(f"{show(path)} in {container.url}: it is not, or no longer, the version that was asked for.")
