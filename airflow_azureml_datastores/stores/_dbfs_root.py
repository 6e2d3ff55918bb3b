"""Files of the DBFS root, by the DBFS API: deprecated, and not there in new accounts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import ContainerNotFound, PathNotFound
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores._dbfs_names import NEW, RESERVED, is_file_name
from airflow_azureml_datastores.stores._dbfs_root_api import BLOCK, DbfsApi, Found, name_of_new
from airflow_azureml_datastores.stores._dbfs_root_writing import DbfsRootWriter
from airflow_azureml_datastores.stores._dbfs_store import DbfsStore, check_range
from airflow_azureml_datastores.stores._dbfs_versions import describe_file
from airflow_azureml_datastores.stores._tree_listing import Entry, FolderInfo

log = logging.getLogger(__name__)

_WINDOW = 8
"""Blocks after which a reader looks whether the file is still the same version."""
_BLOCKS_AT_ONCE = 4


class DbfsRootStore(DbfsStore):
    """A folder of the DBFS root, or all of it.

    Small files are written in one request, bigger ones than 1 MiB as drafts that are renamed when they are whole. The
    drafts of writers that were killed stay, unlisted.
    """

    in_dbfs_root = True

    def __init__(self, location: Location, address: str, root: str, credential: Credential, patience: Patience) -> None:
        super().__init__(location, address, root, credential, patience)
        self._api = DbfsApi(self._databricks, root)
        self._writer = DbfsRootWriter(self._api, self._seconds, self._check_version)

    def create_if_missing(self) -> None:
        self._api.make_folder("")

    def stat(self, path: str) -> ObjectInfo:
        return self._find(path)[1]

    def _find(self, path: str) -> tuple[str, ObjectInfo]:
        """Where a file is at this moment, and its description."""
        self.check_path(path)
        found = self._api.find(path)
        if found is None or found.file is None:
            raise self._missing(path)
        return found.place, found.file

    def read(
        self, path: str, *, start: int = 0, length: int | None = None, if_match: str | None = None
    ) -> Iterator[bytes]:
        """A look at the file before and after some blocks has to show the same version, or they are not given out."""
        check_range(start, length)
        place, file = self._find(path)
        if if_match not in (None, file.etag):
            raise self._changed(path)
        end = file.size if length is None else min(file.size, start + length)
        pool = ThreadPoolExecutor(_BLOCKS_AT_ONCE, thread_name_prefix="read-dbfs")
        coming = iter(range(start, end, BLOCK))
        try:
            while offsets := list(islice(coming, _WINDOW)):
                sizes = [min(BLOCK, end - offset) for offset in offsets]
                blocks = list(pool.map(partial(self._api.read, place), offsets, sizes))
                if [len(block) for block in blocks] != sizes or self._api.status(place, of=path).file != file:
                    raise self._changed(path)
                yield from blocks
        except PathNotFound:
            raise self._changed(path) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

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
        """What is about to replace the file goes first, or it would be the file then."""
        self.check_path(path)
        self._need_root()
        if self._api.kind(path) == "file":
            for place in filter(None, (name_of_new(path), path)):
                self._api.delete(place)

    def _check_root(self) -> None:
        if self._api.status("").file is not None:
            raise ContainerNotFound(f"{self.url}: it is a file, no folder.")

    def _entries(self, folder: str) -> list[Entry]:
        if folder and not is_file_name(folder[:-1], dbfs=True):
            return []
        try:
            found = self._api.list(folder[:-1])
        except (PathNotFound, ContainerNotFound):
            self._need_root()
            return []
        self._seen = True
        entries = {status.place: entry for status in found if (entry := self._entry(folder, status))}
        for status in found:
            name = status.place.removeprefix(folder)
            if name.startswith(NEW) and status.file is not None:
                path = folder + name.removeprefix(NEW)
                entries.setdefault(path, describe_file(path, status.file.size, status.file.modified.timestamp()))
        return list(entries.values())

    def _entry(self, folder: str, found: Found) -> Entry | None:
        if found.place.removeprefix(folder).startswith(RESERVED):
            return None
        if not is_file_name(found.place, dbfs=True):
            log.warning("%s: %s is left out, as it has a name that cannot be used here", self.url, show(found.place))
            return None
        return FolderInfo(found.place) if found.file is None else found.file
