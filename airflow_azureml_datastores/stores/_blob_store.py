"""Files that are blobs: what the stores on the Blob service share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from airflow_azureml_datastores.core.credentials import AccountKey, Credential, RenewedSas, SasToken
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import FileStore, ObjectInfo
from airflow_azureml_datastores.errors import Changed, PathNotFound, Unsupported
from airflow_azureml_datastores.stores._blob_container import BlobContainer
from airflow_azureml_datastores.stores._blob_copying import BlobCopier
from airflow_azureml_datastores.stores._blob_names import can_start_a_name, check_blob_name
from airflow_azureml_datastores.stores._blob_reading import read_blob, stat_blob
from airflow_azureml_datastores.stores._blob_writing import BlobWriter, Condition


class BlobStore(FileStore):
    """Base of the stores whose objects are blobs.

    Names: those that the service keeps as they are (see :mod:`~airflow_azureml_datastores.stores._blob_names`).

    A store does not outlive a fork: open another one in the child.

    Two processes that upload to the same big blob at once disturb each other: all but the first to finish fail with
    :class:`Changed`. Threads that share a store take turns.

    :param location: which container, and the credential with which it was opened.
    :param container: its clients.
    """

    def __init__(self, location: Location, credential: Credential, container: BlobContainer) -> None:
        self._location, self._credential = location, credential
        self._container = container
        self._writer = BlobWriter(self._container)
        self._copier = BlobCopier(self._container)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def url(self) -> str:
        return self._container.url

    @property
    def door(self) -> tuple[Location, Credential]:
        return self._location, self._credential

    def check(self) -> None:
        """List one blob: what every credential that is of use here may do, unlike asking for the container."""
        with self._container.errors.translated():
            next(self._container.pages("", size=1))

    def create_if_missing(self) -> None:
        self._container.create()

    def check_path(self, path: str) -> None:
        check_blob_name(path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        if not can_start_a_name(prefix):
            return
        with self._container.errors.translated():
            for page in self._container.pages(prefix):
                yield from page.blobs

    def stat(self, path: str) -> ObjectInfo:
        return stat_blob(self._container, path)

    def read(
        self, path: str, *, start: int = 0, length: int | None = None, if_match: str | None = None
    ) -> Iterator[bytes]:
        return read_blob(self._container, path, start=start, length=length, if_match=if_match)

    def write(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        size: int | None = None,
        create: bool = False,
        if_match: str | None = None,
    ) -> str:
        return self._writer.write(path, chunks, size, Condition(create, if_match))

    def delete(self, path: str) -> None:
        self._container.check_name(path)
        with suppress(PathNotFound), self._container.errors.translated(path):
            self._container.blob(path).delete_blob()

    def can_copy_from(self, source: FileStore) -> bool:
        """Inside an account always; from another one if its key or SAS token lets the service read there."""
        if not isinstance(source, BlobStore) or not self._copier.works:
            return False
        here, there = self._container, source._container
        if here.account_url == there.account_url:
            return True
        ends = [urlsplit(container.account_url) for container in (here, there)]
        reachable = ends[0].netloc == ends[1].netloc or all(end.scheme == "https" for end in ends)
        return reachable and isinstance(there.access.credential, AccountKey | SasToken | RenewedSas)

    def copy_from(
        self, source: FileStore, source_path: str, path: str, *, if_match: str | None = None, create: bool = False
    ) -> str:
        """Where the service turns out not to copy by itself, the bytes pass through here after all."""
        if not isinstance(source, BlobStore):
            raise Unsupported(f"{self.url}: the service copies from other blob containers only, not from {source.url}.")
        self._container.check_name(path)
        info = source.stat(source_path)
        if if_match not in (None, info.etag):
            raise Changed(f"{show(source_path)} in {source.url}: it is another version than was asked for.")
        try:
            return self._copier.copy(source._container, info, path, Condition(create))
        except Unsupported:
            content = source.read(source_path, if_match=info.etag)
            return self.write(path, content, size=info.size, create=create)

    def close(self) -> None:
        self._container.close()
