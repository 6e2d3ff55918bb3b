"""A path in an opened datastore: what a URI points at, once somebody has opened the door."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from airflow_azureml_datastores.core.store import FileStore, ObjectInfo
from airflow_azureml_datastores.core.uri import DatastoreUri, quote_path
from airflow_azureml_datastores.errors import InvalidInput


@dataclass(frozen=True)
class Place:
    """A path in a datastore that is open.

    :param datastore: the datastore's name; "" is a location that is not registered, such as a worker's own disk.
    :param store: its open store.
    :param path: an exact object name, or a folder ending with a slash ("" is the root).
    """

    datastore: str
    store: FileStore
    path: str = ""

    @property
    def uri(self) -> str:
        if not self.datastore:
            return f"{self.store.url}/{quote_path(self.path)}"
        return str(DatastoreUri(self.datastore, self.path))

    def folder(self) -> Place:
        """The same path meant as a folder."""
        return self if not self.path or self.path.endswith("/") else replace(self, path=self.path + "/")

    def at(self, relative: str) -> Place:
        """A path below this folder."""
        return replace(self, path=self.folder().path + relative)

    def list(self) -> Iterator[tuple[str, ObjectInfo]]:
        """Yield all objects of the folder with their path relative to it."""
        prefix = self.folder().path
        for info in self.store.list(prefix):
            if info.path != prefix:
                yield info.path[len(prefix) :], info

    def read(self) -> bytes:
        """The whole content of an object that is known to be small."""
        return b"".join(self.store.read(self.path))

    def write(self, content: bytes, *, create: bool = False, if_match: str | None = None) -> str:
        """Write a small object whole. Returns its etag."""
        return self.store.write(self.path, [content], size=len(content), create=create, if_match=if_match)


OpenDatastore = Callable[[str | None], Place]
"""Opens a registered datastore at its root; None is the workspace's default. The giver keeps and closes what it opens.

Raises DatastoreNotFound: there is none of this name.
"""


def open_place(open_datastore: OpenDatastore, uri: DatastoreUri) -> Place:
    """The place that a URI names. :raises InvalidInput: the URI is a pattern."""
    if uri.pattern:
        raise InvalidInput(f"{uri} is a pattern where one place is needed.")
    return replace(open_datastore(uri.datastore), path=uri.path)
