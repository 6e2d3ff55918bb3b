"""The hook of one datastore: what a task does with its files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from airflow_azureml_datastores.core.glob import is_glob
from airflow_azureml_datastores.core.manifest import Manifest
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import FileStore, ObjectInfo
from airflow_azureml_datastores.core.uri import DatastoreUri, parse_datastore_uri
from airflow_azureml_datastores.errors import InvalidInput, PathExists, PathNotFound
from airflow_azureml_datastores.hooks._one_datastore import OneDatastoreHook
from airflow_azureml_datastores.hooks.local_files import local_folder, local_source
from airflow_azureml_datastores.transfer.copy import prepare_copy
from airflow_azureml_datastores.transfer.engine import delete_all
from airflow_azureml_datastores.transfer.source import Source, extent, find_source, list_published


class DatastoreHook(OneDatastoreHook):
    """The files of a datastore.

    A path is the exact name of a file, a folder if it ends with a slash (``""`` is the root), or a pattern if it has a
    ``*``, ``?`` or ``[`` (``**`` crosses folders; ``[*]`` is a literal star).

    :param datastore: its name; None is the workspace's default datastore.
    :param workspace_conn_id: id of the workspace's connection.
    """

    _opened = "root"

    @cached_property
    def root(self) -> Place:
        """The datastore, open.

        :raises DatastoreNotFound: there is none of this name.
        :raises InvalidInput: it is of another type than this hook is for.
        """
        return self.workspace_hook.open(self._name())

    def get_conn(self) -> FileStore:
        """The open store."""
        return self.root.store

    def list(self, path: str = "") -> Iterator[ObjectInfo]:
        """Yield the files that a path names, with size, etag and time of change, in the order of their paths.

        :raises PublishInProgress: some of them are being published right now.
        """
        yield from list_published(self.root, extent(self.root, self._uri(path), records=True))

    def stat(self, path: str) -> ObjectInfo:
        """Describe one file. :raises PathNotFound: there is none."""
        return self.root.store.stat(path)

    def exists(self, path: str) -> bool:
        """Whether there is a file of this name, or for a path that ends with a slash any file below it."""
        if not path or path.endswith("/"):
            return next(iter(self.root.store.list(path)), None) is not None
        try:
            self.stat(path)
        except PathNotFound:
            return False
        return True

    def read(self, path: str) -> bytes:
        """The whole content of one file, in memory. :raises PathNotFound: there is none."""
        return self.root.at(path).read()

    def write(self, path: str, content: bytes | str, *, overwrite: bool = False) -> str:
        """Write one file whole; text as UTF-8. Returns its etag.

        :raises PathExists: there is one, and not ``overwrite``.
        """
        data = content.encode() if isinstance(content, str) else content
        try:
            return self.root.at(path).write(data, create=not overwrite)
        except PathExists as error:
            raise PathExists(f"{self.root.at(path).uri} is there already; pass overwrite=True to replace.") from error

    def upload(
        self,
        local_path: str | Path,
        path: str = "",
        *,
        overwrite: bool = False,
        allow_empty: bool = False,
        show_progress: bool = False,
    ) -> Manifest:
        """Copy local files into the datastore, keeping their relative paths.

        :param local_path: a file, a folder, or a pattern.
        :param path: a folder, or for a single file its new name.
        :param overwrite: replace files of the same name.
        :param allow_empty: whether it is acceptable that there are no files.
        :param show_progress: log how far it is.
        :returns: what was delivered.
        :raises PathExists: a file of the same name is there, and not ``overwrite``; nothing has moved.
        :raises NoData: there are no files at ``local_path``, and not ``allow_empty``.
        """
        with local_source(local_path) as source:
            return self._copy("[upload]", source, self.root.at(path), overwrite, allow_empty, show_progress)

    def download(
        self,
        path: str,
        local_path: str | Path,
        *,
        overwrite: bool = False,
        allow_empty: bool = False,
        show_progress: bool = False,
    ) -> Manifest:
        """Copy files of the datastore to this machine, keeping their paths relative to the folder or pattern's folder.

        :param path: a file, a folder, or a pattern.
        :param local_path: a folder, which is made if need be.
        :param overwrite: replace files of the same name.
        :param allow_empty: whether it is acceptable that there are no files.
        :param show_progress: log how far it is.
        :returns: what was delivered.
        :raises PathExists: a file of the same name is there, and not ``overwrite``; nothing has moved.
        :raises UnsafePath: a file's name would lead out of the folder, or the file system cannot hold it.
        :raises NoData: ``path`` names no file, and not ``allow_empty``.
        """
        source = find_source(self.workspace_hook.open, self._uri(path), records=True)
        with local_folder(local_path) as target:
            return self._copy("[download]", source, target, overwrite, allow_empty, show_progress)

    def copy(
        self,
        path: str,
        target: str,
        *,
        overwrite: bool = False,
        allow_empty: bool = False,
        show_progress: bool = False,
    ) -> Manifest:
        """Copy files inside the datastore, or to another one; inside the service where it can do that.

        :param target: a path in this datastore, or an ``azureml://`` URI: a folder, or for a single file its new name.
        :raises PathExists: a file of the same name is there, and not ``overwrite``; nothing has moved.
        :raises NoData: ``path`` names no file, and not ``allow_empty``.
        """
        source = find_source(self.workspace_hook.open, self._uri(path), records=True)
        uri = (
            parse_datastore_uri(target) if target.startswith("azureml:") else DatastoreUri(self.root.datastore, target)
        )
        place = self.workspace_hook.open(uri.datastore).at(uri.path)
        return self._copy("[copy]", source, place, overwrite, allow_empty, show_progress)

    def delete(self, path: str) -> int:
        """Delete the files that a path names. Returns how many; none is no error.

        :raises InvalidInput: the path is empty; ``**`` is everything.
        """
        if not path:
            raise InvalidInput("an empty path would delete the whole datastore; write '**' if that is what you want.")
        found = [info.path for info in self.list(path)]
        delete_all(self.root.store, found)
        return len(found)

    def _uri(self, path: str) -> DatastoreUri:
        return DatastoreUri(self.root.datastore, path, pattern=is_glob(path))

    def _copy(
        self, verb: str, source: Source, target: Place, overwrite: bool, allow_empty: bool, show_progress: bool
    ) -> Manifest:
        say = self.log.info if show_progress else self.log.debug
        copy = prepare_copy(
            source, target, label=f"{verb} {source.uri}", say=say, overwrite=overwrite, allow_empty=allow_empty
        )
        return copy()


class AzureBlobHook(DatastoreHook):
    """The files of a datastore of type ``AzureBlob``."""

    datastore_type = "AzureBlob"


class AzureFileHook(DatastoreHook):
    """The files of a datastore of type ``AzureFile``."""

    datastore_type = "AzureFile"


class AzureDataLakeGen2Hook(DatastoreHook):
    """The files of a datastore of type ``AzureDataLakeGen2``."""

    datastore_type = "AzureDataLakeGen2"


class OneLakeHook(DatastoreHook):
    """The files of a datastore of type ``OneLake``."""

    datastore_type = "OneLake"


class DbfsHook(DatastoreHook):
    """The files of a datastore of type ``DBFS``."""

    datastore_type = "DBFS"


class LocalDirectoryHook(DatastoreHook):
    """The files of a datastore of type ``LocalDirectory``."""

    datastore_type = "LocalDirectory"
