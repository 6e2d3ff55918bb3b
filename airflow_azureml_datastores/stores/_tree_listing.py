"""Listing of services that list one folder at a time: all that is below one, in the order of paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from airflow_azureml_datastores.core.store import ObjectInfo

AHEAD = 8
"""Folders that are asked for before their turn comes."""
_LOOK = 1000
"""Entries among which folders are looked for that are soon to come."""


@dataclass(frozen=True, slots=True)
class FolderInfo:
    """A folder, as the list of the one around it shows it.

    :param path: its path in the store, without a trailing slash.
    """

    path: str


Entry = ObjectInfo | FolderInfo


class _Waiting:
    """A folder whose turn is still to come."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.asked: Future[list[Entry]] | None = None


def walk(entries: Callable[[str], Iterable[Entry]], prefix: str) -> Iterator[ObjectInfo]:
    """Yield all objects whose path starts with ``prefix``, in ascending order of path.

    A folder is held in memory whole; several are asked for at once, so that latency does not add up.

    :param entries: gives what is in a folder, called with its path and a trailing slash ("" is the root), from several
        threads. A folder that is not there has nothing in it.
    """
    pool = ThreadPoolExecutor(AHEAD, thread_name_prefix="list-folders")

    def ask(folder: str) -> Future[list[Entry]]:
        return pool.submit(lambda: list(entries(folder)))

    coming: list[ObjectInfo | _Waiting] = [_Waiting(prefix[: prefix.rfind("/") + 1])]  # the next one is the last
    try:
        while coming:
            entry = coming.pop()
            if isinstance(entry, ObjectInfo):
                yield entry
                continue
            found = (entry.asked or ask(entry.path)).result()
            coming += _in_order(found, prefix)[::-1]
            soon = [other for other in coming[-_LOOK:] if isinstance(other, _Waiting)][-AHEAD:]
            for other in reversed(soon):
                other.asked = other.asked or ask(other.path)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _in_order(entries: Iterable[Entry], prefix: str) -> list[ObjectInfo | _Waiting]:
    """What may start with the prefix. A folder comes where the paths of what is in it come."""
    named = [(f"{e.path}/" if isinstance(e, FolderInfo) else e.path, e) for e in entries]
    named = [(path, e) for path, e in named if path.startswith(prefix) or prefix.startswith(path)]
    named.sort(key=lambda pair: pair[0])
    return [
        _Waiting(path) if isinstance(e, FolderInfo) else e
        for path, e in named
        if isinstance(e, FolderInfo) or path.startswith(prefix)
    ]
