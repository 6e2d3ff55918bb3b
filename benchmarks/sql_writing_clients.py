"""One client loading a Parquet file into ``bench.scores``, in a process of its own.

``python -m benchmarks.sql_writing_clients CLIENT HOST FILE``. Prints the seconds that it took, wall and CPU, without
the client's imports. Each client is a generator that is ready where it yields.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from benchmarks.sql_clients import cpu


def ours(host: str, file: Path) -> Iterator[None]:
    """As the operator does it: checked, fitted, once, in one transaction."""
    import pgpq  # noqa: F401
    import psycopg  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    from airflow_azureml_datastores.core.credentials import Anonymous, Login
    from airflow_azureml_datastores.core.experiment import Output
    from airflow_azureml_datastores.core.place import Place
    from airflow_azureml_datastores.core.uri import parse_datastore_uri
    from airflow_azureml_datastores.stores.local_directory import LocalDirectory
    from airflow_azureml_datastores.stores.postgresql import AzurePostgreSql
    from airflow_azureml_datastores.transfer.source import find_source
    from airflow_azureml_datastores.transfer.tables import prepare_table_load

    yield
    location = AzurePostgreSql(host, "postgres", enforce_ssl=False)
    with LocalDirectory(str(file.parent)).open(Anonymous()) as there, location.open(Login("postgres", "")) as store:
        uri = parse_datastore_uri(f"azureml://datastores/there/paths/{file.name}")
        source = find_source(lambda name: Place("there", there), uri)
        output = Output.table("crm", "bench.scores", "append")
        load = prepare_table_load(lambda n: store, source, output, publisher="x", label="bench", say=print)
        load.run()


def adbc(host: str, file: Path) -> Iterator[None]:
    """Apache Arrow's own driver, streaming."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from adbc_driver_postgresql import dbapi

    yield
    opened = pq.ParquetFile(file)
    reader = pa.RecordBatchReader.from_batches(opened.schema_arrow, opened.iter_batches(65_536))
    with dbapi.connect(f"postgresql://postgres@/postgres?host={quote(host, safe='')}") as connection:
        with connection.cursor() as cursor:
            cursor.adbc_ingest("scores", reader, mode="append", db_schema_name="bench")
        connection.commit()


def pandas(host: str, file: Path) -> Iterator[None]:
    """``to_sql`` through SQLAlchemy, a thousand rows at once."""
    import pandas as pd
    import sqlalchemy

    yield
    engine = sqlalchemy.create_engine(f"postgresql+psycopg://postgres@/postgres?host={quote(host, safe='')}")
    frame = pd.read_parquet(file, dtype_backend="numpy_nullable")
    types = {"amount": sqlalchemy.Numeric(12, 2), "since": sqlalchemy.Date()}
    frame.to_sql("scores", engine, schema="bench", if_exists="append", index=False, chunksize=1000, dtype=types)


def insert_rows(host: str, file: Path) -> Iterator[None]:
    """Airflow's own ``DbApiHook.insert_rows``."""
    import os

    import psycopg
    import pyarrow.parquet as pq
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    class Hook(DbApiHook):
        conn_name_attr = "conn_id"
        supports_executemany = True

        def get_conn(self) -> object:
            return psycopg.connect(host=host, user="postgres", dbname="postgres")

        @property
        def placeholder(self) -> str:
            return "%s"

    yield
    table = pq.read_table(file)
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    os.environ["AIRFLOW_CONN_BENCH"] = "generic://"
    Hook(conn_id="bench").insert_rows("bench.scores", rows, table.column_names, executemany=True)


CLIENTS = {
    "ours": ours,
    "ADBC ingest": adbc,
    "pandas to_sql": pandas,
    "DbApiHook.insert_rows": insert_rows,
}
SLOW = ("pandas to_sql", "DbApiHook.insert_rows")


if __name__ == "__main__":
    client = CLIENTS[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
    next(client)
    wall, used = time.perf_counter(), cpu()
    for _ in client:
        pass
    print("seconds", time.perf_counter() - wall, cpu() - used)
