"""Files of a hierarchical namespace: bytes through the Blob endpoint, directories through the dfs endpoint.

Both endpoints lead to the same files. Blob's writes are whole or not at all, can be conditional, and give a file the
rights that its folder says; the dfs endpoint's go by append and flush, where an upload without content makes no file
and one that must not overwrite never makes one (azure-sdk-for-python#16166).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from typing import TypeVar

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import AccessDenied, Changed, Conflict, UnsafePath, Unsupported
from airflow_azureml_datastores.stores._azure import AzureAccess, Patience
from airflow_azureml_datastores.stores._blob_container import BlobContainer
from airflow_azureml_datastores.stores._blob_names import can_start_a_name, check_blob_name, has_empty_segment
from airflow_azureml_datastores.stores._blob_store import BlobStore
from airflow_azureml_datastores.stores._data_lake_directories import DataLakeDirectories

T = TypeVar("T")

MAX_SEGMENTS = 61
"""The service counts 63, those of the account's host and of the container among them.

https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
"""


def check_file_name(path: str) -> None:
    """:raises UnsafePath: a hierarchical namespace cannot hold a file of exactly this name."""
    check_blob_name(path)
    if has_empty_segment(path):
        raise UnsafePath(f"{show(path)} is no name for a file of a data lake, which drops empty segments.")
    if path.count("/") >= MAX_SEGMENTS:
        raise UnsafePath(
            f"{show(path)} is no name for a file of a data lake: it has more than {MAX_SEGMENTS} segments."
        )


class DataLakeContainer(BlobContainer):
    """A filesystem, as a container with real directories.

    :param dfs_url: of the filesystem on the dfs endpoint.
    """

    def __init__(
        self,
        account_url: str,
        name: str,
        access: AzureAccess,
        patience: Patience,
        *,
        dfs_url: str,
        root: str = "",
        shown: str | None = None,
    ) -> None:
        super().__init__(account_url, name, access, patience, root=root, shown=shown)
        self._dfs = dfs_url
        self._patience = patience

    @cached_property
    def directories(self) -> DataLakeDirectories:
        return DataLakeDirectories(self._dfs, self.root, self.access, self._patience, self.errors, self._transport)

    def check_name(self, path: str) -> None:
        check_file_name(path)
        check_file_name(self.root + path)

    def in_free_place(self, path: str, write: Callable[[], T]) -> T:
        """As the base says: an empty directory of the same name gives way.

        :raises UnsafePath: there is a directory that is not empty, or a file where one of the directories has to be.
        """
        try:
            return write()
        except Changed:  # there is a file, just another version of it
            raise
        except (Conflict, UnsafePath):
            there = self.directories.is_directory(path)
            if there and self.directories.remove_empty(path):
                return write()
            if there:
                raise UnsafePath(
                    f"{self.errors.subject(path)} is a folder; a file cannot have the same name."
                ) from None
            if there is None and (above := self._file_above(path)) is not None:
                raise UnsafePath(
                    f"{self.errors.subject(path)} cannot be there: {show(above)} is a file and no folder."
                ) from None
            raise

    def _file_above(self, path: str) -> str | None:
        while (path := path.rpartition("/")[0]) != "":
            if self.directories.is_directory(path) is False:
                return path
        return None


class DataLakeStore(BlobStore):
    """Base of the stores on a hierarchical namespace.

    Directories stay when they become empty, as they may have been made for their rights; they are no objects.

    :param location: which filesystem.
    :param container: its clients.
    """

    _container: DataLakeContainer

    def __init__(self, location: Location, credential: Credential, container: DataLakeContainer) -> None:
        super().__init__(location, credential, container)

    def check(self) -> None:
        super().check()
        with suppress(AccessDenied):
            if not self._container.directories.namespace():
                raise Unsupported(
                    f"{self.url}: the storage account has no hierarchical namespace. Register it as an AzureBlob."
                )

    def check_path(self, path: str) -> None:
        self._container.check_name(path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """As the port says; what is in one of the folders right below the prefix's folder is held in memory at once."""
        if not can_start_a_name(prefix) or "//" in prefix or prefix.startswith("/"):
            return
        yield from in_order(super().list(prefix), prefix.rfind("/") + 1)

    def delete(self, path: str) -> None:
        try:
            super().delete(path)
        except Conflict:
            if not self._container.directories.is_directory(path):  # which is no object
                raise

    def make_directory_like(self, path: str, model: str) -> bool:
        self._container.check_name(path)
        return self._container.directories.make_like(path, model)

    def rename_directory(self, source: str, target: str) -> None:
        for path in (source, target):
            self._container.check_name(path)
        self._container.directories.rename(source, target)

    def delete_directory(self, path: str) -> None:
        self._container.check_name(path)
        self._container.directories.remove(path)


def in_order(infos: Iterable[ObjectInfo], start: int) -> Iterator[ObjectInfo]:
    """Objects that come folder by folder, in the order of their paths: there ``a-b`` is before what is in ``a``.

    :param start: how much of the paths is the same in all.
    """
    held: list[ObjectInfo] = []
    name = ""
    for info in infos:
        end = info.path.find("/", start)
        if (now := info.path[: end if end >= 0 else None]) != name:
            # All that is still to come is in ``now`` or has a greater name.
            name = now
            held.sort(key=lambda other: other.path)
            ready = next((at for at, other in enumerate(held) if other.path >= name), len(held))
            yield from held[:ready]
            del held[:ready]
        held.append(info)
    yield from sorted(held, key=lambda other: other.path)
