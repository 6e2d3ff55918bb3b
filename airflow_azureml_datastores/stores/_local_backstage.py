"""Where a local store keeps what is no content: drafts of objects, replaced folders, and the writers' lock."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from airflow_azureml_datastores.stores._posix import locked, try_lock

log = logging.getLogger(__name__)

T = TypeVar("T")

_ATTEMPTS = 20

STALE_AFTER = 24 * 60 * 60.0
"""Seconds without a change after which a draft that nobody has open is taken for the remains of a killed writer."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A version being written. :param fd: its file, open and locked. :param path: where it is until it is renamed."""

    fd: int
    path: str

    def seal(self) -> None:
        """Give the version its modification time."""
        # The kernel's own time stands still for a tick of up to 10 ms: two versions could get the same one.
        now = time.time_ns()
        os.utime(self.fd, ns=(now, now))


class Backstage:
    """The reserved folder of a root. It is made when something is to be written, but never the root itself.

    ``tmp/`` holds a file per draft and a folder per replaced folder; ``lock`` is held by whoever puts an object or
    folder in its place. A folder is in ``tmp/`` on its way somewhere only while that lock is held.

    :param path: the reserved folder.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._tmp = f"{path}/tmp"
        self._swept = False

    def new_path(self) -> str:
        """A path for something that is to be kept out of sight."""
        return f"{self._tmp}/{uuid.uuid4().hex}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other writer of this root from changing what is where. :raises FileNotFoundError: no root."""
        with ExitStack() as held:
            self._made(lambda: held.enter_context(locked(f"{self._path}/lock")))
            yield

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """A new draft; unless it has been renamed it is gone afterwards. :raises FileNotFoundError: no root."""
        path = self.new_path()
        fd = self._made(lambda: os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        try:
            try_lock(fd)
            yield Draft(fd, path)
        finally:
            os.close(fd)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def sweep(self) -> None:
        """Delete replaced folders and the drafts of killed writers. What cannot be deleted is only logged."""
        with self.locked():
            left = list(os.scandir(self._tmp))
        for entry in left:
            try:
                if entry.is_dir(follow_symlinks=False) or entry.stat().st_mtime < time.time() - STALE_AFTER:
                    _delete_unused(entry)
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warning("cannot delete the leftover %s: %s", entry.path, error.strerror)

    def remove(self) -> None:
        """Take the reserved folder away, unless another writer needs it."""
        if os.path.isdir(self._path):
            with self.locked():
                if _remove_empty(self._tmp):
                    os.unlink(f"{self._path}/lock")
                    _remove_empty(self._path)

    def _made(self, use: Callable[[], T]) -> T:
        """Use the reserved folder, made anew if another store removes it in between."""
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                self._make()
                return use()
            if not os.path.isdir(os.path.dirname(self._path)):
                break
        self._make()
        return use()

    def _make(self) -> None:
        if not os.path.isdir(self._tmp):
            for folder in (self._path, self._tmp):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder)
        if not self._swept:
            self._swept = True
            self.sweep()


def _delete_unused(entry: os.DirEntry[str]) -> None:
    """Delete a draft unless its writer lives, a replaced folder unless somebody is still listing it."""
    fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not try_lock(fd):
            return
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    finally:
        os.close(fd)


def _remove_empty(folder: str) -> bool:
    """Remove a folder; False if there is something in it."""
    try:
        os.rmdir(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise
        return error.errno == errno.ENOENT
    return True
