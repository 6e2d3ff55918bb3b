"""Runs moves: many at once, within a fixed budget of memory, each whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import xxhash
from tenacity import (
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_random_exponential,
)

from airflow_azureml_datastores.core.manifest import Entry
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import FileStore, Version
from airflow_azureml_datastores.errors import Changed, Unavailable
from airflow_azureml_datastores.transfer.plan import Move
from airflow_azureml_datastores.transfer.progress import Progress

T = TypeVar("T")
R = TypeVar("R")

WORKERS = 32
"""Files in flight: hides the latency of many small ones."""
MEMORY = 64 * 1024 * 1024
"""Bytes in flight, over all files."""
_FILE_SHARE = 32 * 1024 * 1024
"""What one large file holds at the most: its parts being read and written."""
_ATTEMPTS = 4
_WAIT = 0.5
"""Seconds up to which the first wait for a service may take; each further one twice as long."""


class ByteBudget:
    """A semaphore of bytes: memory in use does not depend on how large or how many the files are."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        """Hold so many bytes, at most the total, waiting until they are free."""
        size = min(size, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()


class _Stopped(Exception):
    """Another file has failed, or the task is being ended: this file is broken off between two chunks."""


def run_moves(
    source: FileStore,
    target: Place,
    moves: Sequence[Move],
    *,
    arrived: Callable[[Entry], None],
    progress: Progress,
    create: bool = False,
) -> None:
    """Deliver files. On the first error no more are begun, those in flight are broken off, and the error is raised.

    :param target: the folder that the moves' paths are relative to.
    :param arrived: called for each delivered file, from many threads.
    :param create: never replace an object that is there, unless the move says so.
    :raises Changed: a source is no longer the version that was asked for.
    :raises PathNotFound: a source is gone.
    :raises PathExists: ``create`` and there is an object.
    """
    budget = ByteBudget(MEMORY)
    stop = threading.Event()
    waiting, turn = iter(moves), threading.Lock()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while not stop.is_set():
                with turn:
                    move = next(waiting, None)
                if move is None:
                    return
                with budget.held(min(move.source.size, _FILE_SHARE)):
                    arrived(_deliver(source, target, move, progress, create and not move.replaces, stop))
        except _Stopped:
            return
        except BaseException as error:
            errors.append(error)
            stop.set()
            raise

    threads = min(WORKERS, len(moves))
    if not threads:
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="transfer") as pool:
        try:
            wait([pool.submit(work) for _ in range(threads)])
        finally:
            stop.set()
    if errors:
        raise errors[0]


def _deliver(
    source: FileStore, target: Place, move: Move, progress: Progress, create: bool, stop: threading.Event
) -> Entry:
    """Move one file, again from its beginning if the service fails in between."""
    retry = Retrying(
        retry=retry_if_exception_type(Unavailable),
        stop=stop_after_attempt(_ATTEMPTS) | stop_when_event_set(stop),
        wait=wait_random_exponential(multiplier=_WAIT, max=20),
        sleep=sleep_using_event(stop),
        reraise=True,
    )
    return retry(_deliver_once, source, target, move, progress, create, stop)


def _deliver_once(
    source: FileStore, target: Place, move: Move, progress: Progress, create: bool, stop: threading.Event
) -> Entry:
    if stop.is_set():
        raise _Stopped
    taken, path = move.source, target.at(move.path).path
    if target.store.can_copy_from(source):
        etag = target.store.copy_from(source, taken.path, path, if_match=taken.etag, create=create)
        progress.moved(taken.size, files=1)
        return Entry(move.path, taken.size, etag, taken.path, taken.etag)
    stream = _Stream(source, move, progress, stop)
    try:
        etag = target.store.write(path, stream, size=taken.size, create=create)
    except BaseException:
        progress.moved(-stream.size)
        raise
    progress.moved(0, files=1)
    return Entry(move.path, taken.size, etag, taken.path, taken.etag, _as_text(stream.digest))


class _Stream:
    """A source's bytes on their way: counted, digested, and broken off before the end if their number is wrong."""

    def __init__(self, source: FileStore, move: Move, progress: Progress, stop: threading.Event) -> None:
        self.digest = xxhash.xxh3_128()
        self.size = 0
        self._source, self._taken, self._progress, self._stop = source, move.source, progress, stop

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._source.read(self._taken.path, if_match=self._taken.etag):
            if self._stop.is_set():
                raise _Stopped
            self.digest.update(chunk)
            self.size += len(chunk)
            self._progress.moved(len(chunk))
            if self.size > self._taken.size:
                raise Changed(f"{self._taken.path!r} gave more than the {self._taken.size} bytes that were listed.")
            yield chunk
        if self.size != self._taken.size:
            raise Changed(f"{self._taken.path!r} gave {self.size} bytes where {self._taken.size} were listed.")


def content_digest(store: FileStore, version: Version) -> str:
    """The digest of what is there, as entries of a manifest have it. :raises Changed: it is another version."""
    digest = xxhash.xxh3_128()
    for chunk in store.read(version.path, if_match=version.etag):
        digest.update(chunk)
    return _as_text(digest)


def _as_text(digest: xxhash.xxh3_128) -> str:
    return f"xxh128:{digest.hexdigest()}"


def for_each(do: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Call for each item, many at once. Returns the results in the items' order; the first error is raised."""
    threads = min(WORKERS, len(items))
    if threads < 2:
        return list(map(do, items))
    with ThreadPoolExecutor(threads, thread_name_prefix="transfer") as pool:
        return list(pool.map(do, items))


def delete_all(store: FileStore, paths: Sequence[str]) -> None:
    """Delete objects, many at once."""
    for_each(store.delete, paths)


def delete_folder(store: FileStore, path: str) -> None:
    """Delete all that is in a folder, and the folder itself where it is a thing of its own.

    :param path: with a trailing slash.
    """
    if store.features.directories:
        store.delete_directory(path.rstrip("/"))
    else:
        delete_all(store, [info.path for info in store.list(path)])
