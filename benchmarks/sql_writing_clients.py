"""One client loading a Parquet file into the table of the benchmarks, in a process of its own.

``python -m benchmarks.sql_writing_clients CLIENT URL FILE``. Prints the seconds that it took, wall and CPU, without
the client's imports. Each client is a generator that is ready where it yields.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import URL, make_url

from benchmarks.engines import TABLE, alchemy, odbc, shown
from benchmarks.measure import timed
from benchmarks.sql_clients import BATCH, load_drivers, store, without_driver

Client = Callable[[URL, Path], Iterator[None]]


def ours(url: URL, file: Path) -> Iterator[None]:
    """As the operator does it: checked, fitted, once, in one transaction."""
    load_drivers(url)

    from airflow_azureml_datastores.core.credentials import Anonymous
    from airflow_azureml_datastores.core.experiment import Output
    from airflow_azureml_datastores.core.place import Place
    from airflow_azureml_datastores.core.uri import parse_datastore_uri
    from airflow_azureml_datastores.stores.local_directory import LocalDirectory
    from airflow_azureml_datastores.transfer.source import find_source
    from airflow_azureml_datastores.transfer.tables import prepare_table_load

    yield
    with LocalDirectory(str(file.parent)).open(Anonymous()) as there, store(url) as opened:
        uri = parse_datastore_uri(f"azureml://datastores/there/paths/{file.name}")
        source = find_source(lambda name: Place("there", there), uri)
        output = Output.table("crm", TABLE, "append")
        load = prepare_table_load(
            lambda n: opened, source, output, publisher=f"at {time.time_ns()}", label="bench", say=print
        )
        load.run()


def adbc(url: URL, file: Path) -> Iterator[None]:
    """Apache Arrow's own driver, streaming."""
    from adbc_driver_postgresql import dbapi

    reader = _batches(file)
    yield
    with dbapi.connect(shown(url)) as connection:
        with connection.cursor() as cursor:
            cursor.adbc_ingest(TABLE, reader, mode="append")
        connection.commit()


def bulkcopy_arrow(url: URL, file: Path) -> Iterator[None]:
    """Microsoft's own for Python: Arrow batches into TDS's bulk load."""
    import mssql_python

    reader = _batches(file)
    yield
    with mssql_python.connect(without_driver(url)) as connection, connection.cursor() as cursor:
        cursor.bulkcopy_arrow(TABLE, reader, timeout=0)


def bulkcopy(url: URL, file: Path) -> Iterator[None]:
    """The same with rows of Python."""
    import mssql_python

    rows = _rows(file)
    yield
    with mssql_python.connect(without_driver(url)) as connection, connection.cursor() as cursor:
        cursor.bulkcopy(TABLE, rows, timeout=0)


def arrow_odbc(url: URL, file: Path) -> Iterator[None]:
    """Arrow into buffers of Microsoft's ODBC driver, a thousand rows at once."""
    from arrow_odbc import insert_into_table

    reader = _batches(file)
    yield
    insert_into_table(reader, 1000, TABLE, odbc(url))


def fast_executemany(url: URL, file: Path) -> Iterator[None]:
    """pyodbc, a thousand rows at once."""
    import pyodbc

    names, rows = _batches(file).schema.names, _rows(file)
    yield
    with closing(pyodbc.connect(odbc(url))) as connection, connection.cursor() as cursor:
        cursor.fast_executemany = True
        statement = f"insert into {TABLE} values ({', '.join('?' for _ in names)})"
        while chunk := list(islice(rows, 1000)):
            cursor.executemany(statement, chunk)
        connection.commit()


def load_data(url: URL, file: Path) -> Iterator[None]:
    """``LOAD DATA LOCAL`` of a CSV file through PyMySQL."""
    from pyarrow.csv import CSVWriter, WriteOptions

    reader, engine = _batches(file), alchemy(url, connect_args={"local_infile": True})
    engine.dialect.import_dbapi()
    yield
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.csv")
        with CSVWriter(path, reader.schema, write_options=WriteOptions(include_header=False)) as writer:
            for batch in reader:
                writer.write_batch(batch)
        with engine.begin() as connection:
            connection.exec_driver_sql(
                f"load data local infile '{path}' into table {TABLE} character set utf8mb4 "
                "fields terminated by ',' optionally enclosed by '\"' "
                "(id, region, score, amount, name, token, @active, since, seen, @rating) "
                "set active = @active = 'true', rating = nullif(@rating, '')"
            )


