"""List a folder of this machine as an object store lists its names."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

from airflow_azureml_datastores.core.paths import MAX_NAME_BYTES, check_relative, show
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import UnsafePath
from airflow_azureml_datastores.stores._local_tree import MAX_SEGMENTS, RESERVED, Tree, is_reserved
from airflow_azureml_datastores.stores._posix import etag, modified, os_errors, try_lock

log = logging.getLogger(__name__)

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_Found = tuple[str, bool, os.DirEntry[str]]
"""What an entry sorts by, whether it is a folder, and the entry."""


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder under way, held open and locked: one that is replaced is not deleted while somebody lists it."""

    fd: int
    path: str
    """Its path in the store with a slash at the end; empty for the root."""
    identity: tuple[int, int]
    entries: Iterator[_Found]


class Listing:
    """One walk below a root in ascending order of full path, a folder at a time.

    Everything is looked up relative to the folders that the walk holds open: where a folder is replaced as a whole, the
    walk goes on in the one that it began with.

    :param tree: the root, which must exist, and what counts as being below it.
    """

    def __init__(self, tree: Tree) -> None:
        self._root = tree.root
        self._tree = tree
        self._stack: list[_Folder] = []

    def walk(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose path starts with this text."""
        *names, begin = prefix.split("/")
        try:
            with os_errors(f"listing {show(prefix)} in {self._root!r}"):
                if self._descend(names, begin):
                    yield from self._objects()
        finally:
            while self._stack:
                os.close(self._stack.pop().fd)

    def _descend(self, names: list[str], begin: str) -> bool:
        """Enter the folders that the prefix spells out; False if one of them is not there."""
        opened = self._push(os.open(self._root, _OPEN_FOLDER), "", None if names else begin)
        if not names:
            return opened
        try:
            check_relative("/".join(names))
        except UnsafePath:
            return False
        if is_reserved("/".join(names)):
            return False
        return all(self._enter(name, None) for name in names[:-1]) and self._enter(names[-1], begin)

    def _objects(self) -> Iterator[ObjectInfo]:
        while self._stack:
            folder = self._stack[-1]
            for _, is_folder, entry in folder.entries:
                if is_folder:
                    self._enter(entry.name, "")
                    break
                info = _describe(folder, entry)
                if info:
                    yield info
            else:
                os.close(self._stack.pop().fd)

    def _enter(self, name: str, begin: str | None) -> bool:
        """Go on in a folder of the present one; False if it is not there (any more).

        :param begin: what its entries' names have to start with; None is for a folder that is only passed through.
        """
        parent = self._stack[-1]
        path = f"{parent.path}{name}/"
        if len(self._stack) >= MAX_SEGMENTS:
            log.warning("not listed: %s in %s is nested deeper than %d folders", show(path), self._root, MAX_SEGMENTS)
            return False
        with os_errors(f"listing {show(path)} in {self._root!r}"):
            fd = self._open(parent, name)
            return fd is not None and self._push(fd, path, begin)

    def _push(self, fd: int, path: str, begin: str | None) -> bool:
        try:
            identity = _identity(os.fstat(fd))
            if any(identity == folder.identity for folder in self._stack):
                log.debug("not listed: %s in %s is a link to a folder above it", show(path), self._root)
                os.close(fd)
                return False
            entries = [] if begin is None else self._scan(fd, path, begin)
        except BaseException:
            os.close(fd)
            raise
        self._stack.append(_Folder(fd, path, identity, iter(entries)))
        return True

    def _open(self, parent: _Folder, name: str) -> int | None:
        while True:
            try:
                fd = os.open(name, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=parent.fd)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP):
                    return self._open_link(f"{parent.path}{name}")
                raise
            # Between the opening and the lock it may have been replaced, and its content deleted.
            try_lock(fd, shared=True)
            try:
                now = _identity(os.stat(name, dir_fd=parent.fd, follow_symlinks=False))
            except FileNotFoundError:
                now = None
            if now == _identity(os.fstat(fd)):
                return fd
            os.close(fd)

    def _open_link(self, path: str) -> int | None:
        real = os.path.realpath(self._tree.join(path))
        if not self._tree.inside(real):
            return None
        try:
            return os.open(real, _OPEN_FOLDER)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise

    def _scan(self, fd: int, path: str, begin: str) -> list[_Found]:
        found: list[_Found] = []
        is_long = not self._tree.has_room(path, MAX_NAME_BYTES)
        with os.scandir(fd) as entries:
            for entry in entries:
                name = entry.name
                if not name.startswith(begin) or not self._is_content(path, name, is_long):
                    continue
                if entry.is_symlink():
                    real = os.path.realpath(self._tree.join(path + name))
                    if not self._tree.inside(real) or not os.path.exists(real):
                        log.debug("not listed: %s in %s is a link to outside or nowhere", show(path + name), self._root)
                        continue
                    is_folder = os.path.isdir(real)
                else:
                    is_folder = entry.is_dir(follow_symlinks=False)
                found.append((name + "/" if is_folder else name, is_folder, entry))
        found.sort(key=itemgetter(0))
        return found

    def _is_content(self, path: str, name: str, is_long: bool) -> bool:
        if name.casefold() == RESERVED:
            return False
        if not is_long and name.isascii() and "\\" not in name and ":" not in name:
            return True
        try:
            self._tree.check_name(path + name)
        except UnsafePath as error:
            log.warning("not listed in %s: %s", self._root, error)
            return False
        return True


def _describe(folder: _Folder, entry: os.DirEntry[str]) -> ObjectInfo | None:
    try:
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            found = os.stat(entry.name, dir_fd=folder.fd)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return ObjectInfo(folder.path + entry.name, found.st_size, etag(found), modified(found))


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
