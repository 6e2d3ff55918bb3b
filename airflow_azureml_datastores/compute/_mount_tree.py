"""Objects' paths as a tree of files and folders, as far as it is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Protocol

from airflow_azureml_datastores.core.manifest import STAGING
from airflow_azureml_datastores.core.paths import check_relative, show
from airflow_azureml_datastores.core.store import FileStore, ObjectInfo, Version
from airflow_azureml_datastores.errors import PathNotFound, UnsafePath
from airflow_azureml_datastores.transfer.progress import Say

TRUST = 10.0
"""Seconds for which what a store said is taken for true; a listing ten times as long as it took, if that is longer."""


@dataclass(slots=True)
class File:
    """A file. :param until: monotonic time until which it is taken to be as here."""

    info: ObjectInfo
    until: float


@dataclass(slots=True)
class Folder:
    """A folder.

    :param until: monotonic time until which it is taken to be there.
    :param complete: monotonic time until which its entries are taken for all that there are.
    """

    entries: dict[str, File | Folder] = field(default_factory=dict)
    until: float = 0.0
    complete: float = 0.0


Entries = Mapping[str, File | Folder]


class Tree(Protocol):
    """What is in a mounted folder. Paths are relative to it; "" is the folder itself."""

    def find(self, path: str) -> ObjectInfo | Folder | None:
        """What is at a path; None is nothing."""

    def entries(self, path: str) -> Entries:
        """What is in a folder. :raises PathNotFound: there is none."""


class SourceTree:
    """The files of a source, which stay as they are.

    :param files: relative path -> version.
    :param modified: the time that they are said to be of.
    :raises UnsafePath: a path is none that a file can have, or is a folder's too.
    """

    def __init__(self, files: Mapping[str, Version], modified: datetime) -> None:
        for path in files:
            check_relative(path)
            if clash := next((folder for folder in _folders_above(path) if folder in files), None):
                raise UnsafePath(f"{show(clash)} is a file and a folder in one: no mount can hold both.")
        infos = {path: ObjectInfo(v.path, v.size, v.etag, modified) for path, v in files.items()}
        self._root = _build(infos, (), inf)

    def find(self, path: str) -> ObjectInfo | Folder | None:
        found = _walk(self._root, path)[0]
        return found.info if isinstance(found, File) else found

    def entries(self, path: str) -> Entries:
        found = self.find(path)
        if not isinstance(found, Folder):
            raise PathNotFound(f"there is no folder {show(path)}.")
        return found.entries


class LiveTree:
    """What is below a prefix of a store, asked for when it is needed and then trusted for some seconds.

    What changes through the mount has to be told to it: :meth:`put`, :meth:`remove`, :meth:`make`, :meth:`drop`,
    :meth:`move`.

    :param prefix: what all paths start with in the store: "" or a folder with its slash.
    :param say: is told of objects that cannot be shown as files.
    """

    def __init__(self, store: FileStore, prefix: str, say: Say) -> None:
        self._store, self._prefix, self._say = store, prefix, say
        self._lock = threading.Lock()
        self._listing = threading.Lock()
        self._root = Folder(until=inf)
        # Folders that are there even if no object is in them: path -> names of such folders in it.
        self._kept: dict[str, set[str]] = {"": set()}
        self._meanwhile: list[Callable[[Folder], object]] | None = None
        self._told = False

    def find(self, path: str) -> ObjectInfo | Folder | None:
        if self.is_hidden(path):
            return None
        with self._lock:
            found, sure = _walk(self._root, path)
            if path in self._kept and not isinstance(found, Folder):
                return Folder()
        if not sure and path not in self._kept:
            return self._ask(path, was_folder=isinstance(found, Folder))
        return found.info if isinstance(found, File) else found

    def entries(self, path: str) -> Entries:
        with self._listing:
            with self._lock:
                found = _walk(self._root, path)[0]
            if not isinstance(found, Folder) or found.complete <= time.monotonic():
                self._list(path)
        with self._lock:
            found = _walk(self._root, path)[0]
            there = found.entries if isinstance(found, Folder) else {}
            if not there and path not in self._kept:
                raise PathNotFound(f"there is no folder {show(path)}.")
            return {**{name: Folder() for name in self._kept.get(path, ())}, **there}

    def is_hidden(self, path: str) -> bool:
        """Whether a path is in the datastore's folder for what is not visible yet."""
        return f"{self._prefix}{path}/".startswith(STAGING) and not self._prefix.startswith(STAGING)

    def put(self, path: str, info: ObjectInfo) -> None:
        """A file has been written."""
        self._change(lambda root: _add(root, path, info))

    def remove(self, path: str) -> None:
        """A file is gone. Its folder stays, as people expect of folders."""
        with self._lock:
            self._keep(path.rpartition("/")[0])
        self._change(lambda root: _remove(root, path))

    def forget(self, path: str) -> None:
        """A file is not as it was taken to be."""
        with self._lock:
            found = _walk(self._root, path)[0]
            if isinstance(found, File):
                found.until = 0.0
                parent = _walk(self._root, path.rpartition("/")[0])[0]
                if isinstance(parent, Folder):
                    parent.complete = 0.0

    def make(self, path: str) -> None:
        """A folder was made where there was nothing."""
        with self._lock:
            self._keep(path)
        self._change(lambda root: _make(root, path, complete=time.monotonic() + TRUST))

    def drop(self, path: str) -> None:
        """An empty folder is gone."""
        parent, _, name = path.rpartition("/")
        with self._lock:
            self._keep(parent)
            self._kept.pop(path, None)
            self._kept[parent].discard(name)
        self._change(lambda root: _remove(root, path))

    def move(self, old: str, new: str) -> None:
        """A folder has another path now, at which there was nothing."""
        parent, _, name = old.rpartition("/")
        with self._lock:
            below = [path for path in self._kept if f"{path}/".startswith(f"{old}/")]
            for path in below:
                del self._kept[path]
            self._keep(parent)
            self._kept[parent].discard(name)
            for path in (new, *(new + path[len(old) :] for path in below)):
                self._keep(path)
        self._change(lambda root: _remove(root, old))
        self._change(lambda root: _remove(root, new))
        self._change(lambda root: _make(root, new))

    def _keep(self, path: str) -> None:
        self._kept.setdefault(path, set())
        while path:
            parent, _, name = path.rpartition("/")
            self._kept.setdefault(parent, set()).add(name)
            path = parent

    def _change(self, apply: Callable[[Folder], object]) -> None:
        """Change the tree, and one that is about to take its place."""
        with self._lock:
            apply(self._root)
            if self._meanwhile is not None:
                self._meanwhile.append(apply)

    def _ask(self, path: str, *, was_folder: bool) -> ObjectInfo | Folder | None:
        """Ask the store what is at a path: one request if it is a file, or a folder still."""
        if was_folder and self._has_any(path):
            return self._found_folder(path)
        try:
            info = self._store.stat(self._prefix + path)
        except PathNotFound:
            if not was_folder and self._has_any(path):
                return self._found_folder(path)
            with self._lock:
                _remove(self._root, path)
            return None
        with self._lock:
            _add(self._root, path, info)
        return info

    def _has_any(self, path: str) -> bool:
        return next(iter(self._store.list(f"{self._prefix}{path}/")), None) is not None

    def _found_folder(self, path: str) -> Folder:
        with self._lock:
            return _make(self._root, path)

    def _list(self, path: str) -> None:
        """List a folder with all that is below; call with the lock of listings held."""
        with self._lock:
            self._meanwhile = []
        try:
            listed = self._listed(f"{self._prefix}{path}/" if path else self._prefix)
        except BaseException:
            with self._lock:
                self._meanwhile = None
            raise
        with self._lock:
            if path:
                parent, _, name = path.rpartition("/")
                if listed.entries:
                    _make(self._root, parent).entries[name] = listed
                elif path not in self._kept:
                    _remove(self._root, path)
                else:
                    _make(self._root, path).entries = {}
                    _make(self._root, path, complete=listed.complete)
            else:
                self._root = listed
            for apply in self._meanwhile or ():
                apply(self._root)
            self._meanwhile = None

    def _listed(self, prefix: str) -> Folder:
        infos: dict[str, ObjectInfo] = {}
        folders: set[str] = set()
        odd: list[str] = []
        began = time.monotonic()
        for info in self._store.list(prefix):
            path = info.path[len(prefix) :]
            if not path or self.is_hidden(info.path[len(self._prefix) :]):
                continue
            name = path.removesuffix("/")  # empty objects so named stand for folders, with some tools
            if not _is_name(name) or (name != path and info.size):
                odd.append(info.path)
            elif name != path:
                folders.update((name, *_folders_above(name)))
            else:
                infos[path] = info
                folders.update(_folders_above(path))
        odd += [prefix + path for path in folders & infos.keys()]
        self._tell_of(odd)
        took = time.monotonic() - began
        return _build(
            {path: info for path, info in infos.items() if path not in folders}, folders, began + max(TRUST, 10 * took)
        )

    def _tell_of(self, odd: list[str]) -> None:
        if odd and not self._told:
            self._told = True
            self._say(
                f"{len(odd)} objects in {self._store.url} are not shown, as files cannot have such names, or as a "
                f"folder has the same one: {show(odd[0])}."
            )


