"""Short words for what most contract tests do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import DatastoresError, UnsafePath

MIB = 1 << 20

T = TypeVar("T")


def put(
    store: FileStore, path: str, content: bytes = b"x", *, create: bool = False, if_match: str | None = None
) -> str:
    return store.write(path, [content], size=len(content), create=create, if_match=if_match)


def get(
    store: FileStore, path: str, *, start: int = 0, length: int | None = None, if_match: str | None = None
) -> bytes:
    return b"".join(store.read(path, start=start, length=length, if_match=if_match))


def holds(store: FileStore, path: str) -> bool:
    """Whether the store can hold an object of this name."""
    try:
        store.check_path(path)
    except UnsafePath:
        return False
    return True


def paths(store: FileStore, prefix: str = "") -> list[str]:
    return [info.path for info in store.list(prefix)]


def fill(store: FileStore, names: Iterable[str], content: bytes = b"x") -> None:
    """Write many small objects from several threads."""
    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(put, store, name, content) for name in names]:
            done.result()


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make all calls at the same time, each in a thread of its own; results in their order, the first error raised."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [done.result() for done in [pool.submit(run, call) for call in calls]]


def attempt(call: Callable[[], T]) -> Callable[[], T | DatastoresError]:
    """The call's result, or the error of ours that it raised."""

    def made() -> T | DatastoresError:
        try:
            return call()
        except DatastoresError as error:
            return error

    return made
