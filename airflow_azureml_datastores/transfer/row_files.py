"""Files of rows: written on this machine's disk, uploaded beside that, by one reader or by several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

import xxhash

from airflow_azureml_datastores.core.manifest import Entry
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.rows_input import RowsFormat

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

_PART = 128 << 20
"""Bytes after which a file ends; it is on the worker's disk until it is uploaded."""
_GROUP = 65_536
"""Rows of a Parquet row group: enough for its encodings, little enough to be held."""
_DICTIONARY = 1 << 17
"""Bytes of a column's dictionary of repeated values, after which it is given up: of one that is as large as the column
itself the file is larger, and writing it takes twice as long."""
_CHUNK = 1 << 20


class Stopped(Exception):
    """Another reader has failed, so that what this one has is of no use."""


class RowFiles:
    """A folder that rows come into.

    :param counted: told of each so many rows, by whichever thread has written them.
    """

    def __init__(self, target: Place, format: RowsFormat, counted: Callable[[int], None]) -> None:
        self._target = target
        self._format = format
        self._counted = counted
        self._stopped = Event()

    def stop(self) -> None:
        """Let all that are bringing rows raise :class:`Stopped`."""
        self._stopped.set()

    def bring(self, tables: Iterator[pa.Table], schema: pa.Schema, prefix: str, *, empty: bool = False) -> list[Entry]:
        """Bring a reader's rows.

        :param prefix: of the names of its files.
        :param empty: whether no rows are a file, too, rather than none.
        """
        with (
            TemporaryDirectory(prefix="rows-", ignore_cleanup_errors=True) as folder,
            ThreadPoolExecutor(1, thread_name_prefix="upload") as pool,
        ):
            uploads: list[Future[Entry]] = []
            for path in self._written(Path(folder, prefix), tables, schema, empty):
                for upload in uploads[-1:]:  # so that the disk holds two at most: one that grows, one on its way
                    upload.result()
                uploads.append(pool.submit(self._upload, path))
            return [upload.result() for upload in uploads]

    def _written(self, begin: Path, tables: Iterator[pa.Table], schema: pa.Schema, empty: bool) -> Iterator[Path]:
        """Yield files on this machine's disk, each once it is whole. The database is read meanwhile."""
        count, table = 0, next(tables, None)
        while table is not None or (empty and not count):
            path = begin.with_name(f"{begin.name}{count:05}.{self._format}")
            with _Writer(path, schema, self._format) as writer:
                while table is not None and writer.size < _PART:
                    self._go_on()
                    writer.write(table)
                    self._counted(table.num_rows)
                    table = next(tables, None)
            count += 1
            yield path

    def _upload(self, path: Path) -> Entry:
        size, digest = path.stat().st_size, xxhash.xxh3_128()

        def chunks() -> Iterator[bytes]:
            digest.reset()
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    self._go_on()
                    digest.update(chunk)
                    yield chunk

        etag = self._target.store.write(self._target.at(path.name).path, chunks(), size=size)
        path.unlink()
        return Entry(path.name, size, etag, "", "", f"xxh128:{digest.hexdigest()}")

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise Stopped


def full_tables(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows, as many at once as make a row group; a database gives them by the thousand."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= _GROUP:
            yield pa.Table.from_batches(held)
            held, rows = [], 0
    if rows:
        yield pa.Table.from_batches(held)


@contextmanager
def ahead(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """The same items, the next one being fetched while one is in use."""
    end = object()

    def fetched() -> Iterator[T]:
        coming: Future[Any] = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item

    with ThreadPoolExecutor(1, thread_name_prefix="read-rows") as pool:
        yield fetched()


class _Writer:
    """One part on disk."""

    def __init__(self, path: Path, schema: pa.Schema, format: RowsFormat) -> None:
        self._file = path.open("wb")
        self._writer: Any
        if format == "parquet":
            import pyarrow.parquet as pq

            self._writer = pq.ParquetWriter(
                self._file, schema, compression="zstd", compression_level=1, dictionary_pagesize_limit=_DICTIONARY
            )
        else:
            import pyarrow.csv

            self._writer = pyarrow.csv.CSVWriter(self._file, schema)

    @property
    def size(self) -> int:
        return self._file.tell()

    def write(self, table: pa.Table) -> None:
        self._writer.write(table)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *failed: object) -> None:
        self._writer.close()
        self._file.close()