def _is_name(path: str) -> bool:
    try:
        check_relative(path)
    except UnsafePath:
        return False
    return True


def _folders_above(path: str) -> Iterator[str]:
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)


def _build(infos: Mapping[str, ObjectInfo], more: set[str] | tuple[()], until: float) -> Folder:
    """A tree of these files, and of more folders; no file has a folder's name."""
    folders = {"": Folder({}, until, until)}

    def folder(path: str) -> Folder:
        if path not in folders:
            parent, _, name = path.rpartition("/")
            folder(parent).entries[name] = folders[path] = Folder({}, until, until)
        return folders[path]

    for path in more:
        folder(path)
    for path, info in infos.items():
        parent, _, name = path.rpartition("/")
        folder(parent).entries[name] = File(info, until)
    return folders[""]


def _walk(root: Folder, path: str) -> tuple[File | Folder | None, bool]:
    """What is at a path as far as is known, and whether that may be trusted."""
    now = time.monotonic()
    here: File | Folder = root
    sure = True
    for name in path.split("/") if path else ():
        if isinstance(here, File):
            return None, sure
        entry = here.entries.get(name)
        sure = here.complete > now
        if entry is None:
            return None, sure
        here, sure = entry, sure or entry.until > now
    return here, sure


def _make(root: Folder, path: str, complete: float = 0.0) -> Folder:
    """The folder of a path, which is there now, with those above it."""
    until = time.monotonic() + TRUST
    here = root
    for name in path.split("/") if path else ():
        entry = here.entries.get(name)
        if not isinstance(entry, Folder):
            entry = here.entries[name] = Folder()
        entry.until = max(entry.until, until)
        here = entry
    here.complete = max(here.complete, complete)
    return here


def _add(root: Folder, path: str, info: ObjectInfo) -> None:
    folder, _, name = path.rpartition("/")
    _make(root, folder).entries[name] = File(info, time.monotonic() + TRUST)


def _remove(root: Folder, path: str) -> None:
    folder, _, name = path.rpartition("/")
    parent = _walk(root, folder)[0]
    if isinstance(parent, Folder):
        parent.entries.pop(name, None)
