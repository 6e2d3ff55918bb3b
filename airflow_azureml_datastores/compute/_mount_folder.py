"""A mounted folder: what the system asks of a file system, over a store."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from airflow_azureml_datastores.compute._mount_file import OpenFile, Room
from airflow_azureml_datastores.compute._mount_tree import Folder, LiveTree, SourceTree
from airflow_azureml_datastores.core.store import ObjectInfo, Version
from airflow_azureml_datastores.errors import Changed, DatastoresError, PathExists, PathNotFound
from airflow_azureml_datastores.transfer.engine import delete_all, for_each
from airflow_azureml_datastores.transfer.progress import Say

_PUT_ASIDE = re.compile(r"(?:.*/)?\.fuse_hidden[0-9a-f]{16}", re.DOTALL)
"""How libfuse renames a file that is deleted or replaced while it is open."""


class Attributes(NamedTuple):
    """:param size: bytes; None is a folder. :param links: how many names it has."""

    size: int | None
    modified: datetime
    links: int = 1


class MountedFolder:
    """The folder, as it is read. Paths are relative to it; "" is the folder itself.

    Errors: ours, and ``OSError`` for what only a file system knows.

    :param room: the store and the cache.
    :param tree: what there is.
    :param say: takes what goes wrong.
    """

    def __init__(self, room: Room, tree: SourceTree | LiveTree, say: Say) -> None:
        self._room, self._tree, self._say = room, tree, say
        self._lock = threading.RLock()
        self._files: dict[str, OpenFile] = {}
        self._began = datetime.now(UTC)
        self.lost: dict[str, str] = {}
        """Files whose content did not get into the store -> why."""

    @property
    def is_fixed(self) -> bool:
        """Whether nothing in it ever changes."""
        return isinstance(self._tree, SourceTree)

    def finish(self) -> None:
        """Bring into the store what is left."""

    def describe(self, path: str) -> Attributes:
        """:raises PathNotFound: there is nothing."""
        with self._lock:
            file = self._files.get(path)
            if file is not None and (file.is_staged or file.gone):
                return self.describe_file(file)
        found = self._tree.find(path)
        if found is None:
            raise PathNotFound(f"there is no {path!r}.")
        if isinstance(found, Folder):
            return Attributes(None, self._began)
        return Attributes(found.size, found.modified)

    def describe_file(self, file: OpenFile) -> Attributes:
        return Attributes(file.size, file.modified or self._began, links=0 if file.gone else 1)

    def entries(self, path: str) -> dict[str, bool]:
        """The names in a folder -> whether it is a folder. :raises PathNotFound: there is none."""
        found = {name: isinstance(entry, Folder) for name, entry in self._tree.entries(path).items()}
        with self._lock:
            for name, file in self._files.items():
                parent, _, last = name.rpartition("/")
                if parent == path and not file.gone:
                    found[last] = False
        return found

    def open(self, path: str) -> OpenFile:
        """:raises PathNotFound: there is no such file."""
        self._find_file(path)  # what it asks of the store should not keep others waiting for the lock
        with self._lock:
            file = self._files.get(path)
            if file is None or not file.dirty:
                info = self._find_file(path)
                if file is None or file.version != info.version:
                    file = self._files[path] = OpenFile(self._room, path, info.path, info)
            file.users += 1
            return file

    def read(self, file: OpenFile, start: int, length: int) -> bytes:
        try:
            return file.read(start, length)
        except (Changed, PathNotFound) as error:
            self._tell_outdated(file, error)
            raise Changed(str(error)) from error

    def _tell_outdated(self, file: OpenFile, error: DatastoresError) -> None:
        since = "the run found it"
        if isinstance(self._tree, LiveTree):
            self._tree.forget(file.name)
            since = "it was opened, or was last looked for"
        if not file.outdated:
            file.outdated = True
            self._say(f"{file.name!r} has changed since {since}: {error}")

    def release(self, file: OpenFile) -> None:
        """Somebody closes a file."""
        with self._lock:
            file.users -= 1
            if file.users == 0:
                if self._files.get(file.name) is file:
                    del self._files[file.name]
                file.close()

    def _find_file(self, path: str) -> ObjectInfo:
        with self._lock:
            file = self._files.get(path)
            if file is not None and file.dirty:
                return ObjectInfo(file.path, file.size, "", self._began)
        found = self._tree.find(path)
        if found is None:
            raise PathNotFound(f"there is no {path!r}.")
        if isinstance(found, Folder):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return found


class WritableFolder(MountedFolder):
    """The folder, as it is read and written.

    :param prefix: what its paths start with in the store.
    :param limit: bytes up to which a file that is deleted or replaced is brought here for those who have it open.
    """

    def __init__(self, room: Room, tree: LiveTree, say: Say, prefix: str, limit: int) -> None:
        super().__init__(room, tree, say)
        self._live, self._prefix, self._limit = tree, prefix, limit
        # Files put aside from a path that nobody has looked at since: the system looks before it asks for a rename, and
        # libfuse puts aside what is open there in the same breath.
        self._aside: dict[str, OpenFile] = {}

    def describe(self, path: str) -> Attributes:
        self._aside.pop(path, None)
        return super().describe(path)

    def create(self, path: str, *, exclusive: bool = False) -> OpenFile:
        """Open a file that is not there yet."""
        self._check_name(path)
        with self._lock:
            file = OpenFile(self._room, path, self._prefix + path, None, create=exclusive)
            self._files[path] = file
            file.users = 1
            return file

    def sync(self, file: OpenFile) -> None:
        """Bring what was written into the store. Errors are kept in :attr:`lost` until it succeeds."""
        with file.lock:
            try:
                info = file.upload()
            except DatastoresError as error:
                self.lost[file.name] = str(error)
                self._say(f"{self._prefix}{file.name} could not be written: {error}")
                raise
            if info is not None:
                self.lost.pop(file.name, None)
                self._live.put(file.name, info)

    def release(self, file: OpenFile) -> None:
        if file.users == 1 and file.dirty and not file.failure and not file.gone:
            with _ignored():  # written through a memory map after the last close
                self.sync(file)
        super().release(file)
        if file.gone and not file.users:
            for path, other in list(self._aside.items()):
                if other is file:
                    self._aside.pop(path, None)

    def finish(self) -> None:
        for file in list(self._files.values()):
            if not file.failure:
                with _ignored():
                    self.sync(file)

    def truncate(self, path: str, length: int) -> None:
        """Change the length of a file that may not be open."""
        file = self.open(path)
        try:
            file.truncate(length)
            self.sync(file)
        finally:
            self.release(file)

    def unlink(self, path: str) -> None:
        with self._lock:
            file = self._files.get(path)
        if file is None:
            self._find_file(path)
        elif file.gone:
            return  # whoever has it open lets it go
        self._detach(path, lambda: self._room.store.delete(self._prefix + path))
        self.lost.pop(path, None)
        self._live.remove(path)

    def _put_aside(self, old: str, new: str) -> None:
        """Delete a file that is open, or just was; until it is closed it has another name, which nobody sees."""
        with self._lock:
            file = self._files.get(old)
        self.unlink(old)
        if file is not None:
            with self._lock:
                file.name = new
                if file.users:
                    self._files[new] = file
                    self._aside[old] = file

    def _put_back(self, file: OpenFile, path: str) -> None:
        """Store a file again that was put aside for another one, which could not take its place."""
        try:
            info = file.restore(self._prefix + path)
        except PathExists:  # it has been replaced
            self._live.forget(path)
        except DatastoresError as error:
            self.lost[path] = str(error)
            self._say(
                f"{self._prefix}{path} is lost, as nothing could be renamed to it nor it be written again: {error}"
            )
        else:
            self._live.put(path, info)

    def make_folder(self, path: str) -> None:
        self._check_name(path)
        self._room.store.check_path(f"{self._prefix}{path}/x")
        if self._tree.find(path) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self._live.make(path)

    def remove_folder(self, path: str) -> None:
        self._check_empty(path)
        self._live.drop(path)

    def rename(self, old: str, new: str) -> None:
        with self._lock:
            file = self._files.get(old)
        if _PUT_ASIDE.fullmatch(new):
            self._put_aside(old, new)
            return
        replaced = self._aside.pop(new, None)
        try:
            self._check_name(new)
            if file is None and isinstance(self._tree.find(old), Folder):
                self._rename_folder(old, new)
            else:
                self._rename_file(old, new)
        except (DatastoresError, OSError):
            if replaced is not None:
                self._put_back(replaced, new)
            raise

    def _rename_file(self, old: str, new: str) -> None:
        store, source, target = self._room.store, self._prefix + old, self._prefix + new
        file = self.open(old)
        try:
            self.sync(file)
            with file.lock:
                version = file.version
                assert version is not None
                self._detach(new, lambda: None)
                etag = self._copy(version, target)
                store.delete(source)
                moved = ObjectInfo(target, version.size, etag, file.modified or datetime.now(UTC))
                self._live.put(new, moved)
                self._live.remove(old)
                with self._lock:
                    self._files.pop(old, None)
                    self._files[new] = file
                    file.moved(new, moved)
                self.lost.pop(new, None)
        finally:
            self.release(file)

    def _rename_folder(self, old: str, new: str) -> None:
        store, source, target = self._room.store, f"{self._prefix}{old}/", f"{self._prefix}{new}/"
        self._check_empty(new)
        with self._lock:
            inside = [file for name, file in self._files.items() if name.startswith(f"{old}/")]
        for file in inside:
            self.sync(file)
        found = list(store.list(source))
        if found and store.features.replace_directory:
            store.replace_directory(source[:-1], target[:-1])
        elif not found or not self._renamed(source[:-1], target[:-1]):
            self._copy_all(found, source, target)
            delete_all(store, [info.path for info in found])
        self._live.move(old, new)
        for file in inside:
            name = f"{new}/{file.name[len(old) + 1 :]}"
            info = None if file.gone else store.stat(self._prefix + name)
            with self._lock:
                self._files.pop(file.name, None)
                self._files[name] = file
                file.moved(name, info)

    def _renamed(self, source: str, target: str) -> bool:
        """Whether the store could rename the folder; an empty one in the way is not put out of it."""
        store = self._room.store
        if not store.features.directories:
            return False
        try:
            store.rename_directory(source, target)
        except PathExists:
            return False
        return True

    def _check_empty(self, path: str) -> None:
        """:raises OSError: there is something in the folder, if there is one."""
        if self._live.find(path) is not None and self.entries(path):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))

    def _copy_all(self, found: list[ObjectInfo], source: str, target: str) -> None:
        """Copy, all or nothing."""
        copies = [target + info.path[len(source) :] for info in found]
        try:
            for_each(lambda pair: self._copy(pair[0].version, pair[1]), list(zip(found, copies, strict=True)))
        except BaseException:
            delete_all(self._room.store, copies)
            raise

    def _copy(self, version: Version, target: str) -> str:
        store = self._room.store
        if store.can_copy_from(store):
            return store.copy_from(store, version.path, target, if_match=version.etag)
        return store.write(target, store.read(version.path, if_match=version.etag), size=version.size)

    def _detach(self, path: str, delete: Callable[[], None]) -> None:
        """Keep a file for those who have it open, while its object goes."""
        with self._lock:
            file = self._files.get(path)
        if file is None:
            delete()
            return
        with file.lock:
            if file.size <= self._limit:
                file.load()
            delete()
            file.gone = True
        with self._lock:
            if self._files.get(path) is file:
                del self._files[path]

    def _check_name(self, path: str) -> None:
        if self._live.is_hidden(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        self._room.store.check_path(self._prefix + path)


@contextmanager
def _ignored() -> Iterator[None]:
    """For errors that are kept and said elsewhere."""
    try:
        yield
    except DatastoresError:
        return
