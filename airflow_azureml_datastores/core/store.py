"""What every store is, the port through which bytes flow, and what a store of files says about itself.

A *path* is the exact name of an object inside the store: any text that the service can hold, ``/`` separating folders
by convention. A store either handles a name exactly or refuses it by name (:class:`UnsafePath`); it never bends one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from airflow_azureml_datastores.errors import Unsupported

if TYPE_CHECKING:
    from airflow_azureml_datastores.core.credentials import Credential
    from airflow_azureml_datastores.core.datastore import Location


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object, as a listing shows it.

    :param path: its exact name in the store.
    :param size: bytes.
    :param etag: changes whenever the content does; without quotes.
    :param modified: time of the last change, with time zone.
    """

    path: str
    size: int
    etag: str
    modified: datetime

    @property
    def version(self) -> Version:
        return Version(self.path, self.size, self.etag)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one object: what a transfer takes, and nothing else will do.

    :param path: the object's exact name in its store.
    :param size: bytes.
    :param etag: without quotes.
    """

    path: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Features:
    """What a kind of store can do beyond the mandatory calls.

    :param server_side_copy: ``copy`` works without the bytes passing through this process.
    :param replace_directory: a whole folder can be made visible in one step, whatever was there.
    :param directories: folders are things of their own, which stay when they are empty and can be renamed in one step.
    :param conditional_write: ``if_match`` of a write holds against those who write at the same moment; otherwise it is
        only looked at before.
    :param any_name: ``a//b``, leading and trailing slashes are names like any other.
    :param case_sensitive: names that differ in case are different names.
    :param on_disk: objects are files of this machine, so that reading them takes no network of our own.
    """

    server_side_copy: bool = False
    replace_directory: bool = False
    directories: bool = False
    conditional_write: bool = True
    any_name: bool = False
    case_sensitive: bool = True
    on_disk: bool = False


class Store(ABC):
    """An open handle on a location: of files, or of tables (:mod:`.table_store`). Calls are synchronous."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The location as people write it; never with a secret."""

    @abstractmethod
    def check(self) -> None:
        """Make one cheap request to learn whether the location is there and the credential is let in."""

    def create_if_missing(self) -> None:
        """Make the location itself, such as the container, where it is missing.

        :raises Unsupported: it is made elsewhere.
        """
        raise Unsupported(f"{self.url} cannot be made from here: create it where it is managed.")

    def close(self) -> None:
        """Release connections. The store cannot be used afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FileStore(Store):
    """An open handle on files. All calls may be made from many threads at once.

    Errors of every call: :class:`AccessDenied`, :class:`ContainerNotFound`, :class:`Unavailable` (after the client's
    own retries), :class:`UnsafePath` for a name that the store cannot hold; others are listed with the call.
    """

    features: Features

    @abstractmethod
    def check_path(self, path: str) -> None:
        """Raise :class:`UnsafePath` if the store cannot hold an object of exactly this name. Makes no request."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield every object whose path starts with this text, in ascending order of path, page by page."""

    @abstractmethod
    def stat(self, path: str) -> ObjectInfo:
        """Describe one object. :raises PathNotFound: there is none (a folder is none)."""

    @abstractmethod
    def read(
        self, path: str, *, start: int = 0, length: int | None = None, if_match: str | None = None
    ) -> Iterator[bytes]:
        """Yield an object's bytes in order, all of one version, in chunks of at most 8 MiB.

        :param start: offset of the first byte; at or past the end yields nothing.
        :param length: at most so many bytes.
        :param if_match: only this version (etag).
        :raises PathNotFound: there is no such object.
        :raises Changed: it is another version than ``if_match``, or became another while being read.
        """

    @abstractmethod
    def write(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        size: int | None = None,
        create: bool = False,
        if_match: str | None = None,
    ) -> str:
        """Write a whole object; a reader sees the old content or the new, never a part. Returns the new etag.

        :param chunks: the content; consumed once.
        :param size: its length in bytes if it is known: lets a small object go in one request.
        :param create: only if there is no such object yet.
        :param if_match: only over this version (etag).
        :raises PathExists: ``create`` and there is one.
        :raises Changed: the object is not ``if_match``.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """Delete one object; one that is not there is no error."""

    def can_copy_from(self, source: FileStore) -> bool:
        """Whether :meth:`copy_from` works for this source."""
        return False

    def copy_from(
        self, source: FileStore, source_path: str, path: str, *, if_match: str | None = None, create: bool = False
    ) -> str:
        """Copy an object here without its bytes passing through this process. Returns the new etag.

        :param if_match: only this version of the source.
        :param create: only if there is no object at ``path`` yet.
        :raises PathNotFound: no such source object.
        :raises Changed: the source is another version.
        :raises PathExists: ``create`` and there is one.
        """
        raise NotImplementedError

    def replace_directory(self, staged: str, target: str) -> None:
        """Make the folder ``staged`` appear at ``target`` in one step; what was at ``target`` is gone afterwards.

        Both without a trailing slash. Only with ``features.replace_directory``.

        :raises PathNotFound: there is no object in ``staged``; nothing has changed.
        """
        raise NotImplementedError

    def make_directory_like(self, path: str, model: str) -> bool:
        """Make a folder in which files get the rights that they would get in the folder ``model``.

        Both without a trailing slash; ``model`` need not be there. Only with ``features.directories``.

        :returns: False if that cannot be had: the credential may not look at rights, or set them, or the folder is
            there already, has other rights, and is not empty.
        """
        raise NotImplementedError

    def rename_directory(self, source: str, target: str) -> None:
        """Give a folder another name in one step, with all that is in it; the folders above ``target`` are made.

        Both without a trailing slash. Only with ``features.directories``.

        :raises PathNotFound: there is no folder ``source``.
        :raises PathExists: there is something at ``target``, were it an empty folder.
        """
        raise NotImplementedError

    def delete_directory(self, path: str) -> None:
        """Delete a folder with all that is in it; one that is not there is no error.

        Without a trailing slash. Only with ``features.directories``.
        """
        raise NotImplementedError

    @property
    def door(self) -> tuple[Location, Credential]:
        """What it was opened with, so that another process can open the same.

        :raises Unsupported: this store works in this process only.
        """
        raise Unsupported(f"{self.url} cannot be opened from another process.")