def pandas(url: URL, file: Path) -> Iterator[None]:
    """``to_sql`` through SQLAlchemy, a thousand rows at once; with pyodbc's ``fast_executemany``."""
    import pandas as pd
    import pyarrow.parquet  # noqa: F401
    import sqlalchemy

    engine = alchemy(url)
    engine.dialect.import_dbapi()
    yield
    frame = pd.read_parquet(file, dtype_backend="numpy_nullable")
    types = {"amount": sqlalchemy.Numeric(12, 2), "since": sqlalchemy.Date()}
    frame.to_sql(TABLE, engine, if_exists="append", index=False, chunksize=1000, dtype=types)


def insert_rows(url: URL, file: Path) -> Iterator[None]:
    """Airflow's own ``DbApiHook.insert_rows``, with its ``executemany``, and with pyodbc its fast one."""
    import os

    from airflow.providers.common.sql.hooks.sql import DbApiHook

    class Hook(DbApiHook):
        conn_name_attr = "conn_id"
        supports_executemany = True

        def get_conn(self) -> object:
            return alchemy(url).raw_connection().driver_connection

        @staticmethod
        def _serialize_cell(cell: object, conn: object = None) -> object:
            return cell  # as the hooks of databases have it

        @property
        def placeholder(self) -> str:
            return "?" if fast else "%s"

    fast = url.get_backend_name() == "mssql"
    names, rows = _batches(file).schema.names, _rows(file)
    os.environ["AIRFLOW_CONN_BENCH"] = "generic://"
    hook = Hook(conn_id="bench")
    hook.insert_rows(TABLE, [], names, executemany=True)  # for what it imports
    yield
    hook.insert_rows(TABLE, rows, names, executemany=True, fast_executemany=fast)


def dlt(url: URL, file: Path) -> Iterator[None]:
    """Arrow batches into the postgres destination, which loads its Parquet files through ADBC."""
    import dlt as tool
    import pyarrow as pa
    from dlt.destinations import postgres

    reader = _batches(file)
    with TemporaryDirectory() as work:
        # It wants a host and a password, of which libpq then takes the socket's folder, and nothing.
        there = postgres(shown(url.set(host="localhost", password="-")))
        pipeline = tool.pipeline("bench", pipelines_dir=work, destination=there, dataset_name="public")
        pipeline.run(pa.table({"id": [1]}), table_name="warm", loader_file_format="parquet")
        yield
        pipeline.run(reader, table_name=TABLE, write_disposition="append", loader_file_format="parquet")


def _batches(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    opened = pq.ParquetFile(file)
    return pa.RecordBatchReader.from_batches(opened.schema_arrow, opened.iter_batches(BATCH))


def _rows(file: Path) -> Iterator[tuple[Any, ...]]:
    for batch in _batches(file):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


CLIENTS: Mapping[str, Mapping[str, Client]] = {
    "postgresql": {
        "ours": ours,
        "ADBC ingest": adbc,
        "dlt": dlt,
        "pandas to_sql": pandas,
        "DbApiHook.insert_rows": insert_rows,
    },
    "mysql": {
        "ours": ours,
        "LOAD DATA LOCAL": load_data,
        "pandas to_sql": pandas,
        "DbApiHook.insert_rows": insert_rows,
    },
    "mssql": {
        "ours": ours,
        "bulkcopy_arrow": bulkcopy_arrow,
        "bulkcopy": bulkcopy,
        "arrow-odbc": arrow_odbc,
        "fast_executemany": fast_executemany,
        "pandas to_sql": pandas,
        "DbApiHook.insert_rows": insert_rows,
    },
}
SLOW = ("pandas to_sql", "DbApiHook.insert_rows", "fast_executemany", "arrow-odbc")
NEEDS = {
    "ADBC ingest": "adbc_driver_postgresql",
    "dlt": "dlt",
    "bulkcopy_arrow": "mssql_python",
    "bulkcopy": "mssql_python",
    "arrow-odbc": "arrow_odbc",
    "pandas to_sql": "pandas",
}
"""Modules of peers."""


if __name__ == "__main__":
    name, address, file = sys.argv[1:]
    url = make_url(address)
    timed(CLIENTS[url.get_backend_name()][name](url, Path(file)))
