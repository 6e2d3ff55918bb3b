"""Rows into files: what a query gives, streamed into Parquet or CSV parts of a folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import xxhash

from airflow_azureml_datastores.core.manifest import MANIFEST, Entry, Manifest
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.rows_input import RowsFormat
from airflow_azureml_datastores.core.table_store import Query, TableStore
from airflow_azureml_datastores.errors import NoData, PathNotFound
from airflow_azureml_datastores.transfer.delivery import check_folder
from airflow_azureml_datastores.transfer.engine import delete_all
from airflow_azureml_datastores.transfer.progress import Say, human_count, human_number, human_size

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

_PART = 128 << 20
"""Bytes after which a part ends; it is on the worker's disk until it is uploaded."""
_GROUP = 65_536
"""Rows of a Parquet row group: enough for its encodings, little enough to be held."""
_CHUNK = 1 << 20
_EVERY_SECONDS = 5.0


@dataclass
class RowsDelivery:
    """A query's rows on their way into a folder of their own. Interrupted and begun again, it ends the same.

    A folder whose manifest tells of the same query is finished, and the query is not run again. All else that is there
    goes: a query that broke off cannot go on, as its rows were those of another moment.

    :param store: the database.
    :param source: how the database and what is taken from it is called.
    :param allow_empty: whether no rows are acceptable; they make one part without any.
    :param label: begins every progress line.
    :param origin: who delivers; goes into the manifest, as do ``rows``, ``schema`` (name -> Arrow type) and ``query``
        (its digest).
    :param batch: which of several batches of the same query's rows it is.
    :param pick: leaves out rows that do not belong to it, called with each of the tables in their order.
    :param fresh: to be taken anew, whatever is there.
    """

    store: TableStore
    query: Query
    source: str
    target: Place
    format: RowsFormat
    allow_empty: bool
    label: str
    say: Say
    origin: dict[str, str] = field(default_factory=dict)
    batch: str = ""
    pick: Callable[[pa.Table], pa.Table] = field(default=lambda table: table)
    fresh: bool = False
    rows: int = field(default=0, init=False)
    schema: dict[str, str] = field(default_factory=dict, init=False)

    def check(self) -> None:
        """Find out what would go wrong, before anything moves.

        :raises InvalidInput: the database refuses the query, or there is a file where the folder should be.
        """
        check_folder(self.target)
        self.store.check_query(self.query)

    def deliver(self) -> tuple[Manifest, bool]:
        """Returns what is there in the end, and whether it was there already.

        :raises NoData: there are no rows.
        """
        record = self.target.at(MANIFEST)
        there = {path: info.version for path, info in self.target.list() if info.path != record.path}
        done = None if self.fresh else self._finished(record)
        if done is not None and all(entry.is_at(there.get(entry.path)) for entry in done.entries):
            self.rows = int(done.origin["rows"])
            self.say(f"{self.label}  is there already: {human_count(self.rows, 'row')}.")
            return done, True
        store = self.target.store
        delete_all(store, [record.path, *(self.target.at(path).path for path in there)])
        begun, self.rows = time.monotonic(), 0
        entries = self._parts()
        found = {"rows": str(self.rows), "schema": json.dumps(self.schema, ensure_ascii=False)}
        origin = {**self.origin, "query": self.digest, **found}
        manifest = Manifest(self.source, self.target.folder().uri, tuple(entries), origin)
        store.write(record.path, manifest.to_json())
        moved = f"{human_count(self.rows, 'row')}, {human_count(manifest.files)}, {human_size(manifest.size)}"
        self.say(f"[ingest] done: {moved} in {time.monotonic() - begun:.1f} s; manifest {record.uri}")
        return manifest, False

    def discard(self) -> None:
        """Remove what was delivered, if it is this batch."""
        record = self.target.at(MANIFEST)
        done = self._found(record)
        if done is not None and done.origin.get("batch") == self.batch:
            delete_all(self.target.store, [record.path, *(self.target.at(entry.path).path for entry in done.entries)])

    @property
    def digest(self) -> str:
        """Of what is delivered: the query, its values, and the format."""
        return f"{self.query.digest} as {self.format}" + (f" for {self.batch}" if self.batch else "")

    def _found(self, record: Place) -> Manifest | None:
        try:
            return Manifest.from_json(record.read(), record.uri)
        except PathNotFound:
            return None

    def _finished(self, record: Place) -> Manifest | None:
        manifest = self._found(record)
        if manifest is None:
            return None
        return manifest if manifest.origin.get("query") == self.digest else None

    def _parts(self) -> list[Entry]:
        with (
            TemporaryDirectory(prefix="rows-", ignore_cleanup_errors=True) as folder,
            ThreadPoolExecutor(1, thread_name_prefix="upload") as pool,
        ):
            uploads: list[Future[Entry]] = []
            for path in self._written(Path(folder)):
                for upload in uploads[-1:]:  # so that the disk holds two at most: one that grows, one on its way
                    upload.result()
                uploads.append(pool.submit(self._upload, path))
            return [upload.result() for upload in uploads]

    def _written(self, folder: Path) -> Iterator[Path]:
        """Yield parts on this machine's disk, each once it is whole. The database is read meanwhile."""
        with self.store.read(self.query) as found, ahead(self._picked(found.batches)) as batches:
            self.schema = {name: str(kind) for name, kind in zip(found.schema.names, found.schema.types, strict=True)}
            count, said = 0, time.monotonic()
            batch = next(batches, None)
            if batch is None and not self.allow_empty:
                raise NoData(f"{self.source} gives no rows; pass allow_empty=True to accept.")
            while batch is not None or not count:
                path = folder / f"part-{count:05}.{self.format}"
                with _Writer(path, found.schema, self.format) as writer:
                    while batch is not None and writer.size < _PART:
                        writer.write(batch)
                        self.rows += batch.num_rows
                        batch = next(batches, None)
                        if time.monotonic() > said + _EVERY_SECONDS:
                            said = time.monotonic()
                            self.say(f"{self.label}  {human_number(self.rows)} rows")
                count += 1
                yield path

    def _picked(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
        return (table for table in map(self.pick, _full_batches(batches)) if table.num_rows)

    def _upload(self, path: Path) -> Entry:
        size, digest = path.stat().st_size, xxhash.xxh3_128()

        def chunks() -> Iterator[bytes]:
            digest.reset()
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                    yield chunk

        etag = self.target.store.write(self.target.at(path.name).path, chunks(), size=size)
        path.unlink()
        return Entry(path.name, size, etag, "", "", f"xxh128:{digest.hexdigest()}")


def _full_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
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

            self._writer = pq.ParquetWriter(self._file, schema, compression="zstd", compression_level=1)
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
