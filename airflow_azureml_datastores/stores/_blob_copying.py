"""Copying blobs inside the service.

https://learn.microsoft.com/rest/api/storageservices/copy-blob-from-url, .../put-block-from-url
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from airflow_azureml_datastores.core.credentials import AccountKey, Anonymous
from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import Changed, Unsupported
from airflow_azureml_datastores.stores._azure import SCOPE
from airflow_azureml_datastores.stores._azure_errors import status_of
from airflow_azureml_datastores.stores._blob_container import PARTS_AT_ONCE, BlobContainer
from airflow_azureml_datastores.stores._blob_reading import quoted, stat_blob
from airflow_azureml_datastores.stores._blob_writing import Condition, block_size, commit

ONE_REQUEST = 256 << 20
"""Largest blob that one synchronous request copies."""
BLOCK = 64 << 20
"""Bytes per request of a larger one."""

_LONGEST_URL = 2048
_VALID = timedelta(hours=1)


class BlobCopier:
    """Copies into one container. It learns what the service cannot do, as stand-ins cannot do everything."""

    def __init__(self, target: BlobContainer) -> None:
        self._target = target
        self._lacking: set[Callable[..., str]] = set()

    @property
    def works(self) -> bool:
        """Whether the service copies by itself, as far as is known."""
        return BlobCopier._in_one not in self._lacking

    def copy(self, source: BlobContainer, info: ObjectInfo, path: str, condition: Condition) -> str:
        """Copy just this version of a blob; returns the copy's etag.

        :raises Unsupported: the service cannot do it. It is asked once only.
        :raises Changed: the source is another version.
        """
        self._target.check_name(path)
        way = BlobCopier._in_one if info.size <= ONE_REQUEST else BlobCopier._in_blocks
        if way in self._lacking:
            raise Unsupported(f"{self._target.url}: the service does not copy by itself.")
        return self._target.in_free_place(path, lambda: self._copy(way, source, info, path, condition))

    def _copy(
        self, way: Callable[..., str], source: BlobContainer, info: ObjectInfo, path: str, condition: Condition
    ) -> str:
        try:
            return way(self, source, info, path, condition)
        except self._target.errors.upstream as error:
            if status_of(error) == 501:
                self._lacking.add(way)
            raise self._target.errors.translate(error, path) from None

    def _in_one(self, source: BlobContainer, info: ObjectInfo, path: str, condition: Condition) -> str:
        from azure.core import MatchConditions

        url, authorization = _readable(source, info.path)
        done = self._target.blob(path).start_copy_from_url(
            url,
            requires_sync=True,
            source_etag=quoted(info.etag),
            source_match_condition=MatchConditions.IfNotModified,
            **condition.for_sdk,
            **authorization,
        )
        return str(done["etag"]).strip('"')

    def _in_blocks(self, source: BlobContainer, info: ObjectInfo, path: str, condition: Condition) -> str:
        blob = self._target.blob(path)
        upload, length = uuid4().hex, block_size(info.size, BLOCK)

        def stage(offset: int) -> str:
            block = f"{upload}{offset // length:08}"
            url, authorization = _readable(source, info.path)
            blob.stage_block_from_url(block, url, offset, min(length, info.size - offset), **authorization)
            return block

        pool = ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="copy-blob")
        try:
            blocks = list(pool.map(stage, range(0, info.size, length)))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if stat_blob(source, info.path).etag != info.etag:
            raise Changed(f"{show(info.path)} in {source.url}: it changed while it was copied.")
        return commit(self._target, path, blocks, condition)


def _readable(source: BlobContainer, path: str) -> tuple[str, dict[str, Any]]:
    """A URL by which the service itself can read a blob, and what has to go with it."""
    from azure.storage.blob import generate_blob_sas

    url = source.blob_url(path)
    credential, authorization = source.access.credential, {}
    if isinstance(credential, AccountKey):
        until = datetime.now(UTC) + _VALID
        name = source.access.account_name
        url += "?" + generate_blob_sas(
            name, source.name, source.root + path, account_key=credential.key, permission="r", expiry=until
        )
    elif token := source.access.sas_token:
        url += f"?{token}"
    elif not isinstance(credential, Anonymous):
        authorization["source_authorization"] = f"Bearer {source.access.token_credential.get_token(SCOPE).token}"
    if len(url) > _LONGEST_URL:
        raise Unsupported(f"{show(path)}: its URL is too long for the service to copy from.")
    return url, authorization
