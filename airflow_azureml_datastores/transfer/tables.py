"""Files into tables: Parquet, CSV and Arrow files as rows, and a run's output loaded as one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.core.experiment import TableOutput, unique_slug
from airflow_azureml_datastores.core.rows_input import RowsInput
from airflow_azureml_datastores.core.store import Version
from airflow_azureml_datastores.core.table_store import Load, Loaded, OpenRows, OpenTables, Query, Rows, TableStore
from airflow_azureml_datastores.errors import InvalidInput, MissingExtra, NoData
from airflow_azureml_datastores.transfer.new_rows import check_all_rows, query_of
from airflow_azureml_datastores.transfer.progress import Say, human_count, human_number
from airflow_azureml_datastores.transfer.row_files import ahead
from airflow_azureml_datastores.transfer.source import Source

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 16_384
"""Rows."""
_BATCH_BYTES = 16 << 20
_BLOCK = 1 << 20
_EVERY_SECONDS = 5.0

_KINDS = {".parquet": "parquet", ".csv": "csv", ".arrow": "arrow", ".feather": "arrow"}


def rows_of(source: Source, *, typed: bool = False) -> OpenRows:
    """The rows of all files of a source, one file after the other; each is on the worker's disk while it is read.

    Columns are found by their names, which have to be the same in all files. In CSV the first line has them, an empty
    field is NULL and ``""`` an empty text.

    :param typed: whether columns of CSV get types, from all that is in them; otherwise they are texts.
    :raises InvalidInput: a file is of another kind, is damaged, or has other columns.
    :raises Changed: (while rows are taken) a file is not the version that was to be taken.
    """
    kinds = {path: _kind(source, path) for path in source.files}
    if not kinds:
        raise NoData(f"there are no rows at {source.uri}: there is no file.")

    @contextmanager
    def opened() -> Iterator[Rows]:
        types: dict[str, Any] = _csv_types(source) if typed and "csv" in kinds.values() else {}
        with ExitStack() as stack:
            name, *others = kinds
            first = stack.enter_context(_open(source, name, types))
            batches = chain(first.batches, _batches(source, others, first.schema, types))
            yield Rows(first.schema, stack.enter_context(ahead(batches)))

    return opened


def _kind(source: Source, path: str) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in _KINDS:
        raise InvalidInput(
            f"{source.folder.at(path).uri} is no file of rows: a table takes {', '.join(_KINDS)}. Name the folder or "
            f"the pattern of the files that are."
        )
    return _KINDS[suffix]


def _batches(source: Source, paths: Any, schema: pa.Schema, types: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with _open(source, path, types) as rows:
            if set(rows.schema.names) != set(schema.names):
                raise InvalidInput(
                    f"{source.folder.at(path).uri} has the columns {', '.join(rows.schema.names)}, another file of the "
                    f"same rows {', '.join(schema.names)}: they have to be the same."
                )
            yield from rows.batches


@contextmanager
def _open(source: Source, path: str, types: dict[str, Any]) -> Iterator[Rows]:
    """The rows of one file."""
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingExtra("rows of files", "postgres") from None
    place = source.folder.at(path)
    with TemporaryDirectory(prefix="rows-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        local = Path(folder, "rows")
        _download(source, source.files[path], local)
        try:
            rows = _READERS[_kind(source, path)](local, stack, types)
            yield Rows(rows.schema, _readable(rows.batches, place.uri))
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{place.uri} cannot be read: {error}") from error


def _readable(batches: Iterator[pa.RecordBatch], uri: str) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    try:
        yield from batches
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise InvalidInput(f"{uri} cannot be read: {error}") from error


def _download(source: Source, version: Version, local: Path) -> None:
    with local.open("wb") as file:
        for chunk in source.folder.store.read(version.path, if_match=version.etag):
            file.write(chunk)


def _parquet(local: Path, stack: ExitStack, types: dict[str, Any]) -> Rows:
    import pyarrow.parquet as pq

    file = stack.enter_context(pq.ParquetFile(local, buffer_size=_BLOCK, pre_buffer=False))
    found = file.metadata
    size = sum(found.row_group(number).total_byte_size for number in range(found.num_row_groups))
    rows = max(min(_BATCH, _BATCH_BYTES * found.num_rows // max(size, 1)), 1)
    return Rows(file.schema_arrow, file.iter_batches(rows, use_threads=False))  # each would have memory of its own


def _arrow(local: Path, stack: ExitStack, types: dict[str, Any]) -> Rows:
    """Arrow's file format, which Feather is, or its stream format."""
    import pyarrow as pa

    file = stack.enter_context(pa.memory_map(str(local)))
    if local.open("rb").read(6) == b"ARROW1":
        reader = stack.enter_context(pa.ipc.open_file(file))
        return Rows(reader.schema, map(reader.get_batch, range(reader.num_record_batches)))
    stream = stack.enter_context(pa.ipc.open_stream(file))
    return Rows(stream.schema, iter(stream))


