"""One client reading a query of a database into Parquet, in a process of its own.

``python -m benchmarks.sql_clients CLIENT URL QUERY FOLDER``. Prints the seconds that it took, wall and CPU, without
the client's imports. Each client is a generator that is ready where it yields.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, make_url

from benchmarks.engines import TABLE, alchemy, odbc, shown
from benchmarks.measure import timed

Client = Callable[[URL, str, Path], Iterator[None]]
BATCH = 65_536


def store(url: URL) -> AbstractContextManager[Any]:
    """The database as a datastore, open."""
    from airflow_azureml_datastores.core.credentials import Login
    from airflow_azureml_datastores.stores.azure_sql import AzureSqlDatabase
    from airflow_azureml_datastores.stores.mysql import AzureMySql
    from airflow_azureml_datastores.stores.postgresql import AzurePostgreSql

    host, port = str(url.host or url.query["host"]), {"port_number": url.port} if url.port else {}
    kinds = {"postgresql": AzurePostgreSql, "mysql": AzureMySql, "mssql": AzureSqlDatabase}
    kind: Any = kinds[url.get_backend_name()]
    location = kind(host, url.database, enforce_ssl=False, **port)
    return location.open(Login(url.username or "", url.password or ""))  # type: ignore[no-any-return]


def ours(url: URL, query: str, folder: Path, readers: int = 1) -> Iterator[None]:
    """The ingest as the operator does it: described, in parts, digested, with a manifest.

    :param readers: side by side, each of a range of ``id``.
    """
    load_drivers(url)

    from airflow_azureml_datastores.core.credentials import Anonymous
    from airflow_azureml_datastores.core.place import Place
    from airflow_azureml_datastores.core.table_store import Query
    from airflow_azureml_datastores.stores.local_directory import LocalDirectory
    from airflow_azureml_datastores.transfer.rows import RowsDelivery

    yield
    with LocalDirectory(str(folder)).open(Anonymous()) as there, store(url) as opened:
        target = Place("there", there, "x/")
        delivery = RowsDelivery(opened, Query(query), "a query", target, "parquet", False, "bench", print)
        if readers > 1:
            delivery.partition, delivery.partitions = "id", readers
        delivery.check()
        delivery.deliver()


def load_drivers(url: URL) -> None:
    """Import what ours imports when it comes to it: a value of Arrow brings pandas, where that is installed."""
    import pyarrow as pa

    modules = {"postgresql": "duckdb pgpq psycopg", "mysql": "pymysql numpy", "mssql": "pyodbc mssql_python"}
    for module in ("pyarrow.parquet", "pyarrow.compute", *modules[url.get_backend_name()].split()):
        with suppress(ImportError):
            import_module(module)
    pa.scalar(0)
    with store(url):
        pass


def connectorx(url: URL, query: str, folder: Path, more: str = "") -> Iterator[None]:
    """The fastest that dlt can be told to use, too. It holds all rows."""
    import connectorx as cx
    import pyarrow.parquet as pq

    yield
    pq.write_table(cx.read_sql(_for_connectorx(url) + more, query, return_type="arrow"), folder / "x.parquet")


def _for_connectorx(url: URL) -> str:
    """A socket's folder is the host's name to it."""
    if url.host:
        return shown(url)
    return f"postgresql://{url.username}@{quote(str(url.query['host']), safe='')}/{url.database}"


def adbc(url: URL, query: str, folder: Path) -> Iterator[None]:
    """Apache Arrow's own driver, streaming."""
    from adbc_driver_postgresql import dbapi

    _written(iter(()), folder)
    yield
    with dbapi.connect(shown(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        _written(cursor.fetch_record_batch(), folder)


def arrow_odbc(url: URL, query: str, folder: Path) -> Iterator[None]:
    """Buffers of an ODBC driver, Microsoft's, as Arrow; fetched in a thread of its own."""
    from arrow_odbc import read_arrow_batches_from_odbc

    _written(iter(()), folder)
    yield
    reader = read_arrow_batches_from_odbc(query, odbc(url), BATCH, fetch_concurrently=True)
    _written(reader, folder)


def mssql_python(url: URL, query: str, folder: Path) -> Iterator[None]:
    """Microsoft's own for Python, which makes Arrow batches itself."""
    import mssql_python as driver

    _written(iter(()), folder)
    yield
    with driver.connect(without_driver(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        _written(cursor.arrow_reader(BATCH), folder)


def without_driver(url: URL) -> str:
    """As ``mssql-python`` is told, which brings its own."""
    return odbc(url).partition(";")[2]


def pandas(url: URL, query: str, folder: Path) -> Iterator[None]:
    """``read_sql`` in chunks through SQLAlchemy, as Airflow's ``DbApiHook.get_df_by_chunks`` does it."""
    import pandas as pd
    import pyarrow as pa
    import sqlalchemy

    engine = alchemy(url)
    engine.dialect.import_dbapi()
    _written(iter(()), folder)
    yield
    with engine.connect().execution_options(stream_results=True) as connection:
        chunks = pd.read_sql(sqlalchemy.text(query), connection, chunksize=100_000)
        _written((pa.RecordBatch.from_pandas(chunk, preserve_index=False) for chunk in chunks), folder)


def dlt(url: URL, query: str, folder: Path) -> Iterator[None]:
    """``sql_table``, read by connectorx, into Parquet of the filesystem destination, after a run for its imports.

    It reads the whole table. Not SQL Server's: the stand-in does not know what SQLAlchemy asks of the catalogue first.
    """
    import dlt as tool
    import pyarrow as pa
    from dlt.destinations import filesystem
    from dlt.sources.sql_database import sql_table

    engine = alchemy(url)
    with TemporaryDirectory() as work:
        tool.pipeline("warm", pipelines_dir=work, destination=filesystem(f"{work}/x"), dataset_name="bench").run(
            pa.table({"id": [1]}), table_name="warm", loader_file_format="parquet"
        )
        with engine.connect():
            pass
        yield
        given = {"conn": _for_connectorx(url)}
        source = sql_table(
            engine, TABLE, backend="connectorx", backend_kwargs=given, reflection_level="full_with_precision"
        )
        pipeline = tool.pipeline("bench", pipelines_dir=work, destination=filesystem(str(folder)), dataset_name="bench")
        pipeline.run(source, loader_file_format="parquet")


def _written(batches: Iterable[Any], folder: Path) -> None:
    """Arrow batches as one file; none, and it is just imported what writes them."""
    import pyarrow.parquet as pq

    writer = None
    for batch in batches:
        writer = writer or pq.ParquetWriter(folder / "x.parquet", batch.schema)
        writer.write_batch(batch)
    if writer is not None:
        writer.close()


SEVERAL = {
    "ours, 2 side by side": partial(ours, readers=2),
    "ours, 4 side by side": partial(ours, readers=4),
}
_TRUSTED = "?encrypt=true&trust_server_certificate=true"
CLIENTS: Mapping[str, Mapping[str, Client]] = {
    "postgresql": {
        "ours": ours,
        **SEVERAL,
        "connectorx": connectorx,
        "ADBC": adbc,
        "dlt": dlt,
        "pandas read_sql": pandas,
    },
    "mysql": {"ours": ours, "connectorx": connectorx, "dlt": dlt, "pandas read_sql": pandas},
    "mssql": {
        "ours": ours,
        "mssql-python": mssql_python,
        "arrow-odbc": arrow_odbc,
        "connectorx": partial(connectorx, more=_TRUSTED),
        "pandas read_sql": pandas,
    },
}
NEEDS = {
    "connectorx": "connectorx",
    "ADBC": "adbc_driver_postgresql",
    "arrow-odbc": "arrow_odbc",
    "mssql-python": "mssql_python",
    "dlt": "dlt",
    "pandas read_sql": "pandas",
}
"""Modules of peers."""


if __name__ == "__main__":
    name, address, query, folder = sys.argv[1:]
    url = make_url(address)
    timed(CLIENTS[url.get_backend_name()][name](url, query, Path(folder)))
