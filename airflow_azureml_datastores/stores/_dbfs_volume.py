"""Files of a Unity Catalog volume, by the Files API."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import AccessDenied, ContainerNotFound, PathNotFound, Unsupported
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores._dbfs_names import is_file_name
from airflow_azureml_datastores.stores._dbfs_store import DbfsStore
from airflow_azureml_datastores.stores._dbfs_versions import describe_file
from airflow_azureml_datastores.stores._dbfs_volume_api import FilesApi
from airflow_azureml_datastores.stores._dbfs_volume_reading import VolumeReader
from airflow_azureml_datastores.stores._dbfs_volume_writing import VolumeWriter
from airflow_azureml_datastores.stores._tree_listing import Entry, FolderInfo

log = logging.getLogger(__name__)


class VolumeStore(DbfsStore):
    """A volume, or a folder in one.

    A big file is uploaded in parts, which show as a file at once when the last one is there; parts of an upload that
    broke off are thrown away by the service. Where presigned URLs or cloud storage are not to be had, a big file is one
    request, of up to 5 GiB, which is not made again.
    """

    in_dbfs_root = False

    def __init__(self, location: Location, address: str, root: str, credential: Credential, patience: Patience) -> None:
        super().__init__(location, address, root, credential, patience)
        names = root.split("/")[2:]
        self._volume, self._is_volume = ".".join(names[:3]), len(names) == 3
        self._api = FilesApi(self._databricks, root)
        self._reader = VolumeReader(self._api)
        self._writer = VolumeWriter(self._api, self._seconds, self._check_version)

    def create_if_missing(self) -> None:
        try:
            if self._is_volume:
                self.check()
            else:
                self._api.make_directory("")
        except ContainerNotFound as error:
            raise Unsupported(
                f"{error} A volume is not made from here, but in Databricks: CREATE VOLUME {self._volume}."
            ) from None

    def stat(self, path: str) -> ObjectInfo:
        self.check_path(path)
        try:
            return self._api.stat(path)
        except PathNotFound:
            raise self._missing(path) from None

    def read(
        self, path: str, *, start: int = 0, length: int | None = None, if_match: str | None = None
    ) -> Iterator[bytes]:
        self.check_path(path)
        try:
            yield from self._reader.read(path, start=start, length=length, if_match=if_match)
        except PathNotFound:
            raise self._missing(path) from None

    def write(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        size: int | None = None,
        create: bool = False,
        if_match: str | None = None,
    ) -> str:
        self.check_path(path)
        self._need_root()
        return self._writer.write(path, chunks, size, create, if_match)

    def delete(self, path: str) -> None:
        self.check_path(path)
        try:
            self._api.delete(path)
        except PathNotFound:
            self._need_root()

    def _check_root(self) -> None:
        """List one entry. Where there is no folder Unity Catalog is asked, as a volume with nothing in it has none."""
        try:
            next(self._api.list_directory("", size=1), None)
        except ContainerNotFound as missing:
            self._check_volume(missing)
            if not self._is_volume:
                raise ContainerNotFound(
                    f"{self.url}: there is no such folder in the volume {self._volume}. Make it, or register the "
                    f"datastore with create_if_not_exists=True."
                ) from None

    def _check_volume(self, missing: ContainerNotFound) -> None:
        try:
            self._databricks.call("GET", f"/api/2.1/unity-catalog/volumes/{quote(self._volume)}")
        except (AccessDenied, Unsupported):
            raise missing from None

    def _entries(self, folder: str) -> list[Entry]:
        if folder and not is_file_name(folder[:-1], dbfs=False):
            return []
        try:
            found = [entry for told in self._api.list_directory(folder[:-1]) if (entry := self._entry(folder, told))]
        except (PathNotFound, ContainerNotFound):
            self._need_root()
            return []
        self._seen = True
        return found

    def _entry(self, folder: str, told: Mapping[str, Any]) -> Entry | None:
        path = folder + str(told["name"]).rstrip("/")
        if not is_file_name(path, dbfs=False):
            log.warning("%s: %s is left out, as it has a name that cannot be used here", self.url, show(path))
            return None
        if told.get("is_directory"):
            return FolderInfo(path)
        return describe_file(path, int(told.get("file_size") or 0), (told.get("last_modified") or 0) / 1000)
