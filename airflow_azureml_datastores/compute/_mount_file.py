"""A file of a mount while it is open: read from the store, or staged on disk once somebody changes it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from airflow_azureml_datastores.compute._mount_cache import DiskCache, Reader
from airflow_azureml_datastores.core.store import FileStore, ObjectInfo, Version
from airflow_azureml_datastores.errors import DatastoresError

_CHUNK = 4 << 20


@dataclass(frozen=True)
class Room:
    """What the files of a mount share.

    :param store: where they are.
    :param cache: holds what was read.
    :param pool: reads ahead.
    """

    store: FileStore
    cache: DiskCache
    pool: ThreadPoolExecutor


class OpenFile:
    """A file, the same for all who have it open.

    The first change brings the whole content to a file on disk, which is what everybody reads and writes from then on;
    :meth:`upload` makes that the object's content.

    :param name: its path in the mount.
    :param path: in the store.
    :param found: what is there; None is nothing yet.
    :param create: nobody else may have made it in the meantime.
    """

    def __init__(self, room: Room, name: str, path: str, found: ObjectInfo | None, *, create: bool = False) -> None:
        self._room = room
        self.name, self.path = name, path
        self.version = found.version if found else None
        self._modified = found.modified if found else None
        self.users = 0
        self.gone = False
        """Whether it has been deleted, or another file has its name: then it is nowhere but here."""
        self.dirty = False
        """Whether there is something that the store does not have."""
        self.outdated = False
        """Whether somebody has been told that the store has another version."""
        self.failure: DatastoresError | None = None
        """Why the last upload failed, of what has not been written to since."""
        self.lock = threading.RLock()
        """Held while the content is brought here, changed or uploaded."""
        self._create = create
        self._blind = False  # whether what was in the store is replaced, not changed: then it may be any version
        self._reader = Reader(room.store, self.version, room.cache, room.pool) if self.version else None
        self._stage: tuple[int, Path] | None = None
        if found is None:
            with self.lock:
                self._replace()

    @property
    def size(self) -> int:
        """Bytes, as they are here."""
        stage = self._stage
        if stage is not None:
            return os.fstat(stage[0]).st_size
        return self.version.size if self.version else 0

    @property
    def modified(self) -> datetime | None:
        stage = self._stage
        if stage is not None and (self.dirty or self._modified is None):
            return datetime.fromtimestamp(os.fstat(stage[0]).st_mtime, UTC)
        return self._modified

    @property
    def is_staged(self) -> bool:
        return self._stage is not None

    def read(self, start: int, length: int) -> bytes:
        """Bytes from an offset on. :raises Changed: the object is another version than when the file was opened."""
        stage = self._stage
        if stage is None:
            reader = self._reader
            if reader is not None:
                return reader.read(start, length)
            stage = self._staged()
        return os.pread(stage[0], length, start)

    def write(self, data: bytes, start: int) -> int:
        with self.lock:
            fd, _ = self._staged()
            self._touch()
            done = 0
            while done < len(data):
                done += os.pwrite(fd, data[done:], start + done)
            return done

    def truncate(self, length: int) -> None:
        with self.lock:
            if length == 0 and self._stage is None:
                self._replace()
                return
            fd, _ = self._staged()
            self._touch()
            os.ftruncate(fd, length)

    def load(self) -> None:
        """Bring the content here."""
        with self.lock:
            self._staged()

    def upload(self) -> ObjectInfo | None:
        """Give the store what it does not have. Returns what is there now; None if there was nothing to do.

        :raises Changed: somebody else has changed the object since its content was brought here.
        :raises PathExists: somebody else has made it, and nobody was to have.
        """
        with self.lock:
            if not self.dirty or self.gone:
                return None
            size = self.size
            if_match = self.version.etag if self.version and not self._blind else None
            try:
                etag = self._room.store.write(
                    self.path, self._content(), size=size, create=self._create, if_match=if_match
                )
            except DatastoresError as error:
                self.failure = error
                raise
            self._modified = datetime.now(UTC)
            self.version = Version(self.path, size, etag)
            self.dirty = self._create = self._blind = False
            return ObjectInfo(self.path, size, etag, self._modified)

    def restore(self, path: str) -> ObjectInfo:
        """Give the store, at a path where nothing is, the content of a file that is :attr:`gone`."""
        with self.lock:
            size = self.size
            etag = self._room.store.write(path, self._content(), size=size, create=True)
            return ObjectInfo(path, size, etag, datetime.now(UTC))

    def moved(self, name: str, found: ObjectInfo | None) -> None:
        """The object is somewhere else now; None if it is :attr:`gone`. What is staged stays."""
        with self.lock:
            self.name = name
            if found is None:
                return
            self.path, self.version = found.path, found.version
            if self._stage is None:
                self._reader = Reader(self._room.store, found.version, self._room.cache, self._room.pool)

    def close(self) -> None:
        """Let go of what is staged; the cache takes it if the store has the same."""
        with self.lock:
            if self._stage is None:
                return
            fd, path = self._stage
            os.close(fd)
            self._stage = None
            if self.dirty or self.gone or self.version is None:
                path.unlink()
            else:
                self._room.cache.adopt((self.version.path, self.version.etag, None), path)

    def _touch(self) -> None:
        self.dirty, self.failure = True, None

    def _replace(self) -> None:
        """Begin with nothing, whatever there was."""
        self._stage = self._new_stage()
        self._blind = True
        self._touch()

    def _staged(self) -> tuple[int, Path]:
        with self.lock:
            if self._stage is None:
                self._stage = self._load()
            return self._stage

    def _load(self) -> tuple[int, Path]:
        assert self.version is not None
        key = (self.version.path, self.version.etag, None)
        kept = self._room.cache.take(key)
        if kept is not None:
            return os.open(kept, os.O_RDWR), kept
        fd, path = self._new_stage()
        try:
            for chunk in self._room.store.read(self.version.path, if_match=self.version.etag):
                with memoryview(chunk) as view:
                    done = 0
                    while done < len(view):
                        done += os.write(fd, view[done:])
        except BaseException:
            os.close(fd)
            path.unlink()
            raise
        return fd, path

    def _new_stage(self) -> tuple[int, Path]:
        path = self._room.cache.new_path()
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), path

    def _content(self) -> Iterator[bytes]:
        fd, _ = self._staged()
        start = 0
        while chunk := os.pread(fd, _CHUNK, start):
            yield chunk
            start += len(chunk)
