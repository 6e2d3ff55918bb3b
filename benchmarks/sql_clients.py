"""One client reading a query of PostgreSQL into Parquet, in a process of its own.

``python -m benchmarks.sql_clients CLIENT HOST QUERY FOLDER``. Prints the seconds that it took, wall and CPU, without
the client's imports. Each client is a generator that is ready where it yields.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote


def ours(host: str, query: str, folder: Path, readers: int = 1) -> Iterator[None]:
    """The ingest as the operator does it: described, in parts, digested, with a manifest.

    :param readers: side by side, each of a range of ``id``.
    """
    import duckdb  # noqa: F401
    import psycopg  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    from airflow_azureml_datastores.core.credentials import Anonymous, Login
    from airflow_azureml_datastores.core.place import Place
    from airflow_azureml_datastores.core.table_store import Query
    from airflow_azureml_datastores.stores.local_directory import LocalDirectory
    from airflow_azureml_datastores.stores.postgresql import AzurePostgreSql
    from airflow_azureml_datastores.transfer.rows import RowsDelivery

    yield
    location = AzurePostgreSql(host, "postgres", enforce_ssl=False)
    with LocalDirectory(str(folder)).open(Anonymous()) as there, location.open(Login("postgres", "")) as store:
        target = Place("there", there, "x/")
        delivery = RowsDelivery(store, Query(query), "a query", target, "parquet", False, "bench", print)
        if readers > 1:
            delivery.partition, delivery.partitions = "id", readers
        delivery.check()
        delivery.deliver()


def connectorx(host: str, query: str, folder: Path) -> Iterator[None]:
    """The fastest that dlt can be told to use, too. It holds all rows."""
    import connectorx as cx
    import pyarrow.parquet as pq

    yield
    found = cx.read_sql(f"postgresql://postgres@{quote(host, safe='')}/postgres", query, return_type="arrow")
    pq.write_table(found, folder / "x.parquet")


def adbc(host: str, query: str, folder: Path) -> Iterator[None]:
    """Apache Arrow's own driver, streaming."""
    import pyarrow.parquet as pq
    from adbc_driver_postgresql import dbapi

    yield
    uri = f"postgresql://postgres@/postgres?host={quote(host, safe='')}"
    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        reader = cursor.fetch_record_batch()
        with pq.ParquetWriter(folder / "x.parquet", reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)


def pandas(host: str, query: str, folder: Path) -> Iterator[None]:
    """``read_sql`` in chunks through SQLAlchemy, as Airflow's ``DbApiHook.get_df_by_chunks`` does it."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    import sqlalchemy

    yield
    engine = sqlalchemy.create_engine(f"postgresql+psycopg://postgres@/postgres?host={quote(host, safe='')}")
    writer = None
    with engine.connect().execution_options(stream_results=True) as connection:
        for chunk in pd.read_sql(sqlalchemy.text(query), connection, chunksize=100_000):
            table = pa.Table.from_pandas(chunk, preserve_index=False)
            writer = writer or pq.ParquetWriter(folder / "x.parquet", table.schema)
            writer.write_table(table)
    assert writer is not None
    writer.close()


OURS = {
    "ours": ours,
    "ours, 2 side by side": partial(ours, readers=2),
    "ours, 4 side by side": partial(ours, readers=4),
}
CLIENTS = {**OURS, "connectorx": connectorx, "ADBC": adbc, "pandas read_sql": pandas}


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    client = CLIENTS[sys.argv[1]](sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    next(client)
    wall, used = time.perf_counter(), cpu()
    for _ in client:
        pass
    print("seconds", time.perf_counter() - wall, cpu() - used)