def _csv(local: Path, stack: ExitStack, types: dict[str, Any]) -> Rows:
    import pyarrow as pa
    import pyarrow.csv as csv

    with local.open("rb") as file:
        names = csv.open_csv(file, csv.ReadOptions(block_size=_BLOCK)).schema.names
    reader = csv.open_csv(
        local,
        csv.ReadOptions(block_size=_BLOCK),
        convert_options=csv.ConvertOptions(
            column_types={name: types.get(name, pa.string()) for name in names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["true", "True", "TRUE"],
            false_values=["false", "False", "FALSE"],
        ),
    )
    return Rows(stack.enter_context(reader).schema, iter(reader))


_READERS = {"parquet": _parquet, "csv": _csv, "arrow": _arrow}


def _csv_types(source: Source) -> dict[str, Any]:
    """The narrowest type of each column that takes every value in every file."""
    import pyarrow as pa
    import pyarrow.compute as pc

    order = [pa.bool_(), pa.int64(), pa.float64(), pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC")]
    left: dict[str, list[Any]] = {}
    for path in source.files:
        if _kind(source, path) != "csv":
            continue
        with _open(source, path, {}) as rows:
            for batch in rows.batches:
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    values = column.drop_null()
                    if len(values):
                        left[name] = [type_ for type_ in left.get(name, order) if _are(values, type_, pc, pa)]
    return {name: types[0] for name, types in left.items() if types}


def _are(values: pa.Array, type_: pa.DataType, pc: Any, pa: Any) -> bool:
    if type_ == pa.bool_() and not pc.all(pc.match_substring_regex(values, "^(?i:true|false)$")).as_py():
        return False
    if type_ in (pa.int64(), pa.float64()) and pc.any(pc.match_substring_regex(values, r"^[+-]?0\d")).as_py():
        return False  # 007 is a name
    try:
        pc.cast(values, type_)
    except pa.ArrowInvalid:
        return False
    return True


@dataclass(frozen=True)
class TableLoad:
    """Files, whose columns fit, or rows of another database that are to be loaded into a table."""

    store: TableStore
    load: Load
    rows: OpenRows
    datastore: str
    label: str
    say: Say

    def run(self) -> dict[str, Any]:
        """Load them. Returns ``datastore``, ``table``, ``mode``, ``rows`` and ``unchanged`` (it had been done)."""
        begun = time.monotonic()
        loaded: Loaded = self.store.write(self.load, self._told)
        rows = human_count(loaded.rows, "row")
        if loaded.was_there:
            self.say(f"{self.label}  is in table {self.load.table} already: {rows}.")
        else:
            self.say(f"{self.label}  {rows} into table {self.load.table} in {time.monotonic() - begun:.1f} s.")
        return {
            "datastore": self.datastore,
            "table": self.load.table,
            "mode": self.load.mode,
            "rows": loaded.rows,
            "unchanged": loaded.was_there,
        }

    @contextmanager
    def _told(self) -> Iterator[Rows]:
        """The rows, with a line about them now and then."""

        def batches(found: Rows) -> Iterator[pa.RecordBatch]:
            count, said = 0, time.monotonic()
            for batch in found.batches:
                yield batch
                count += batch.num_rows
                if time.monotonic() > said + _EVERY_SECONDS:
                    said = time.monotonic()
                    self.say(f"{self.label}  {human_number(count)} rows")

        with self.rows() as found:
            yield Rows(found.schema, batches(found))


def _rows_of_query(store: TableStore, query: Query, given: RowsInput) -> OpenRows:
    @contextmanager
    def opened() -> Iterator[Rows]:
        with store.read(query) as rows:
            first = list(islice(rows.batches, 1))
            if not first and not given.allow_empty:
                raise NoData(f"{given.described} gives no rows; pass allow_empty=True to accept.")
            yield Rows(rows.schema, chain(first, rows.batches))

    return opened


def prepare_table_load(
    open_tables: OpenTables, source: Source | RowsInput, output: TableOutput, *, publisher: str, label: str, say: Say
) -> TableLoad:
    """Find the table and check that the columns of files fit before anything moves.

    Those of another database's rows are left to the load, which checks them before its first row: to ask for them here
    would be to run the query twice.

    :param publisher: who loads, the same in every attempt.
    :raises NoData: there are no files; or, while it runs, no rows, and that is not acceptable.
    :raises InvalidInput: only new rows are wanted, or in parts; and see :meth:`TableStore.write`.
    :raises PathExists, PathNotFound: see :meth:`TableStore.write`.
    """
    store = open_tables(output.datastore)
    if isinstance(source, RowsInput):
        check_all_rows(source)
        if source.partition is not None:
            raise InvalidInput("rows go into a table one after the other: leave out partition.")
        giving = open_tables(source.datastore)
        query = query_of(giving, source)
        rows = _rows_of_query(giving, query, source)
        content = query.digest
    else:
        rows = rows_of(source, typed=output.create_if_missing and not store.has_table(output.table))
        content = json.dumps(sorted((path, v.path, v.size, v.etag) for path, v in source.files.items()))
    how = [output.datastore, output.table, output.mode, *output.keys]
    load = Load(
        output.table,
        output.mode,
        tuple(output.keys),
        output.create_if_missing,
        unique_slug(publisher, *how, content),
    )
    if isinstance(source, Source):
        with rows() as opened:
            store.check_write(load, opened.schema)
    return TableLoad(store, load, rows, output.datastore, label, say)
