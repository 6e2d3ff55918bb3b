"""Stores to move files between in tests: one in memory, and one that watches, delays or breaks another."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from airflow_azureml_datastores.core.manifest import STAGING
from airflow_azureml_datastores.core.place import OpenDatastore, Place
from airflow_azureml_datastores.core.store import Features, FileStore, ObjectInfo
from airflow_azureml_datastores.errors import Changed, PathExists, PathNotFound

_names = itertools.count()
_etags = itertools.count(1)


@dataclass(frozen=True)
class _Object:
    content: bytes
    etag: str
    modified: datetime


class MemoryStore(FileStore):
    """A store in memory; like Blob storage as it stands.

    :param features: what it can do; how it behaves follows from them.
    :param chunk: bytes per chunk of a read.
    :param page: objects per page of a listing, which sees what changes ahead of it and not what changes behind it.
    """

    def __init__(self, features: Features | None = None, *, chunk: int = 1 << 20, page: int = 1000) -> None:
        self.features = features or Features(server_side_copy=True, any_name=True)
        self._url = f"memory://{next(_names)}"
        self._chunk = chunk
        self._page = page
        self._objects: dict[str, _Object] = {}
        self._folders: set[str] = set()
        self.takes_rights = True
        """Whether a folder can be made like another one, if there are folders."""
        self._lock = threading.RLock()

    @property
    def url(self) -> str:
        return self._url

    def check(self) -> None:
        pass

    def check_path(self, path: str) -> None:
        pass

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        last = ""
        while True:
            with self._lock:
                paths = sorted(p for p in self._objects if p.startswith(prefix) and p > last)[: self._page]
                infos = [self.stat(path) for path in paths]
            if not infos:
                return
            yield from infos
            last = paths[-1]

    def stat(self, path: str) -> ObjectInfo:
        found = self._find(path)
        return ObjectInfo(path, len(found.content), found.etag, found.modified)

    def read(
        self, path: str, *, start: int = 0, length: int | None = None, if_match: str | None = None
    ) -> Iterator[bytes]:
        found = self._find(path)
        if if_match is not None and found.etag != if_match:
            raise Changed(f"{path!r} is not the version {if_match}.")
        content = found.content[start : None if length is None else start + length]
        for at in range(0, len(content), self._chunk):
            yield content[at : at + self._chunk]

    def write(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        size: int | None = None,
        create: bool = False,
        if_match: str | None = None,
    ) -> str:
        content = b"".join(chunks)
        with self._lock:
            there = self._objects.get(path)
            if create and there is not None:
                raise PathExists(f"there is already {path!r}.")
            if if_match is not None and (there is None or there.etag != if_match):
                raise Changed(f"{path!r} is not the version {if_match}.")
            self._make_folders(path)
            self._objects[path] = _Object(content, f"e{next(_etags)}", datetime.now(UTC))
            return self._objects[path].etag

    def delete(self, path: str) -> None:
        with self._lock:
            self._objects.pop(path, None)

    def can_copy_from(self, source: FileStore) -> bool:
        return self.features.server_side_copy and isinstance(source, MemoryStore)

    def copy_from(
        self, source: FileStore, source_path: str, path: str, *, if_match: str | None = None, create: bool = False
    ) -> str:
        return self.write(path, source.read(source_path, if_match=if_match), create=create)

    def replace_directory(self, staged: str, target: str) -> None:
        with self._lock:
            moved = {p: o for p, o in self._objects.items() if p.startswith(f"{staged}/")}
            if not moved:
                raise PathNotFound(f"there is no folder {staged!r}.")
            for path in [p for p in self._objects if p.startswith((f"{staged}/", f"{target}/"))]:
                del self._objects[path]
            self._objects |= {target + path[len(staged) :]: found for path, found in moved.items()}

    def make_directory_like(self, path: str, model: str) -> bool:
        self._make_folders(f"{path}/")
        return self.takes_rights

    def rename_directory(self, source: str, target: str) -> None:
        with self._lock:
            if source not in self._folders:
                raise PathNotFound(f"there is no folder {source!r}.")
            if target in self._folders or target in self._objects:
                raise PathExists(f"there is already {target!r}.")
            self._make_folders(target)
            for kept in (self._objects, self._folders):
                for path in [p for p in kept if f"{p}/".startswith(f"{source}/")]:
                    new = target + path[len(source) :]
                    if isinstance(kept, dict):
                        kept[new] = kept.pop(path)
                    else:
                        kept.remove(path)
                        kept.add(new)

    def delete_directory(self, path: str) -> None:
        with self._lock:
            self._objects = {p: found for p, found in self._objects.items() if not p.startswith(f"{path}/")}
            self._folders = {p for p in self._folders if not f"{p}/".startswith(f"{path}/")}

    def _make_folders(self, path: str) -> None:
        if self.features.directories:
            self._folders |= {path[:at] for at, char in enumerate(path) if char == "/"}

    def twin(self) -> MemoryStore:
        """Another store with the same objects, in the same versions."""
        twin = MemoryStore(self.features, chunk=self._chunk, page=self._page)
        twin._objects, twin._folders, twin.takes_rights = dict(self._objects), set(self._folders), self.takes_rights
        return twin

    def touch(self, path: str, modified: datetime) -> None:
        """Let an object look as if it had changed at another time."""
        self._objects[path] = replace(self._objects[path], modified=modified)

    def _find(self, path: str) -> _Object:
        with self._lock:
            if path not in self._objects:
                raise PathNotFound(f"there is no {path!r}.")
            return self._objects[path]


RENAMING = Features(server_side_copy=True, directories=True)
SWAPPING = Features(server_side_copy=True, replace_directory=True, any_name=True)
STREAMING = Features(any_name=True)

Hook = Callable[[str, str], None]


class Watched(FileStore):
    """Another store, of whose calls somebody is told.

    :param before: is told of each call (its name and path) before it is made, and of each chunk that a ``read`` gives
        (as ``chunk``); what it raises, the call raises.
    :param after: is told of each call once it has been done, but before the caller hears of it.
    :param listed: whether ``before`` is also told of each object of a listing (as ``listed``), once it was given.
    """

    def __init__(
        self, inner: FileStore, before: Hook | None = None, after: Hook | None = None, *, listed: bool = False
    ) -> None:
        self.inner = inner
        self._listed = listed
        self.features = inner.features
        self.before = before or (lambda call, path: None)
        self.after = after or (lambda call, path: None)

    @property
    def url(self) -> str:
        return self.inner.url

    def check(self) -> None:
        self.inner.check()

    def check_path(self, path: str) -> None:
        self.inner.check_path(path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self.before("list", prefix)
        for info in self.inner.list(prefix):
            yield info
            if self._listed:
                self.before("listed", info.path)

    def stat(self, path: str) -> ObjectInfo:
        self.before("stat", path)
        return self.inner.stat(path)

    def read(
        self, path: str, *, start: int = 0, length: int | None = None, if_match: str | None = None
    ) -> Iterator[bytes]:
        self.before("read", path)
        for chunk in self.inner.read(path, start=start, length=length, if_match=if_match):
            self.before("chunk", path)
            yield chunk

    def write(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        size: int | None = None,
        create: bool = False,
        if_match: str | None = None,
    ) -> str:
        self.before("write", path)
        etag = self.inner.write(path, chunks, size=size, create=create, if_match=if_match)
        self.after("write", path)
        return etag

    def delete(self, path: str) -> None:
        self.before("delete", path)
        self.inner.delete(path)
        self.after("delete", path)

    def can_copy_from(self, source: FileStore) -> bool:
        return self.inner.can_copy_from(_inner(source))

    def copy_from(
        self, source: FileStore, source_path: str, path: str, *, if_match: str | None = None, create: bool = False
    ) -> str:
        self.before("copy_from", path)
        etag = self.inner.copy_from(_inner(source), source_path, path, if_match=if_match, create=create)
        self.after("copy_from", path)
        return etag

    def replace_directory(self, staged: str, target: str) -> None:
        self.before("replace_directory", target)
        self.inner.replace_directory(staged, target)
        self.after("replace_directory", target)

    def make_directory_like(self, path: str, model: str) -> bool:
        self.before("make_directory_like", path)
        found = self.inner.make_directory_like(path, model)
        self.after("make_directory_like", path)
        return found

    def rename_directory(self, source: str, target: str) -> None:
        self.before("rename_directory", target)
        self.inner.rename_directory(source, target)
        self.after("rename_directory", target)

    def delete_directory(self, path: str) -> None:
        self.before("delete_directory", path)
        self.inner.delete_directory(path)
        self.after("delete_directory", path)

    def close(self) -> None:
        self.inner.close()


def _inner(store: FileStore) -> FileStore:
    return store.inner if isinstance(store, Watched) else store


class PlugPulled(BaseException):
    """The machine is dead: nothing that catches errors may go on."""


_CHANGES = ("write", "delete", "copy_from", "replace_directory")
_CHANGES += ("make_directory_like", "rename_directory", "delete_directory")


class Plug:
    """Dies at the n-th call of a store and stays dead. Use its ``before`` and ``after`` with :class:`Watched`.

    :param at: the call, from 1; None never dies.
    :param done: whether that call still takes effect.
    """

    def __init__(self, at: int | None = None, *, done: bool = False) -> None:
        self.calls: list[tuple[str, str]] = []
        self._at, self._done = at, done
        self._dead = False
        self._dying_in: int | None = None
        self._lock = threading.Lock()

    @property
    def pulled(self) -> bool:
        return self._dead

    def before(self, call: str, path: str) -> None:
        with self._lock:
            if self._dead:
                raise PlugPulled
            self.calls.append((call, path))
            if len(self.calls) == self._at:
                if self._done and call in _CHANGES:
                    self._dying_in = threading.get_ident()
                else:
                    self._dead = True
                    raise PlugPulled

    def after(self, call: str, path: str) -> None:
        with self._lock:
            if self._dead or self._dying_in == threading.get_ident():
                self._dead = True
                raise PlugPulled


class Moved:
    """Counts the objects that a store is given, by path; a hook for :class:`Watched`."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def __call__(self, call: str, path: str) -> None:
        if call in ("write", "copy_from"):
            self.paths.append(path)

    def below(self, folder: str) -> list[str]:
        """The data that went below a folder, our own records left out."""
        return [p for p in self.paths if p.startswith(folder) and not p.endswith("/_manifest.json")]


def opener(**stores: FileStore) -> OpenDatastore:
    """Opens these stores as datastores; ``workspaceblobstore`` is the default."""
    return lambda name: Place(name or "workspaceblobstore", stores[name or "workspaceblobstore"])


def fill(store: FileStore, files: Mapping[str, bytes], folder: str = "") -> None:
    for path, content in files.items():
        store.write(folder + path, [content], size=len(content))


def contents(store: FileStore, folder: str = "") -> dict[str, bytes]:
    """Everything in a folder that is not hidden backstage: path relative to the folder -> content."""
    found = [info.path for info in store.list(folder) if not info.path.startswith(STAGING)]
    return {path[len(folder) :]: b"".join(store.read(path)) for path in found}
