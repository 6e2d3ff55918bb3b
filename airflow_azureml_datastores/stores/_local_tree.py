"""Objects' paths as files below a root folder, and the folders that come and go with them."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable

from airflow_azureml_datastores.core.paths import check_relative, show
from airflow_azureml_datastores.errors import ContainerNotFound, UnsafePath

RESERVED = ".datastore"
"""The name of the folder in which a store keeps its own files; no object can be in a folder of this name."""
MAX_SEGMENTS = 254
"""How many segments a path may have: Blob storage's limit, which also bounds the folders that a listing holds open."""

_PATH_MAX = 1024 if sys.platform == "darwin" else 4096
"""Bytes of a whole path that the system's calls take, the NUL at the end included."""
_ATTEMPTS = 20


class Tree:
    """The files below a root folder, which need not exist.

    :param root: absolute path of the root folder.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self._below = self.root.rstrip("/") + "/"

    def check_root(self) -> None:
        """:raises ContainerNotFound: the root is not there, or is no folder."""
        if not os.path.isdir(self.root):
            raise ContainerNotFound(f"the root folder {self.root!r} does not exist; create it, or correct the path.")

    def join(self, name: str) -> str:
        """A path below the root, unchecked."""
        return self._below + name

    def check_name(self, path: str) -> None:
        """:raises UnsafePath: no object here can have this path, wherever links may lead."""
        check_relative(path)
        if is_reserved(path):
            raise UnsafePath(f"{show(path)} is in a folder {RESERVED!r}, which the store keeps for itself.")
        if path.count("/") >= MAX_SEGMENTS:
            raise UnsafePath(f"{show(path)} has more than {MAX_SEGMENTS} segments.")
        if not self.has_room(path):
            raise UnsafePath(f"{show(path)} is too long below {self.root!r}: files can have {_PATH_MAX - 1} bytes.")

    def has_room(self, path: str, more: int = 0) -> bool:
        """Whether the system's calls take the file of this path with so many bytes more."""
        return len(os.fsencode(self.join(path))) + more < _PATH_MAX

    def inside(self, real: str) -> bool:
        """Whether a real path is part of the content: the root or below it, and not reserved."""
        return real == self.root or (real.startswith(self._below) and not is_reserved(real[len(self._below) :]))

    def place(self, path: str) -> str:
        """The file that stands for an object, the folders above it resolved.

        :raises UnsafePath: the path is none that an object can have, or its folder is a link that leads outside.
        """
        self.check_name(path)
        folder, _, name = path.rpartition("/")
        parent = self._real_folder(folder) if folder else self.root
        if not self.inside(parent):
            raise UnsafePath(f"{show(path)} leads out of {self.root!r} by a symbolic link.")
        return os.path.join(parent, name)

    def _real_folder(self, folder: str) -> str:
        """What realpath() says, in a third of the time where there are no links."""
        real = self.root.rstrip("/")
        for name in folder.split("/"):
            real = f"{real}/{name}"
            try:
                if stat.S_ISLNK(os.lstat(real).st_mode):
                    return os.path.realpath(self.join(folder))
            except OSError:  # nothing there, or not to be seen: whoever opens it will be told
                return self.join(folder)
        return real

    def find(self, path: str, place: str) -> os.stat_result | None:
        """The object at ``place(path)``; None if there is none (a folder is none).

        :raises UnsafePath: it is a link that leads outside, or a device, socket or the like.
        """
        try:
            found = os.lstat(place)
            if stat.S_ISLNK(found.st_mode):
                if not self.inside(os.path.realpath(place)):
                    raise UnsafePath(f"{show(path)} leads out of {self.root!r} by a symbolic link.")
                found = os.stat(place)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISREG(found.st_mode):
            return found
        if stat.S_ISDIR(found.st_mode):
            return None
        raise UnsafePath(f"{show(path)} in {self.root!r} is a special file (device, pipe or socket).")

    def check_room(self, path: str, place: str) -> None:
        """:raises UnsafePath: a folder has this name, or an object has the name of a folder above it."""
        if is_folder(place) and not _is_empty(place):
            raise UnsafePath(f"{show(path)} is a folder in {self.root!r}; a file cannot have the same name.")
        folder = os.path.dirname(place)
        while (mode := _mode(folder)) is None and folder != self.root:
            folder = os.path.dirname(folder)
        if mode is not None and not stat.S_ISDIR(mode):
            raise UnsafePath(f"{show(path)} cannot be in {self.root!r}, where {folder!r} is a file and no folder.")

    def rename(self, source: str, place: str, rename: Callable[[str, str], None]) -> set[str]:
        """Rename to a place whose folders may be missing. Returns the folders whose entries changed."""
        changed = {os.path.dirname(place)}
        for _ in range(_ATTEMPTS):
            try:
                rename(source, place)
                return changed
            except FileNotFoundError:
                # Other programs may remove a folder between its creation and the rename: hence the loop.
                changed |= self._make_folders(os.path.dirname(place))
            except (IsADirectoryError, FileExistsError):
                if not is_folder(place):
                    raise
                os.rmdir(place)
        rename(source, place)
        return changed

    def prune(self, folder: str) -> str:
        """Remove a folder and those above it as long as they are empty. Returns the lowest that is left."""
        while folder != self.root:
            try:
                os.rmdir(folder)
            except OSError:  # not empty, or not ours to remove: an empty folder is no object, so it may stay
                break
            folder = os.path.dirname(folder)
        return folder

    def _make_folders(self, folder: str) -> set[str]:
        missing = []
        while not os.path.isdir(folder):
            if folder == self.root:
                self.check_root()
            missing.append(folder)
            folder = os.path.dirname(folder)
        for each in reversed(missing):
            try:
                os.mkdir(each)
            except FileExistsError:
                if not stat.S_ISDIR(_mode(each) or stat.S_IFDIR):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), each) from None
        return {os.path.dirname(each) for each in missing}


def is_reserved(path: str) -> bool:
    """Whether a relative path is, or leads through, a reserved folder."""
    return RESERVED in path.casefold().split("/")


def is_folder(path: str) -> bool:
    """Whether there is a folder at a path, and not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _mode(path: str) -> int | None:
    """What is at a path, links followed; in one look, as others may be making and removing it. None is nothing."""
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_empty(folder: str) -> bool:
    try:
        return not os.listdir(folder)
    except FileNotFoundError:
        return True
