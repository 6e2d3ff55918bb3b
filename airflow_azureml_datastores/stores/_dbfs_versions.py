"""Versions of files where the service has no etags, only the time of the last change in whole seconds, and the size.

Two versions of one size within a second would look like one. A store keeps its own apart by waiting; others' it cannot.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from weakref import WeakValueDictionary

import xxhash

from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import Conflict, InvalidInput

_SECOND = 1.0


def describe_file(path: str, size: int, modified: float) -> ObjectInfo:
    """A file as listings show it; its etag is good for no other file.

    :param modified: seconds since the epoch; a fraction, which only some answers have, does not count.
    """
    second = int(modified)
    etag = f"{second}-{size}-{xxhash.xxh3_64_hexdigest(path.encode())[:8]}"
    return ObjectInfo(path, size, etag, datetime.fromtimestamp(second, UTC))


def seconds_of(http_date: str | None) -> float:
    """A date as HTTP writes it, in seconds since the epoch; now, if there is none."""
    return parsedate_to_datetime(http_date).timestamp() if http_date else time.time()


class Seconds:
    """Gives each version of a file that one store writes a second of its own, unless it has a size of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: WeakValueDictionary[tuple[str, int], threading.Lock] = WeakValueDictionary()
        self._written: dict[tuple[str, int], float] = {}

    @contextmanager
    def alone(self, path: str, size: int) -> Iterator[None]:
        """Write a file of this size inside, a second after the last one of the same size was written."""
        with self._lock:
            turn = self._turns.setdefault((path, size), threading.Lock())
        with turn:
            with self._lock:
                before = self._written.get((path, size), 0.0)
            time.sleep(max(0.0, before + _SECOND - time.monotonic()))
            try:
                yield
            except (Conflict, InvalidInput):
                raise  # nothing was written
            except BaseException:
                self._note(path, size)
                raise
            self._note(path, size)

    def _note(self, path: str, size: int) -> None:
        """Note a write, and forget those of more than a second ago, which are in nobody's way."""
        now = time.monotonic()
        with self._lock:
            self._written[path, size] = now
            for key in [key for key, at in self._written.items() if at + _SECOND < now]:
                del self._written[key]
