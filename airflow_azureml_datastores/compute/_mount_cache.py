"""What a mount has read, on disk, within bounds; and reading through that."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import FileStore, Version
from airflow_azureml_datastores.errors import Unavailable

BLOCK = 4 << 20
"""Bytes of a file that are asked for at once."""
AHEAD = 4
"""Blocks that are asked for before they are wanted, of a file that is read from front to back."""

Key = tuple[str, str, int | None]
"""An object's path, its etag, and the number of the block; None is the whole object."""


class DiskCache:
    """Pieces of objects as files of a folder; those not used for longest go first.

    It never has more of the disk than it leaves free for others.

    :param folder: an empty folder of its own.
    :param limit: bytes that all pieces together have at most.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._lock = threading.Lock()
        self._pieces: OrderedDict[Key, tuple[Path, int]] = OrderedDict()
        self._numbers = itertools.count()
        self.used = 0

    def new_path(self) -> Path:
        """A path for a file that :meth:`adopt` may take."""
        return self._folder / str(next(self._numbers))

    def read(self, key: Key, start: int, length: int) -> bytes | None:
        """Bytes of a piece; None if it is not there."""
        with self._lock:
            found = self._pieces.get(key)
            if found is None:
                return None
            self._pieces.move_to_end(key)
            fd = os.open(found[0], os.O_RDONLY)
        try:
            return os.pread(fd, length, start)
        finally:
            os.close(fd)

    def has(self, key: Key) -> bool:
        return key in self._pieces

    def put(self, key: Key, content: bytes) -> bool:
        """Keep a piece. Returns whether there was room."""
        if not self._reserve(len(content)):
            return False
        path = self.new_path()
        try:
            path.write_bytes(content)
        except OSError:  # the disk is full, whatever the limit says
            path.unlink(missing_ok=True)
            with self._lock:
                self.used -= len(content)
            return False
        self._enter(key, path, len(content))
        return True

    def adopt(self, key: Key, path: Path) -> None:
        """Take over a file of :meth:`new_path` as a piece; it is removed if there is no room."""
        size = path.stat().st_size
        if self._reserve(size):
            self._enter(key, path, size)
        else:
            path.unlink()

    def take(self, key: Key) -> Path | None:
        """Give a piece's file away; None if it is not there."""
        with self._lock:
            path, size = self._pieces.pop(key, (None, 0))
            self.used -= size
            return path

    def _reserve(self, size: int) -> bool:
        with self._lock:
            limit = min(self._limit, (self.used + shutil.disk_usage(self._folder).free) // 2)
            if size > limit:
                return False
            while self._pieces and self.used + size > limit:
                self._drop(next(iter(self._pieces)))
            if self.used + size > limit:  # all of it is being written just now
                return False
            self.used += size
            return True

    def _enter(self, key: Key, path: Path, size: int) -> None:
        with self._lock:
            self._drop(key)
            self._pieces[key] = (path, size)

    def _drop(self, key: Key) -> None:
        path, size = self._pieces.pop(key, (None, 0))
        if path is not None:
            self.used -= size
            path.unlink()


class Reader:
    """Reads one version of an object in any order, block by block, through the cache.

    :param pool: fetches blocks before they are wanted.
    """

    def __init__(self, store: FileStore, version: Version, cache: DiskCache, pool: ThreadPoolExecutor) -> None:
        self._store, self.version, self._cache, self._pool = store, version, cache, pool
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._last, self._window = -1, 0

    def read(self, start: int, length: int) -> bytes:
        """Bytes from an offset on; fewer at the end. :raises Changed: the object is another version by now."""
        end = min(start + length, self.version.size)
        parts = []
        while start < end:
            number, offset = divmod(start, BLOCK)
            part = self._piece(number, offset, min(end - start, BLOCK - offset))
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _piece(self, number: int, offset: int, length: int) -> bytes:
        path, etag = self.version.path, self.version.etag
        found = self._cache.read((path, etag, None), number * BLOCK + offset, length)
        if found:
            return found
        found = self._cache.read((path, etag, number), offset, length)
        if found is None:
            found = self._block(number)[offset : offset + length]
        self._look_ahead(number)
        return found

    def _block(self, number: int) -> bytes:
        with self._lock:
            coming = self._blocks.get(number)
            mine = coming is None
            if coming is None:
                coming = self._expect(number)
        if mine:
            self._fetch(number, coming)
        return coming.result()

    def _expect(self, number: int) -> Future[bytes]:
        """Make room for a block that is going to be fetched; call with the lock held."""
        coming: Future[bytes] = Future()
        self._blocks[number] = coming
        while len(self._blocks) > AHEAD + 2:
            self._blocks.popitem(last=False)
        return coming

    def _fetch(self, number: int, coming: Future[bytes]) -> None:
        path, start = self.version.path, number * BLOCK
        length = min(BLOCK, self.version.size - start)
        try:
            content = b"".join(self._store.read(path, start=start, length=length, if_match=self.version.etag))
            if len(content) != length:
                raise Unavailable(f"{show(path)} in {self._store.url}: {len(content)} bytes of {length} came.")
            kept = self._cache.put((path, self.version.etag, number), content)
        except BaseException as error:
            self._forget(number, coming)
            coming.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            if kept:
                self._forget(number, coming)
            coming.set_result(content)

    def _forget(self, number: int, coming: Future[bytes]) -> None:
        with self._lock:
            if self._blocks.get(number) is coming:
                del self._blocks[number]

    def _look_ahead(self, number: int) -> None:
        with self._lock:
            if number == self._last:
                return
            self._window = min(max(1, self._window * 2), AHEAD) if number == self._last + 1 else 0
            self._last = number
            last = -(-self.version.size // BLOCK) - 1
            wanted = [
                (each, self._expect(each))
                for each in range(number + 1, min(number + self._window, last) + 1)
                if each not in self._blocks and not self._cache.has((self.version.path, self.version.etag, each))
            ]
        for each, coming in wanted:
            self._pool.submit(self._fetch, each, coming)
