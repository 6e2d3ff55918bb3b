"""What the two stores in a workspace of Databricks share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import Features, FileStore, ObjectInfo
from airflow_azureml_datastores.errors import Changed, InvalidInput, PathNotFound, UnsafePath
from airflow_azureml_datastores.stores._azure import Patience, describe
from airflow_azureml_datastores.stores._databricks import Databricks
from airflow_azureml_datastores.stores._databricks_errors import DatabricksErrors
from airflow_azureml_datastores.stores._dbfs_names import check_file_name
from airflow_azureml_datastores.stores._dbfs_versions import Seconds
from airflow_azureml_datastores.stores._tree_listing import Entry, walk


class DbfsStore(FileStore):
    """Files below a root folder, as objects.

    Names: see :mod:`~airflow_azureml_datastores.stores._dbfs_names`. Files that have others are left out of listings.

    Versions: the time of the last change in whole seconds, and the size, as the service tells no more
    (:mod:`~airflow_azureml_datastores.stores._dbfs_versions`). Writes of a store's own never share one; two of
    different processes in the same second do, if they are of the same size. A write only looks at ``if_match`` before.

    Folders are no objects. They come into being with the files in them, and stay when those are gone; an empty one in
    the way of a file is removed. The root is not made by writing, so that a mistyped path is noticed.

    :param location: where it is.
    :param address: of the workspace, without a trailing slash.
    :param root: absolute path of the root folder, without a trailing slash.
    :param credential: any that the location takes.
    """

    features = Features(conditional_write=False)

    in_dbfs_root: bool
    """Whether names have to fit into the DBFS root."""

    def __init__(self, location: Location, address: str, root: str, credential: Credential, patience: Patience) -> None:
        self._location, self._credential = location, credential
        self._root = root
        errors = DatabricksErrors(location.url, lambda: describe(credential))
        self._databricks = Databricks(address, credential, patience, errors)
        self._seconds = Seconds()
        self._seen = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def url(self) -> str:
        return self._location.url

    @property
    def door(self) -> tuple[Location, Credential]:
        return self._location, self._credential

    def check_path(self, path: str) -> None:
        check_file_name(path, dbfs=self.in_dbfs_root)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return walk(self._entries, prefix)

    @abstractmethod
    def _entries(self, folder: str) -> Iterable[Entry]:
        """What is in a folder, whose path is "" or ends with a slash; nothing, if it is not there."""

    @abstractmethod
    def _check_root(self) -> None:
        """One request to learn whether the root is there. :raises ContainerNotFound: it is not."""

    def check(self) -> None:
        self._check_root()
        self._seen = True

    def _need_root(self) -> None:
        """:raises ContainerNotFound: the root is not there, and this store has not seen it before."""
        if not self._seen:
            self.check()

    def close(self) -> None:
        self._databricks.close()

    def _missing(self, path: str) -> PathNotFound:
        """The error to raise for a file that is not there. :raises ContainerNotFound: the root is not, either."""
        self._need_root()
        return PathNotFound(f"there is no {show(path)} in {self.url}.")

    def _changed(self, path: str) -> Changed:
        return Changed(f"{show(path)} in {self.url} is not, or no longer, the version that was asked for.")

    def _check_version(self, path: str, if_match: str | None) -> None:
        """:raises Changed: the file is another version, or is not there."""
        if if_match is None:
            return
        try:
            found = self.stat(path)
        except PathNotFound:
            raise self._changed(path) from None
        if found.etag != if_match:
            raise self._changed(path)

    def _is_folder(self, path: str) -> UnsafePath:
        return UnsafePath(
            f"{show(path)} in {self.url} is a folder that is not empty, so that no file can be called so."
        )

    def _is_below_file(self, path: str, file: str) -> UnsafePath:
        return UnsafePath(f"{show(path)} in {self.url} cannot be: {show(file)} is a file.")


def check_range(start: int, length: int | None) -> None:
    if start < 0 or (length is not None and length < 0):
        raise InvalidInput(f"start and length of a read cannot be negative (got {start} and {length}).")
