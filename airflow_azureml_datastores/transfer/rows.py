"""Rows into files: what a query gives, streamed into Parquet or CSV parts of a folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING

from airflow_azureml_datastores.core.manifest import MANIFEST, Entry, Manifest
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.rows_input import RowsFormat
from airflow_azureml_datastores.core.table_store import OpenRows, Query, TableStore
from airflow_azureml_datastores.errors import NoData, PathNotFound
from airflow_azureml_datastores.transfer.delivery import check_folder
from airflow_azureml_datastores.transfer.engine import delete_all
from airflow_azureml_datastores.transfer.progress import Say, human_count, human_number, human_size
from airflow_azureml_datastores.transfer.row_files import RowFiles, ahead, full_tables

if TYPE_CHECKING:
    import pyarrow as pa

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
    :param pick: leaves out rows that do not belong to it, called with each of the tables, by several threads if there
        are several parts.
    :param fresh: to be taken anew, whatever is there.
    :param partition: a column, ranges of which are read side by side; None is one reader, in the query's order.
    :param partitions: how many such ranges there are, at most.
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
    partition: str | None = None
    partitions: int = 1
    rows: int = field(default=0, init=False)

    def check(self) -> None:
        """Find out what would go wrong, before anything moves.

        :raises InvalidInput: the database refuses the query, or there is a file where the folder should be; or the
            partition is no column for it.
        :raises Unsupported: there is a partition, and the database cannot be read side by side.
        """
        check_folder(self.target)
        if self.partition is None:
            self.store.check_query(self.query)
        else:
            self.store.check_parts(self.query, self.partition)

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
        entries = self._entries()
        schema = {name: str(kind) for name, kind in zip(self._schema.names, self._schema.types, strict=True)}
        found = {"rows": str(self.rows), "schema": json.dumps(schema, ensure_ascii=False)}
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

    def _entries(self) -> list[Entry]:
        files = RowFiles(self.target, self.format, self._count)
        self._counting, self._said = Lock(), time.monotonic()
        if self.partition is None:
            entries = self._taken(lambda: self.store.read(self.query), files, "part-")
        else:
            entries = self._side_by_side(files, self.partition)
        if not self.rows:
            if not self.allow_empty:
                raise NoData(f"{self.source} gives no rows; pass allow_empty=True to accept.")
            entries = files.bring(iter(()), self._schema, "part-", empty=True)
        return entries

    def _side_by_side(self, files: RowFiles, column: str) -> list[Entry]:
        """Let each part be taken by a thread. The first error is raised, and ends what the others do."""
        ended: SimpleQueue[tuple[int, list[Entry]] | BaseException] = SimpleQueue()

        def take(number: int, opened: OpenRows) -> None:
            try:
                ended.put((number, self._taken(opened, files, f"part-{number:02}-", ended.put)))
            except BaseException as error:  # noqa: BLE001  # it is raised where the others are waited for
                ended.put(error)

        found: dict[int, list[Entry]] = {}
        with (
            ThreadPoolExecutor(self.partitions, thread_name_prefix="read-part") as pool,
            self.store.read_in_parts(self.query, column, self.partitions) as parts,
        ):
            try:
                for number, opened in enumerate(parts):
                    pool.submit(take, number, opened)
                while len(found) < len(parts):
                    end = ended.get()
                    if isinstance(end, BaseException):
                        raise end
                    found[end[0]] = end[1]
            except BaseException:
                files.stop()
                raise
        return [entry for number in sorted(found) for entry in found[number]]

    def _taken(
        self,
        opened: OpenRows,
        files: RowFiles,
        prefix: str,
        failed: Callable[[BaseException], None] = lambda error: None,
    ) -> list[Entry]:
        """Take what one reader reads.

        :param failed: told of an error before the read is ended, which may have to be waited for.
        """
        with opened() as found, ahead(self._picked(found.batches)) as tables:
            self._schema = found.schema
            try:
                return files.bring(tables, found.schema, prefix)
            except BaseException as error:
                failed(error)
                raise

    def _picked(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
        return (table for table in map(self.pick, full_tables(batches)) if table.num_rows)

    def _count(self, rows: int) -> None:
        with self._counting:
            self.rows += rows
            if time.monotonic() > self._said + _EVERY_SECONDS:
                self._said = time.monotonic()
                self.say(f"{self.label}  {human_number(self.rows)} rows")
