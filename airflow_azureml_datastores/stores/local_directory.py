"""A folder of this machine, or of a share mounted here, as a datastore."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from airflow_azureml_datastores.core.arm import ArmConnection, ArmForm
from airflow_azureml_datastores.core.credentials import Anonymous, Credential, CredentialTypes, Identity
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import Features, FileStore, ObjectInfo
from airflow_azureml_datastores.errors import (
    Changed,
    InvalidConnection,
    InvalidInput,
    PathExists,
    PathNotFound,
    UnsafePath,
    Unsupported,
)
from airflow_azureml_datastores.stores._local_backstage import Backstage, Draft
from airflow_azureml_datastores.stores._local_listing import Listing
from airflow_azureml_datastores.stores._local_tree import RESERVED, Tree, is_folder
from airflow_azureml_datastores.stores._posix import (
    copy_content,
    etag,
    exchange,
    modified,
    os_errors,
    rename_new,
    sync,
    sync_folder,
    write_all,
)

CHUNK = 1 << 20
"""Bytes per chunk of a read."""


@dataclass(frozen=True)
class LocalDirectory(Location):
    """A folder on the local disk.

    :param path: absolute path of the root folder. Writing does not create it, so that a mistyped path is noticed;
        :meth:`create` does.
    """

    type: ClassVar[str] = "LocalDirectory"
    takes: ClassVar[CredentialTypes] = (Anonymous, Identity)
    path: str

    def check(self) -> None:
        if not isinstance(self.path, str) or not os.path.isabs(self.path) or "\0" in self.path:
            raise InvalidInput(f"the path of a LocalDirectory is the absolute path of a folder, not {self.path!r}.")

    def open(self, credential: Credential) -> LocalDirectoryStore:
        if not isinstance(credential, self.takes):
            raise InvalidConnection(
                f"a LocalDirectory takes no credential, the operating system decides who may use {self.path!r}; "
                f"leave the connection out (got {type(credential).__name__})."
            )
        return LocalDirectoryStore(self.path)

    def open_plain(self) -> LocalDirectoryStore:
        """Open the folder as one that is no datastore, such as the target of a download.

        Nothing is forced onto the medium, and nothing of the store's own stays behind when it is closed.
        """
        return LocalDirectoryStore(self.path, plain=True)

    def to_arm(self) -> ArmConnection:
        return ArmConnection("FileServer", self.path)

    @classmethod
    def from_arm(cls, form: ArmForm) -> Self:
        if not isinstance(form, ArmConnection) or form.category != "FileServer":
            raise Unsupported("a LocalDirectory is a FileServer connection of an Azure ML workspace.")
        return cls(form.target)

    def create(self) -> Self:
        """Make the root folder, and those above it, where they are missing."""
        with os_errors(f"creating the folder {self.path!r}"):
            os.makedirs(self.path, exist_ok=True)
        return self

    @property
    def url(self) -> str:
        return Path(self.path).as_uri()


@dataclass(frozen=True, slots=True)
class _Reading:
    """An object that is open for reading."""

    fd: int
    found: os.stat_result
    subject: str

    def check_unchanged(self) -> None:
        """:raises Changed: another program wrote into the file since it was opened (writers here never do)."""
        now = os.fstat(self.fd)
        if (now.st_size, now.st_mtime_ns) != (self.found.st_size, self.found.st_mtime_ns):
            raise Changed(f"{self.subject}: it changed while being read.")


class LocalDirectoryStore(FileStore):
    """Files below a root folder, as objects.

    Names: every path that :func:`~airflow_azureml_datastores.core.paths.check_relative` lets pass, of at most 254
    segments, none of them ``.datastore``, where the store keeps its own files. What has no such name, special files,
    and links that lead out of the root are no objects: not listed (with a warning if it is for the name) and refused
    by name. Links inside the root are followed. Folders exist while there is something in them.

    Versions: a write goes to a draft, is brought onto the medium and takes its place by a rename, so that it survives
    a loss of power once ``write`` has returned. All writers, of other processes and machines too, hold one ``flock``
    for the moment of comparison and rename; other programs don't. The file system has to keep modification times
    finer than a second.

    The price of that are two fsyncs per object. Objects of 4 KiB from 8 threads took 2 ms each with them and 0.8 ms
    without (ext4 on a virtual disk, a busy machine).

    :param root: absolute path of the root folder.
    :param plain: leave it to the system when content gets onto the medium, and nothing of one's own behind.
    """

    features = Features(
        server_side_copy=True, replace_directory=True, case_sensitive=sys.platform != "darwin", on_disk=True
    )

    def __init__(self, root: str, *, plain: bool = False) -> None:
        self._plain = plain
        self._url = Path(root).as_uri()
        self._tree = Tree(root)
        self._backstage = Backstage(self._tree.join(RESERVED))

    def __repr__(self) -> str:
        return f"LocalDirectoryStore({self._tree.root!r})"

    @property
    def url(self) -> str:
        return self._url

    @property
    def door(self) -> tuple[Location, Credential]:
        return LocalDirectory(self._tree.root), Anonymous()

    def check(self) -> None:
        with self._errors("listing", ""):
            self._tree.check_root()
            os.scandir(self._tree.root).close()

    def create_if_missing(self) -> None:
        LocalDirectory(self._tree.root).create()

    def check_path(self, path: str) -> None:
        self._tree.check_name(path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._tree.check_root()
        yield from Listing(self._tree).walk(prefix)

    def stat(self, path: str) -> ObjectInfo:
        with self._errors("describing", path):
            found = self._tree.find(path, self._tree.place(path))
            if found is None:
                raise self._missing(path)
            return ObjectInfo(path, found.st_size, etag(found), modified(found))

    def read(
        self, path: str, *, start: int = 0, length: int | None = None, if_match: str | None = None
    ) -> Iterator[bytes]:
        if start < 0 or (length is not None and length < 0):
            raise InvalidInput(f"start and length of a read cannot be negative (got {start} and {length}).")
        with self._opened(path, if_match) as reading:
            left = sys.maxsize if length is None else length
            while left:
                with self._errors("reading", path):
                    chunk = os.pread(reading.fd, min(CHUNK, left), start)
                if not chunk:
                    break
                yield chunk
                start += len(chunk)
                left -= len(chunk)
            reading.check_unchanged()

    def write(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        size: int | None = None,
        create: bool = False,
        if_match: str | None = None,
    ) -> str:
        with self._draft(path, create, if_match) as draft:
            written = 0
            for chunk in chunks:
                with self._errors("writing", path):
                    write_all(draft.fd, chunk)
                written += len(chunk)
            if size is not None and written != size:
                raise InvalidInput(f"{show(path)} was to have {size} bytes but {written} came; nothing was written.")
            return self._commit(draft, path, create, if_match)

    def delete(self, path: str) -> None:
        with self._errors("deleting", path):
            place = self._tree.place(path)
            if self._tree.find(path, place) is None:
                self._tree.check_root()
                return
            with self._backstage.locked():
                try:
                    os.unlink(place)
                except FileNotFoundError:
                    return
                left = self._tree.prune(os.path.dirname(place))
            self._sync_folders({left})

    def can_copy_from(self, source: FileStore) -> bool:
        return isinstance(source, LocalDirectoryStore)

    def copy_from(
        self, source: FileStore, source_path: str, path: str, *, if_match: str | None = None, create: bool = False
    ) -> str:
        if not isinstance(source, LocalDirectoryStore):
            raise Unsupported(f"{self.url} cannot copy from {source.url} by itself.")
        with source._opened(source_path, if_match) as original, self._draft(path, create) as draft:
            with self._errors(f"copying {show(source_path)} of {source.url} to", path):
                copy_content(original.fd, draft.fd)
            original.check_unchanged()
            return self._commit(draft, path, create)

    def replace_directory(self, staged: str, target: str) -> None:
        """As the port says: in one step where the system can swap folders (Linux, macOS).

        Elsewhere, and on file systems that cannot (some network shares), there is a moment between two renames in which
        ``target`` is not there. Whoever is listing the old content goes on to see all of it.
        """
        if f"{staged}/".startswith(f"{target}/") or f"{target}/".startswith(f"{staged}/"):
            raise InvalidInput(f"of the folders {show(staged)} and {show(target)} one is inside the other.")
        with self._errors("replacing the folder", target):
            source, place = self._tree.place(staged), self._tree.place(target)
            self._tree.check_root()
            with self._backstage.locked():
                if not is_folder(source):
                    raise self._missing(staged)
                if os.path.lexists(place) and not is_folder(place):
                    raise UnsafePath(f"{show(target)} in {self.url} is not a folder.")
                # Out of its name first: a retry after a crash must not take the old content for the staged one.
                moved = self._backstage.new_path()
                os.rename(source, moved)
                try:
                    changed = self._swap_in(moved, place)
                except BaseException:
                    os.rename(moved, source)
                    raise
                changed.add(self._tree.prune(os.path.dirname(source)))
            self._sync_folders(changed)
            self._backstage.sweep()

    def _swap_in(self, moved: str, place: str) -> set[str]:
        """Put the folder ``moved`` at ``place``; what was there is backstage then. Returns the folders that changed."""
        if not is_folder(place):
            return self._tree.rename(moved, place, os.rename)
        if not exchange(moved, place):
            aside = self._backstage.new_path()
            os.rename(place, aside)
            try:
                os.rename(moved, place)
            except BaseException:
                os.rename(aside, place)
                raise
        return {os.path.dirname(place)}

    def close(self) -> None:
        if self._plain:
            with self._errors("tidying", ""):
                self._backstage.remove()

    @contextmanager
    def _opened(self, path: str, if_match: str | None) -> Iterator[_Reading]:
        with self._errors("reading", path):
            place = self._tree.place(path)
            if self._tree.find(path, place) is None:
                raise self._missing(path)
            fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.fstat(fd)
            if if_match is not None and etag(found) != if_match:
                raise self._changed(path, if_match)
            yield _Reading(fd, found, f"reading {show(path)} in {self.url}")
        finally:
            os.close(fd)

    @contextmanager
    def _draft(self, path: str, create: bool, if_match: str | None = None) -> Iterator[Draft]:
        """A draft of an object; what cannot succeed is refused before any content is asked for."""
        with ExitStack() as stack:
            with self._errors("writing", path):
                self._tree.check_root()
                self._tree.check_room(path, self._check_condition(path, create, if_match))
                draft = stack.enter_context(self._backstage.draft())
            yield draft

    def _commit(self, draft: Draft, path: str, create: bool, if_match: str | None = None) -> str:
        with self._errors("writing", path):
            draft.seal()
            if not self._plain:
                sync(draft.fd)
            with self._backstage.locked():
                place = self._check_condition(path, create, if_match)
                changed = self._tree.rename(draft.path, place, rename_new if create else os.replace)
                version = etag(os.fstat(draft.fd))
            self._sync_folders(changed)
        return version

    def _sync_folders(self, folders: set[str]) -> None:
        if not self._plain:
            for folder in folders:
                sync_folder(folder)

    def _check_condition(self, path: str, create: bool, if_match: str | None) -> str:
        place = self._tree.place(path)
        found = self._tree.find(path, place)
        if create and found is not None:
            raise PathExists(f"there is already {show(path)} in {self.url}.")
        if if_match is not None and (found is None or etag(found) != if_match):
            raise self._changed(path, if_match)
        return place

    @contextmanager
    def _errors(self, doing: str, path: str) -> Iterator[None]:
        """Translate the system's errors. Anything missing that is not an object is the root itself."""
        try:
            with os_errors(f"{doing} {show(path)} in {self.url}"):
                yield
        except PathNotFound:
            self._tree.check_root()
            raise

    def _missing(self, path: str) -> PathNotFound:
        return PathNotFound(f"there is no {show(path)} in {self.url}.")

    def _changed(self, path: str, if_match: str) -> Changed:
        return Changed(f"{show(path)} in {self.url} is not (any more) the version {if_match}.")
